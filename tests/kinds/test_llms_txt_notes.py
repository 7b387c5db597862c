"""ML-04: a note says what a file is for in the convention of its language, or there is none."""

from __future__ import annotations

import pytest

from penstock.kinds.llms_txt.comments import purpose

LICENCE = "Copyright 2020 X.\n * Licensed under the Apache License."


@pytest.mark.parametrize(
    ("ending", "text", "expected"),
    [
        ("java", f"/*\n * {LICENCE}\n */\npackage a;\n\nimport b.C;\n\n/**\n * General file utilities.\n * <p>\n * More.\n */\npublic class A {{}}\n", "General file utilities."),
        ("php", "<?php\n\n/*\n * This file is part of Twig.\n */\n\nnamespace Twig;\n\n/**\n * Represents a node in the AST.\n *\n * @author X\n */\nclass Node {}\n", "Represents a node in the AST."),
        ("go", "// Copyright 2020 X\n\n// Package cobra is a commander for programs.\npackage cobra\n\n// Run runs all of it.\nfunc Run() {}\n", "Package cobra is a commander for programs."),
        ("go", "package cobra\n\n// Run runs all of the things.\nfunc Run() {}\n", ""),
        ("rs", "// Copyright X\n\n//! Reads the configuration files.\n//! And more.\n\nuse a;\n", "Reads the configuration files."),
        ("rs", "use a;\n\n/// The configuration for a worker.\n#[derive(Debug)]\nstruct Config;\n", ""),
        ("ex", "defmodule A do\n  @moduledoc ~S\"\"\"\n  Runs all the tests.\n\n  More.\n  \"\"\"\n", "Runs all the tests."),
        ("ex", "defmodule A.Error do\n  @moduledoc \"Raised for want of things.\"\nend\ndefmodule A do\n  @moduledoc \"\"\"\n  Runs all the tests.\n  " + "More words. " * 900 + "\n  \"\"\"\n", "Runs all the tests."),
        ("php", "<?php\n\nnamespace A;\n\nuse B;\n\n// Helps the cache to find what is needed\nclass_exists(B::class);\n\nclass A {}\n", ""),
        ("h", "/*\n** $Id: lobject.h $\n** Type definitions for Lua objects\n** See Copyright Notice in lua.h\n*/\n\n#ifndef lobject_h\n", "Type definitions for Lua objects"),
        ("ts", "// This must stay here for the build of things\nexport * from './a'\n", ""),
        ("ts", "// Stores for the state of things\n\nexport * from './a'\n", "Stores for the state of things"),
        ("c", "/*\n * irc.c - plugin for the chats of people\n */\n\n#include <a.h>\n", "plugin for the chats of people"),
        ("c", "/* libxml2_backwards_compat.c */\n\n#include <a.h>\n", ""),
        ("ex", "defmodule A do\n  @moduledoc false\n  # hidden words of the module\n", ""),
        ("el", ";;; vertico.el --- Vertical completion -*- lexical-binding: t -*-\n", "Vertical completion"),
        ("pm", "package Mojo::Base;\nuse strict;\n1;\n=encoding utf8\n\n=head1 NAME\n\nMojo::Base - Minimal base class for projects\n", "Minimal base class for projects"),
        ("rb", "# frozen_string_literal: true\n\nrequire 'a'\n\n# Rack is an interface for servers.\nmodule Rack\n", "Rack is an interface for servers."),
        ("rb", "# frozen_string_literal: true\n# encoding: utf-8\nmodule Rack\n", ""),
        ("hs", "{-# LANGUAGE CPP #-}\n\n-- |\n-- Types for working with JSON.\nmodule A where\n", "Types for working with JSON."),
        ("js", "#!/usr/bin/env node\n'use strict'\n\n/* eslint-disable no-var */\n/**\n * @file Parses the words of people.\n */\nconst a = require('b')\n", "Parses the words of people."),
        ("ts", "// @ts-nocheck\n/** @jsx h */\nimport a from 'b'\n\n// const old = require('old-thing-of-ours')\n\n/** Adds two numbers to a third. */\nexport function add() {}\n", ""),
        ("tsx", "/**\n * @module a/b\n */\nimport x from 'y'\n", ""),
        ("h", "/* Copyright X */\n#ifndef A_H\n#define A_H\n\n/* Windows - set up the import of names. */\n#ifdef _WIN32\n", ""),
        ("h", "// Formatting library for C++ - ranges\n//\n// Copyright (c) 2012\n\n#ifndef A\n", "Formatting library for C++ - ranges"),
        ("c", "#include <a.h>\n\n// Adds two numbers to a third.\nint add(void) {}\n", ""),
        ("sh", "#!/bin/sh\n# vim: set ts=4:\n# Author: Somebody I Know\n\n# Builds all of the packages.\n\nset -e\n", "Builds all of the packages."),
        ("lua", "--[[\nKeeps a list of things.\n]]\nlocal a = require 'b'\n", "Keeps a list of things."),
    ],
)  # fmt: skip
def test_a_file_says_what_it_is_for(ending: str, text: str, expected: str) -> None:
    """LT-04 ML-04 Licences, magic comments, authors, lint excuses and commented code are passed over."""
    assert purpose(text, ending) == expected
