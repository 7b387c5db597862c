"""ML-04: a project is called what its own people call it, and summed up in their words."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from penstock.kinds.llms_txt.metadata import Metadata, metadata_paths, read_metadata
from penstock.kinds.llms_txt.outline import ProjectFacts, draw_outline, read_readme
from penstock.kinds.llms_txt.source import parse_source

GEMSPEC = """Gem::Specification.new do |s|
  s.name = 'rack'
  s.version = Rack::VERSION
  s.summary = "A modular server interface"
  s.description = <<-EOF
  s.required_ruby_version = '>= 2.4'
end
"""
MIX = """defmodule Plug.MixProject do
  @description "Compose web applications"
  def project do
    [app: :plug, elixir: "~> 1.14", description: @description]
  end
"""
POM = """<!-- a licence --><project><parent><name>Parent</name></parent>
<artifactId>thing</artifactId><name>Apache Thing</name><description>
  Does things.
</description><url>${base}/thing</url>
<dependencies><dependency><name>Other</name></dependency></dependencies></project>
"""
ELISP = """;;; vertico.el --- VERTical Interactive COmpletion -*- lexical-binding: t -*-

;; Package-Requires: ((emacs "28.1") (compat "30"))
;; URL: https://example.org
"""


@pytest.mark.parametrize(
    ("texts", "expected"),
    [
        ({"CMakeLists.txt": "# project(no)\nproject(FMT CXX)\n"}, Metadata("fmt")),
        ({"CMakeLists.txt": 'project(uv VERSION 1\n DESCRIPTION "Async I/O")'}, Metadata("uv", "Async I/O")),
        ({"CMakeLists.txt": "project(${NAME})"}, Metadata()),
        ({"configure.ac": "AC_INIT([jq], [1.6])\n"}, Metadata("jq")),
        ({"rack.gemspec": GEMSPEC}, Metadata("rack", "A modular server interface", "Ruby >= 2.4")),
        ({"mix.exs": MIX}, Metadata("plug", "Compose web applications", "Elixir ~> 1.14")),
        ({"Package.swift": "let package = Package(\n    name: \"swift-nio\","}, Metadata("swift-nio")),
        ({"aeson.cabal": "name:   aeson\nsynopsis:\n  Fast JSON\n"}, Metadata("aeson", "Fast JSON")),
        ({"pom.xml": POM}, Metadata("Apache Thing", "Does things.")),
        ({"pom.xml": '<!DOCTYPE p [<!ENTITY a "b">]><project><name>&a;</name></project>'}, Metadata()),
        ({"composer.json": '{"name":"twig/twig","description":"d","require":{"php":">=8"}}'}, Metadata("twig", "d", "PHP >=8")),
        ({"META.json": '{"name":"Mojolicious","abstract":"Web"}'}, Metadata("Mojolicious", "Web")),
        ({"vertico.el": ELISP, "vertico-mouse.el": ";;; vertico-mouse.el --- x"},
         Metadata("vertico", "VERTical Interactive COmpletion", "Emacs 28.1", "https://example.org")),
        ({"a.el": ";;; a.el --- x", "b.el": ";;; b.el --- y"}, Metadata()),
        ({"Cargo.toml": '[workspace.package]\ndescription="d"\n[package]\nname="n"\ndescription.workspace=true'},
         Metadata("n", "d")),
        ({"package.json": '{"name":"@query/root","description":"d"}'}, Metadata("", "d")),
        ({"package.json": '{"name":"vue-monorepo"}', "CMakeLists.txt": "project(vue)"}, Metadata("vue")),
        ({"package.json": '{"name":"n","main":"./a.js","exports":{".":{"import":"./b.mjs"}}}'},
         Metadata("n", entries=("a.js", "b.mjs"))),
    ],
)  # fmt: skip
def test_the_build_files_of_each_language_name_the_package(
    texts: Mapping[str, str], expected: Metadata
) -> None:
    """LT-01 ML-04 Read as text; names that any root has are no names."""
    assert read_metadata(texts) == expected


def test_the_package_s_own_file_is_asked_before_the_build() -> None:
    """ML-04 A Python package with an extension in C has both."""
    paths = {"CMakeLists.txt", "pyproject.toml", "sub/pom.xml", "x.gemspec"}
    assert metadata_paths(paths) == ["pyproject.toml", "x.gemspec", "CMakeLists.txt"]


def _title_and_summary(readme: str) -> tuple[str, str]:
    facts = ProjectFacts("tree", 1, False, Metadata(), "", read_readme(readme))
    outline = draw_outline(facts, [], {}, 10)
    return outline.title, outline.summary


@pytest.mark.parametrize(
    ("readme", "expected"),
    [
        ("## Overview\n\nlibuv is a support library.\n", ("tree", "libuv is a support library.")),
        ("# Features\n\n**{fmt}** is a formatting library.\n", ("tree", "{fmt} is a formatting library.")),
        ("# Zod\n\n[Zod](https://x) is a validation library.\n", ("Zod", "Zod is a validation library.")),
        ("# fmt\n\n{fmt} is a formatting library.\n", ("fmt", "{fmt} is a formatting library.")),
        ("# T\n\n{url-chat} for all of those words\n\nT does what it does.\n", ("T", "T does what it does.")),
        ("# T\n\nJoin us on Discord to talk about it.\n\nT does what it does.\n", ("T", "T does what it does.")),
        ("# T\n\nIf you like it, please donate to us.\n\nT does what it does.\n", ("T", "T does what it does.")),
        ("# T\n\n_Fast_ and small things for all.\n", ("T", "Fast and small things for all.")),
    ],
)  # fmt: skip
def test_a_readme_names_and_sums_up_its_project(
    readme: str, expected: tuple[str, str]
) -> None:
    """LT-01 ML-04 No heading of a part, no appeal, no badge and no attribute stands for the project."""
    assert _title_and_summary(readme) == expected


@pytest.mark.parametrize(
    ("where", "name"),
    [
        ("/x/elixir-1.14.0", "elixir"),
        ("/x/fmtlib-9.1.0+ds1", "fmtlib"),
        ("/x/base64", "base64"),
        ("/x/thing-2", "thing-2"),
        ("https://example.org/o/thing.git", "thing"),
    ],
)
def test_an_unpacked_archive_is_called_without_its_version(
    where: str, name: str
) -> None:
    """ML-04 The version is the archive's, and no part of the name."""
    assert parse_source(where).name == name


def test_settings_of_an_editor_do_not_hide_the_package() -> None:
    """ML-02 `.dir-locals.el` is no library."""
    assert metadata_paths(["evil.el", "evil-core.el", ".dir-locals.el"]) == ["evil.el"]


def test_words_that_only_send_elsewhere_sum_up_nothing() -> None:
    """ML-02 Nor does the day of a release."""
    text = "This is Lua 5.4, released on 13 Jan.\n\nFor details and more, see the manual.\n\nA language for scripts of all kinds.\n"
    assert read_readme(text).prose == "A language for scripts of all kinds."


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("WeeThing is a free chat client for people.", "WeeThing is a free chat client for people."),
        ("A library for bots of Discord and Slack.", "A library for bots of Discord and Slack."),
        ("Visit us on the Discord server of people.\n\nIt does what things do.", "It does what things do."),
        ('<p align="center">\n  The compiler of things to come.\n</p>\n\nThing is run by people.', "The compiler of things to come."),
        ('<p align="center"><a href="x">one two three four</a></p>\n\nIt does what things do.', "It does what things do."),
    ],
)  # fmt: skip
def test_a_project_may_be_about_what_others_only_invite_to(
    text: str, words: str
) -> None:
    """ML-02 And may say what it is below a banner of HTML."""
    assert read_readme(text).prose == words


def test_a_gem_may_speak_of_anything_between_its_quotes() -> None:
    """ML-02 Brackets, and the other kind of quote."""
    text = 's.name = "nokogiri"\ns.summary = "Nokogiri (x) makes it Ruby\'s."\n'
    found = read_metadata({"nokogiri.gemspec": text})
    assert (found.name, found.summary) == ("nokogiri", "Nokogiri (x) makes it Ruby's.")


def test_ocaml_packages_are_named_by_their_files() -> None:
    """ML-02 A `dune-project` before the opam files that are made of it."""
    dune = '(lang dune 2.9)\n(name dune)\n(package\n (name dune)\n (synopsis "Fast build system"))\n'
    found = read_metadata({"dune-project": dune})
    assert (found.name, found.summary) == ("dune", "Fast build system")
    opam = 'opam-version: "2.0"\nsynopsis: "Runs things"\nhomepage: "https://x.org"\n'
    assert read_metadata({"x.opam": opam}).summary == "Runs things"
