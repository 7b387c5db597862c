"""ML-02: title and first words of documents in each form; READMEs and pages of docs are read alike."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from penstock.kinds.llms_txt.classify import Section, arrange, glance, place
from penstock.kinds.llms_txt.describe import describe, heading_of, paragraphs
from penstock.kinds.llms_txt.languages import Language
from penstock.kinds.llms_txt.outline import read_readme
from penstock.kinds.llms_txt.parsing import read_blocks
from penstock.kinds.llms_txt.source_tree import File
from penstock.kinds.llms_txt.written import as_markdown

ASCIIDOC = """\
= The Thing: _a_ guide
Jane Doe <jane@example.org>
v1.2, 2024-01-01
:toc: left
:name: Thingy

image:https://x.org/badge.svg["CI", link="https://x.org"]

[[start]]
[NOTE]
====
Not the first words of it.
====

----
code, which is long enough to be prose
----

*{name}* does https://x.org/things[what things do], see <<start,the start>>.

== Later
"""
ORG = """\
#+TITLE: The Thing
:PROPERTIES:
:ID: some words that are no prose
:END:
#+begin_src elisp
(some code which is long enough)
#+end_src
- a list of things here
The thing does [[https://x.org][what things do]] with =care=.

* Later :tag:
"""
RDOC = """\
= The Thing

:call-seq: this is no prose at all

home :: https://x.org

The +Thing+ does {what things do}[rdoc-ref:Thing], see Docs[https://x.org].
"""
POD = """\
=encoding utf8

=head1 The Thing

=begin html

not the first words of it

=end html

Thing does B<what things do>, see L<Thing::Guide> and L<the site|https://x.org>.
"""
HTML = """\
<html><head><title>Site</title><style>p { of no words at all }</style></head>
<body><nav><a>one two three four five</a></nav><h1>The Thing</h1>
<ul><li>one two three four five</ul>
<p>The thing does <b>what</b> things&nbsp;do.</p></body></html>
"""
NOTEBOOK = json.dumps(
    {
        "cells": [
            {"cell_type": "code", "metadata": {}, "source": ["x = 'four words of code'"]},
            {"cell_type": "markdown", "metadata": {}, "source": ["# The Thing\n", "\n", "The thing does what things do."]},
        ]
    },
    indent=1,
)  # fmt: skip


def _described(path: str, text: str) -> tuple[str, str]:
    (placed,) = place([File(path, len(text))])
    found = describe(placed, text)
    return found.title, found.note


@pytest.mark.parametrize(
    ("path", "text", "title", "note"),
    [
        ("docs/a.adoc", ASCIIDOC, "The Thing: a guide", "Thingy does what things do, see the start."),
        ("docs/a.org", ORG, "The Thing", "The thing does what things do with care."),
        ("docs/a.rdoc", RDOC, "The Thing", "The Thing does what things do, see Docs."),
        ("docs/a.pod", POD, "The Thing", "Thing does what things do, see Thing::Guide and the site."),
        ("docs/a.html", HTML, "The Thing", "The thing does what things do."),
        ("a.ipynb", NOTEBOOK, "The Thing", "The thing does what things do."),
        ("a.ipynb", NOTEBOOK[:-9], "The Thing", "The thing does what things do."),
        ("docs/a.adoc", "The Thing\n=========\n\nIt does what things do.\n", "The Thing", "It does what things do."),
        ("docs/a.html", "<title>Only</title><p>It does what things do.<p>More.", "Only", "It does what things do."),
    ],
)  # fmt: skip
def test_a_document_is_told_by_its_title_and_first_words(
    path: str, text: str, title: str, note: str
) -> None:
    """ML-02 Of badges, blocks, lists, drawers and code none is prose; a cut notebook tells what it has."""
    assert _described(path, text) == (title, note)


@pytest.mark.parametrize(
    ("text", "title"),
    [
        ('<h1 align="center">Project</h1>\n\n## The page\n\nWords.\n', "The page"),
        ('<h1 align="center">Project</h1>\n\nWords.\n\n## A part\n', ""),
        ('<h1>The page</h1>\n\nWords.\n', "The page"),
        ("The page\n--------\n\nWords.\n", "The page"),
        ("## The page\n\nWords.\n", "The page"),
        ("Words.\n\n## A part\n", ""),
        ("---\ntitle: '**The** page'\n---\n\nWords.\n", "The page"),
        ("---\ntitle: ''\n---\n\n# The page\n", "The page"),
        ("## 1.2.3 (2024-01-01)\n", ""),
        ("# 1.2.3\n\n# The changes\n", "The changes"),
        ("T\n=\n", "T"),
        ("> Words of another page.\n\n## A part\n", ""),
        ("- one\n- two\n\nA part\n------\n", ""),
        ("<h1 align=center>\n  <img src=x>\n\n  The page\n</h1>\n\nWords.\n", "The page"),
        ("# Interface: Store\\<Id, S\\>\n", "Interface: Store<Id, S>"),
        ("# @ab/cd [![n](https://x.org/n.svg?a=(b))](https://x.org)\n", "@ab/cd"),
        ("jq\n==\n", "jq"),
        (f"# The page {'x' * 400}\n", f"The page {'x' * 291}"),
    ],
)  # fmt: skip
def test_a_page_is_told_apart_from_its_site(text: str, title: str) -> None:
    """ML-02 What stands over every page is the project's name; a heading behind prose is that of a part."""
    assert heading_of(read_blocks(text, "markdown"), page=True) == title


@pytest.mark.parametrize(
    ("language", "text", "words"),
    [
        ("markdown", "ESLint rules for the whole of it.", "ESLint rules for the whole of it."),
        ("markdown", "A permissively licensed library of things.", "A permissively licensed library of things."),
        ("rst", ":mod:`a.b` has what is low.", "a.b has what is low."),
        ("rst", "It has :ref:`what is low <low>` and |more|.", "It has what is low and."),
        ("markdown", "**Contents**\n- [one](a)\n- [two](b)\n\nThe words come here.", "The words come here."),
        ("markdown", "A ``<name>.opam`` file is what is meant.", "A <name>.opam file is what is meant."),
        ("rst", "js_of_ocaml_ is a compiler of things.", "js_of_ocaml is a compiler of things."),
        ("markdown", "Licensed under the terms of MIT.\n\nThe words come here.", "The words come here."),
        ("markdown", "It manages [things](https://x.org/Thing_(kind)) of all kinds.", "It manages things of all kinds."),
        ("markdown", "[1]: https://x.org/a_long_address\n\nThe words come here.", "The words come here."),
        ("markdown", "The source of things, which are at <https://x.org/>.", "The source of things, which are at https://x.org/."),
        ("markdown", "<p align=center>\n <a>Some of the links</a> <a>And others</a>\n</p>\n\nThe words come here.", "The words come here."),
        ("markdown", "<p align=center>\n <em>The words come here.</em>\n</p>\n", "The words come here."),
        ("markdown", ":::note\nWords in a box here.\n\n:::\n\nThe words come here.", "The words come here."),
        ("rst", ".. note:: Words in a box here.\n\n.. x:: And others of no kind.\n\nThe words come here.", "The words come here."),
        ("rst", "It has commands [#note]_, which are words.", "It has commands, which are words."),
        ("text", "NAME\n       do - Do what things do\n\nSYNOPSIS\n       do [options]\n", "Do what things do"),
        ("markdown", "`do` [_options_] `-t` _type_ _sources..._\n\nThe words come here.", "The words come here."),
        ("markdown", f"It manages [things][far] of all kinds.\n\n{'x' * 9000}\n\n[far]: https://x.org", "It manages things of all kinds."),
        ("adoc", "* A list of words\n  which goes on here.\n\nThe words come here.", "The words come here."),
        ("text", "# The thing\n\nThe **words** come here.", "The words come here."),
    ],
)  # fmt: skip
def test_the_first_words_are_those_that_a_parser_finds(
    language: Language, text: str, words: str
) -> None:
    """ML-02 markdown-it-py and docutils; of plain text docutils, unless it begins with a heading of Markdown."""
    assert next(paragraphs(read_blocks(text, language))) == words


def test_what_one_document_defines_is_not_there_for_the_next(tmp_path: Path) -> None:
    """ML-02 ML-04 Neither roles, nor other files, nor what is written to standard error."""
    other = tmp_path / "other.rst"
    other.write_text("Words of another file here.\n")
    text = f".. role:: mine(code)\n.. include:: {other}\n.. csv-table::\n   :file: {other}\n\nThe :mine:`words` come here.\n"
    first = read_blocks(text, "rst")
    assert list(paragraphs(first)) == ["The words come here."]
    assert read_blocks(text, "rst") == first
    (unknown,) = paragraphs(read_blocks("It is :mine:`a <b>` of things.\n", "rst"))
    assert unknown == "It is a of things."


@pytest.mark.parametrize("language", ["html", "markdown"])
def test_what_no_html_has_costs_what_stands_behind_it(language: Language) -> None:
    """ML-04 Python's parser breaks on it."""
    text = "<p>It does what things do.</p>\n<div><![x[ of this</div>\n"
    assert list(paragraphs(read_blocks(text, language))) == ["It does what things do."]


def test_nothing_comes_of_what_is_nested_too_deeply() -> None:
    """ML-04 Lists in lists by the hundred are more than Python recurses into."""
    assert read_blocks("- " * 600 + "x", "rst") == []


@pytest.mark.parametrize(
    ("path", "text"), [("adoc", ASCIIDOC), ("org", ORG), ("rdoc", RDOC), ("pod", POD)]
)
def test_a_readme_of_each_form_names_the_project(path: str, text: str) -> None:
    """ML-02 As one in Markdown does."""
    found = read_readme(text, path)  # type: ignore[arg-type]
    assert found.heading.startswith("The Thing")
    assert "what things do" in found.prose


def test_pages_are_documents_only_where_nothing_else_is_written() -> None:
    """ML-02 Pages beside other documents were mostly made of these; those of no docs folder are a site's."""

    def sections(*paths: str) -> dict[str, Section]:
        placed = arrange([glance(File(path, 100)) for path in paths])
        return {one.path: one.section for one in placed}

    assert sections("README", "doc/manual.html", "src/page.html") == {
        "README": "Docs",
        "doc/manual.html": "Docs",
    }
    assert sections("README", "doc/manual.html", "doc/manual.rst") == {
        "README": "Docs",
        "doc/manual.rst": "Docs",
    }


def test_what_is_read_as_it_is_stays_as_it_is() -> None:
    """ML-02 Markdown and reStructuredText."""
    assert as_markdown("= x\n", "markdown") == "= x\n"
    assert as_markdown("= x\n", "rst") == "= x\n"
