"""ML-04: what is said of a file comes from its own words, and no file can break the reading."""

from __future__ import annotations

import warnings
from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.kinds.llms_txt.classify import Placed, find_readme, place
from penstock.kinds.llms_txt.describe import (
    Described,
    describe,
    heading_of,
    paragraphs,
)
from penstock.kinds.llms_txt.metadata import PARSERS, Metadata, read_metadata
from penstock.kinds.llms_txt.outline import (
    ProjectFacts,
    candidates,
    draw_outline,
    read_readme,
)
from penstock.kinds.llms_txt.parsing import read_blocks
from penstock.kinds.llms_txt.python import (
    LONGEST_PARSED,
    Module,
    module_name,
    read_module,
)
from penstock.kinds.llms_txt.source_tree import File


def _place(*paths: str) -> list[Placed]:
    return place([File(path, 10) for path in paths])


def _describe(path: str, text: str | None) -> Described:
    # A second file, so that a lone one is judged like a part of a project.
    return describe(
        next(one for one in _place(path, "x/z.py") if one.path == path), text
    )


# -- Python


def test_a_module_tells_its_docstring_and_public_names() -> None:
    """ML-04 By the syntax tree; classes first; private names are not told."""
    text = (
        '"""What it does."""\ndef run(): ...\nasync def _x(): ...\nclass Thing: ...\n'
    )
    assert read_module(text) == Module("What it does.", ("Thing", "run"))
    assert read_module('__all__ = ["b", "a", "_c"]\ndef x(): ...\n').names == ("b", "a")


@pytest.mark.parametrize(
    "text",
    [
        "(" * 50_000,
        "-" * 100_000 + "1",
        "+".join("1" * 50_000),
        "x" + ".a" * 50_000,
        "[" * 90 + "]" * 90,
        "def f():\n" + "".join(" " * n + "if x:\n" for n in range(1, 150)),
        "not " * 30_000 + "x",
        "lambda:" * 15_000 + "0",
        "x = " + "'\\d' " * 10_000,
        "f'" + "{" * 40_000,
        "\n" * 100_000 + "# x\n" * 1000,
        '"""' * 20_001,
        "print 'Python 2'\n",
        "\ud800 = 1",
        "a\0b",
        "x" * (LONGEST_PARSED + 1),
    ],
    ids=lambda text: repr(text[:12]),
)
def test_no_source_text_breaks_the_reading(text: str) -> None:
    """ML-04 Deep nesting, odd escapes, another Python: no error, and no warning of theirs."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        read_module(text)


def test_odd_escapes_do_not_stop_the_parser() -> None:
    """ML-04 A warning about a stranger's string is nobody's; the names are still read."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert read_module('x = "\\d"\n__all__ = ["z"]\n').names == ("z",)


def test_what_does_not_parse_is_read_by_its_form() -> None:
    """ML-04 Python 2, and files too long to parse, still tell something."""
    old = '#!/usr/bin/python\n# -*- coding: utf-8 -*-\n"""Old words."""\nclass A:\n  pass\nprint 1\n'
    assert read_module(old) == Module("Old words.", ("A",))
    assert (
        read_module('"""Long."""\n' + "x = 1\n" * LONGEST_PARSED).docstring == "Long."
    )


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("src/pkg/mod.py", "pkg.mod"),
        ("pkg/__init__.py", "pkg"),
        ("pkg/_x.pyi", "pkg._x"),
        ("a-b/c.py", "a-b/c.py"),
        ("one.py", "one"),
    ],
)
def test_a_module_is_called_as_it_is_imported(path: str, name: str) -> None:
    """ML-04 Titles are names that a reader can use."""
    assert module_name(path) == name


def test_a_note_says_more_than_the_module_name_or_a_licence() -> None:
    """ML-04 Name lines, rules and copyright are passed over; without words, names are told."""
    text = '"""\npkg.mod\n~~~~~~~\n\nCopyright 2020 X.\n\nReads :class:`Thing` files. And more.\n"""'
    assert _describe("pkg/mod.py", text) == Described("pkg.mod", "Reads Thing files.")
    names = "".join(f"def f{number}(): ...\n" for number in range(9))
    assert (
        _describe("pkg/mod.py", names).note
        == "Defines f0, f1, f2, f3, f4, f5 and 3 more"
    )
    assert _describe("tests/test_x.py", names) == Described("tests/test_x.py", "")


# -- documents


@pytest.mark.parametrize(
    ("text", "title", "first"),
    [
        ("# The *Title*\n\n[![b](x)](y)\n\nSome words of prose here. More.\n", "The Title", "Some words of prose here. More."),
        ("Title\n=====\n\n.. image:: x\n\nSome words of prose here::\n\n   code\n", "Title", "Some words of prose here:"),
        ("=====\nTitle\n=====\n\nSome words of prose here.\n", "Title", "Some words of prose here."),
        ("<p align=center>\n<h1>Name <img src=x></h1>\n</p>\n\nSome words of prose here.", "Name", "Some words of prose here."),
        ("---\ntitle: 'Front'\n---\n\nSome words of prose here.", "Front", "Some words of prose here."),
        ("```\n# not a heading\n```\n<!-- # nor this -->\n\n# Real\n", "Real", ""),
        ("## Only a part\n\n| a | b |\n\n* item one two three\n", "", ""),
        ("(anchor)=\n# T\n\n{func}`go` does what you want.", "T", "go does what you want."),
        ("", "", ""),
    ],
)  # fmt: skip
def test_a_document_tells_its_title_and_first_prose(
    text: str, title: str, first: str
) -> None:
    """LT-02 ML-04 Markdown, reStructuredText and HTML headings; badges, tables and code are no prose."""
    markdown = text.startswith(("#", "<", "-", "`", "("))
    blocks = read_blocks(text, "markdown" if markdown else "rst")
    assert heading_of(blocks) == title
    assert next(paragraphs(blocks), "") == first


def test_a_document_of_another_form_is_not_read_as_markdown() -> None:
    """ML-04 A `#` there begins a comment or code, and no title."""
    pod = "=head1 NAME\n\nX::Guides::Rendering - Rendering content\n\n  # Exception\n\n# Exception\n"
    assert _describe("lib/X/Rendering.pod", pod) == Described(
        "Rendering", "Rendering content"
    )
    org = "#+TITLE: Vertical *completion*\n# not a title\n\nSome words of prose here.\n"
    assert _describe("README.org", org) == Described(
        "Vertical completion", "Some words of prose here."
    )
    assert _describe("docs/a-b.org", "# not a title\n").title == "A b"


def test_a_part_of_a_markdown_document_is_not_its_title() -> None:
    """ML-04 Underlined by `-` is a second-level heading there, and a title elsewhere."""
    text = "Words before.\n\nHighlights\n----------\n"
    assert heading_of(read_blocks(text, "markdown")) == ""
    assert heading_of(read_blocks(text, "rst")) == "Highlights"


def test_files_every_project_has_are_told_by_their_purpose() -> None:
    """ML-04 A licence's first words say nothing."""
    assert _describe("LICENSE", "Permission is hereby granted").note == "Terms of use"
    assert _describe("CHANGELOG.md", "# 1.2.3\n").note == "What changed in each version"
    assert _describe("pyproject.toml", "").note == "Package metadata"
    assert _describe("history.py", '"""Past runs."""').note == "Past runs."
    assert _describe("RELEASE.md", "# Releasing\n").title == "Releasing"


def test_other_languages_tell_their_first_comment_or_names() -> None:
    """ML-04 A licence comment is passed over; Go, Rust and C need no parser of their own."""
    go = "// Copyright 2020 X\n// All rights reserved\n\n// Package cache keeps values for a while.\npackage cache\n"
    assert _describe("cache.go", go).note == "Package cache keeps values for a while."
    assert (
        _describe("x.rs", "use std::io;\npub fn read() {}\npub struct File;\n").note
        == "Defines File, read"
    )
    assert _describe("x.c", None) == Described("x.c", "")


@given(st.text(alphabet="#<!->`~=*_[]():\n ax|.\\\"'{}", max_size=400), st.sampled_from(["a.md", "a.rst", "a.py", "a.go", "a.txt"]))  # fmt: skip
def test_any_text_can_be_described(text: str, path: str) -> None:
    """ML-04 Strangers' text never raises."""
    _describe(path, text)
    read_metadata(dict.fromkeys(PARSERS, text))


# -- metadata


@pytest.mark.parametrize(
    ("texts", "expected"),
    [
        ({"pyproject.toml": '[project]\nname="n"\ndescription="d"\nrequires-python=">=3"\nurls={Homepage="h"}'}, Metadata("n", "d", "Python >=3", "h")),
        ({"pyproject.toml": '[tool.poetry]\nname="n"\ndescription="d"'}, Metadata("n", "d")),
        ({"setup.cfg": "[metadata]\nname = n\ndescription = file: README\nurl = h"}, Metadata("n", "", "", "h")),
        ({"PKG-INFO": "Name: n\nSummary: d\nRequires-Python: >=3\nHome-page: UNKNOWN\n"}, Metadata("n", "d", "Python >=3")),
        ({"package.json": '{"name":"n","description":"d","engines":{"node":">=18"}}'}, Metadata("n", "d", "Node >=18")),
        ({"Cargo.toml": '[package]\nname="n"\ndescription="d"\nrepository="r"'}, Metadata("n", "d", "", "r")),
        ({"go.mod": "module github.com/o/n/v2\n\ngo 1.22\n"}, Metadata("n", "", "Go 1.22")),
        ({"pyproject.toml": "not = [toml", "package.json": '{"name":"n"}'}, Metadata("n")),
        ({"package.json": '["a list"]', "pyproject.toml": "project = 1"}, Metadata()),
        ({"package.json": "[" * 100_000, "pyproject.toml": "a = " + "[" * 50_000}, Metadata()),
        ({"package.json": '{"name": 5, "description": null}'}, Metadata()),
        ({}, Metadata()),
    ],
)  # fmt: skip
def test_metadata_is_read_without_running_anything(
    texts: Mapping[str, str], expected: Metadata
) -> None:
    """ML-04 A broken or hostile file is a file that says nothing."""
    assert read_metadata(texts) == expected


# -- places and outline


@pytest.mark.parametrize(
    ("path", "section"),
    [
        ("README.md", "Docs"), ("docs/guide.md", "Docs"), ("docs/x.txt", "Docs"),
        ("src/pkg/a.py", "Code"), ("cmd/main.go", "Code"), ("examples/a.py", "Examples"),
        ("nb/a.ipynb", "Examples"), ("tests/test_a.py", "Optional"), ("pkg/test_a.py", "Optional"),
        ("CHANGELOG.md", "Optional"), ("LICENSE", "Optional"), ("pyproject.toml", "Optional"),
        ("setup.py", "Optional"), ("pkg/_vendor/six.py", "Optional"), (".github/x.md", "Optional"),
        ("requirements.txt", None), ("pkg/data/words.txt", None), ("logo.png", None), ("history.py", "Code"),
    ],
)  # fmt: skip
def test_a_file_has_its_section(path: str, section: str | None) -> None:
    """ML-04 Tests, changes and licences are optional reading; data is none."""
    found = {one.path: one.section for one in _place(path, "z/z.py")}
    assert found.get(path) == section


def test_a_tree_without_python_and_documents_lists_its_files() -> None:
    """ML-04 Otherwise the file would have no section at all."""
    placed = _place("main.go", "data.csv", "LICENSE")
    assert {one.section for one in placed} == {"Files"}
    assert {one.path for one in placed} == {"main.go", "data.csv", "LICENSE"}


def test_the_readme_at_the_root_comes_first() -> None:
    """ML-04 Markdown before other forms; what leads newcomers before the rest."""
    assert find_readme(["docs/README.md", "README.rst", "readme.md"]) == "readme.md"
    assert find_readme(["x.md"]) is None
    docs = [
        one.path
        for one in _place(
            "docs/z.md", "docs/quickstart.md", "README.md", "docs/index.md", "x/a.md"
        )
    ]
    assert docs == [
        "README.md",
        "docs/index.md",
        "docs/quickstart.md",
        "docs/z.md",
        "x/a.md",
    ]


def test_a_section_is_capped_and_says_what_is_missing() -> None:
    """ML-04 Not thousands of links: the most important, and a count of the rest."""
    placed = _place("README.md", *[f"pkg/m{number:03}.py" for number in range(100)])
    chosen = candidates(placed, 10)
    assert len(chosen) == 21
    described = {
        one.path: Described(one.path, "words" if one.path > "pkg/m003" else "")
        for one in chosen
    }
    outline = draw_outline(
        ProjectFacts("tree", 101, False, Metadata()), placed, described, 10
    )
    assert [link.path for link in outline.sections["Code"]] == [
        f"pkg/m{number:03}.py" for number in range(3, 13)
    ]
    assert all(link.note for link in outline.sections["Code"])
    assert (
        outline.info[-1]
        == "The most important are listed; not listed: 90 files of Code."
    )
    assert outline.title == "tree"


def test_files_of_one_title_are_told_apart() -> None:
    """ML-04 Two links of one name would be a riddle."""
    placed = _place("docs/a/index.md", "docs/b/index.md")
    described = {one.path: Described("Index", "words") for one in placed}
    outline = draw_outline(
        ProjectFacts("t", 2, False, Metadata()), placed, described, 10
    )
    assert [link.title for link in outline.sections["Docs"]] == [
        "Index (docs/a/index.md)",
        "Index (docs/b/index.md)",
    ]


def test_the_summary_is_the_package_own_and_info_is_never_empty() -> None:
    """LT-01 ML-04 Without an info paragraph the outside parser sees no summary."""
    readme = "# Thing\n\nThing does what things do. It is small.\n"
    said = draw_outline(
        ProjectFacts(
            "t", 1, True, Metadata("n", "Own words"), "Own words", read_readme(readme)
        ),
        [],
        {},
        10,
    )
    assert (said.title, said.summary) == ("n", "Own words")
    assert said.info == (
        "Thing does what things do. It is small.",
        "More than 1 file in the tree.",
    )
    unsaid = draw_outline(
        ProjectFacts("t", 2, False, Metadata(), "", read_readme(readme)), [], {}, 10
    )
    assert (unsaid.title, unsaid.summary) == ("Thing", "Thing does what things do.")
    bare = draw_outline(ProjectFacts("t", 2, False, Metadata()), [], {}, 10)
    assert (bare.summary, bare.info) == (
        "The source tree of t.",
        ("2 files in the tree.",),
    )
