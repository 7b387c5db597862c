"""ML-04: whatever a tree says of itself, llms.txt is read by the outside parser as it was meant."""

from __future__ import annotations

import os
import re
from typing import Any
from urllib.parse import unquote_to_bytes

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from llms_txt import miniparse, parse_llms_file  # type: ignore[import-untyped]

from penstock.kinds.llms_txt.classify import Section
from penstock.kinds.llms_txt.formats import render_llms_txt
from penstock.kinds.llms_txt.markup import harmless, one_line, shorten, strip_markup
from penstock.kinds.llms_txt.outline import Link, Outline

HOSTILE = [
    "x](http://evil/) [y",
    "two\nlines\n## Fake section\n- [a](b)",
    "\u2028\u2029\x85\x0b\x0c\r\n",
    "`code`` ```fence",
    "# heading",
    "> quote",
    "[[nested](a)](b)",
    "<script>alert(1)</script>",
    "\u202eRTL\u202c\u2066x\u2069 שלום",
    "a" * 3000,
    "\x1b[31mred\x1b[0m",
    "\udcff\ud800",
    "\\",
    "]",
    "- [a](b): c",
    "   ",
    "",
]
_snippets = (
    st.sampled_from(HOSTILE)
    | st.text(max_size=60)
    | st.text("[]()#>`\\\n <-:*_", max_size=20)
)
texts = st.lists(_snippets, max_size=4).map("".join)
names = st.binary(min_size=1, max_size=40).map(
    lambda raw: os.fsdecode(raw.replace(b"\0", b"").replace(b"/", b"") or b"x")
) | st.sampled_from(
    ["a (b).md", "[x].py", "ü.md", "a#b?c%20.md", "-", ":", "x\ny", "\u202e.py"]
)
paths = st.lists(names, min_size=1, max_size=4).map("/".join)
links = st.builds(Link, texts, paths, texts)
sections: list[Section] = ["Docs", "Code", "Examples", "Files", "Optional"]
outlines = st.builds(
    Outline,
    texts,
    texts,
    st.lists(texts, max_size=3).map(tuple),
    st.dictionaries(st.sampled_from(sections), st.lists(links, max_size=5).map(tuple)),
)


def _read(outline: Outline, base_url: str = "") -> tuple[str, Any]:
    text = "".join(render_llms_txt(outline, base_url))
    return text, parse_llms_file(text)


@pytest.mark.slow
@given(outlines, st.sampled_from(["", "https://example.org/tree/"]))
@example(Outline("", "", (), {}), "")
@example(Outline("]", "\n> x", ("## Fake",), {"Docs": (Link("]", "]", "]"),)}), "")
def test_the_outside_parser_reads_the_same_links(
    outline: Outline, base_url: str
) -> None:
    """ML-04 Titles, notes, names and addresses of strangers cannot break out of their line."""
    text, read = _read(outline, base_url)
    expected = {name: list(links) for name, links in outline.sections.items() if links}
    assert set(read.sections) == set(expected)
    for name, links_of_section in expected.items():
        urls = [link.url for link in read.sections[name]]
        assert [unquote_to_bytes(url.removeprefix(base_url)) for url in urls] == [
            os.fsencode(link.path) for link in links_of_section
        ]
        assert all(re.fullmatch(r"[A-Za-z0-9%/._~:-]+", url) for url in urls)
        assert all(link.title.strip() for link in read.sections[name])
    assert read.title
    assert read.summary
    assert read.info
    assert miniparse.parse_llms_txt(text)["summary"] == read.summary


@given(outlines)
def test_the_file_has_one_title_and_no_character_a_terminal_obeys(
    outline: Outline,
) -> None:
    """ML-04 Only our own headings begin a line with '#'; no control, direction or lone surrogate."""
    text, _ = _read(outline)
    headings = [line for line in text.split("\n") if line.startswith("#")]
    listed = [section for section, links in outline.sections.items() if links]
    assert headings[0].startswith("# ")
    assert headings[1:] == [f"## {section}" for section in listed]
    assert text.encode().decode() == text
    assert not re.search(
        r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]", text
    )
    assert (
        max(len(line) for line in text.split("\n") if not line.startswith("- [")) <= 700
    )


@pytest.mark.parametrize(
    ("marked", "plain"),
    [
        ("**Bold** and *thin* with `code`", "Bold and thin with code"),
        ("[link](http://x) and ![image](y.png)", "link and"),
        (
            ":class:`~trio.Path` and `Text <http://x>`_ and name_ here",
            "trio.Path and Text and name here",
        ),
        ("see {ref}`click.testing <x>`.", "see click.testing."),
        ("<p align='center'>Hi &amp; bye</p> <!-- no -->", "Hi & bye"),
        ("an _emphasised_ word, __bold words__", "an emphasised word, bold words"),
        ("snake_case and __init__.py stay", "snake_case and __init__.py stay"),
    ],
)
def test_markup_is_taken_off(marked: str, plain: str) -> None:
    """ML-04 Notes are words and not markup."""
    assert strip_markup(marked) == plain


@given(texts, st.integers(10, 200))
def test_a_line_is_short_and_one_line(text: str, longest: int) -> None:
    """ML-04 A heading of any length becomes a short line."""
    line = one_line(text, longest)
    assert len(line) <= longest
    assert "\n" not in line
    assert harmless(line) == line


def test_lines_become_words_of_one_line() -> None:
    """ML-04 A newline parts words; what is invisible goes."""
    assert harmless("two\nlines\u2028a\u202eb") == "two lines ab"


def test_a_long_text_is_cut_between_words() -> None:
    """ML-04 A cut is told by an ellipsis."""
    assert shorten("one two three four", 12) == "one two…"
