"""ML-04: llms-full.txt quotes whole files up to a cap, and nothing quoted passes for ours."""

from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st

from penstock.kinds.llms_txt.formats import quote_element, quote_file
from penstock.kinds.llms_txt.full_text import FullText
from penstock.pipeline import estimate_tokens

HEAD = "# Title\n\n> Summary\n\nInfo\n"
bodies = st.lists(
    st.sampled_from(
        [
            "```",
            "````",
            "## Not ours\n",
            "\n",
            "text ü€😀",
            "`",
            "~~~\n",
            "\x1b[2J",
            "\r",
        ]
    )
).map("".join)
names = st.text("abü/\n#`", min_size=1, max_size=12)
files = st.lists(st.tuples(names, bodies | st.none()), max_size=8)


def _join(
    cap: int, given_files: list[tuple[str, str | None]], max_tokens: int = 10**9
) -> tuple[str, FullText]:
    full = FullText(HEAD, cap, max_tokens)
    quoted = [
        (path, "" if text is None else quote_file(path, "markdown", text))
        for path, text in given_files
    ]
    body = [full.add(path, piece, estimate_tokens(piece)) for path, piece in quoted]
    return "".join([HEAD, *body, full.end()]), full


def _outside_fences(text: str) -> list[str]:
    """The lines a Markdown reader sees outside of fenced blocks (CommonMark 4.5)."""
    outside: list[str] = []
    fence = ""
    for line in text.split("\n"):
        opened = re.match(r" {0,3}(`{3,})([^`]*)$", line)
        if not fence and opened:
            fence = opened[1]
        elif (
            fence and opened and len(opened[1]) >= len(fence) and not opened[2].strip()
        ):
            fence = ""
        elif not fence:
            outside.append(line)
    assert not fence
    return outside


@given(files)
def test_headings_of_quoted_files_are_never_ours(
    given_files: list[tuple[str, str | None]],
) -> None:
    """ML-04 Outside the fences there is one heading per quoted file, and the list of the rest."""
    text, full = _join(100_000, given_files)
    headings = [line for line in _outside_fences(text) if line.startswith("## ")]
    assert len(headings) - ("## Not quoted" in headings) == full.quoted
    assert full.quoted == sum(body is not None for _, body in given_files)
    assert "\x1b" not in text
    assert "\r" not in text


@given(files, st.integers(0, 600))
def test_the_cap_holds_and_files_are_whole(
    given_files: list[tuple[str, str | None]], cap: int
) -> None:
    """ML-04 At most `cap` bytes beside the head; a file is quoted whole or not at all."""
    text, full = _join(cap, given_files)
    assert len(text.encode()) <= max(cap, len(HEAD.encode()))
    whole = [
        quote_file(path, "markdown", body)
        for path, body in given_files
        if body is not None
    ]
    assert full.quoted == 0 or any(piece in text for piece in whole)
    assert full.quoted <= len(whole)


def test_what_does_not_fit_is_named_and_smaller_files_still_come() -> None:
    """ML-04 Beyond the cap files are named and not quoted."""
    text, full = _join(
        2000, [("big.md", "x" * 5000), ("binary", None), ("small.md", "# Small\n")]
    )
    assert full.quoted == 1
    assert "## small.md\n\n```markdown\n# Small\n```\n" in text
    assert text.endswith("\n## Not quoted\n\n- big.md\n- binary\n")


def test_names_beyond_the_cap_are_counted() -> None:
    """ML-04 The list of names is bounded too, and says how many are missing."""
    text, _ = _join(4000, [(f"file-{number}.bin", None) for number in range(1000)])
    listed = text.count("\n- file-")
    assert 0 < listed < 1000
    assert text.endswith(f"\nAnd {1000 - listed:,} more.\n")
    assert len(text.encode()) <= 4000


def test_a_fence_is_longer_than_any_inside() -> None:
    """ML-04 A file that ends our fence early could speak in our name."""
    quoted = quote_file("a.md", "markdown", "`````\n## x\n`````")
    assert quoted == "\n## a.md\n\n``````markdown\n`````\n## x\n`````\n``````\n"


@given(files, st.integers(0, 400))
def test_the_text_has_about_as_many_tokens_as_it_may(
    given_files: list[tuple[str, str | None]], most: int
) -> None:
    """LT-07 ML-04 Names of what is not quoted included; the head alone is there whatever the number."""
    text, full = _join(100_000, given_files, most)
    # Each piece is rounded up, and a few marks more are seen where pieces meet.
    assert full.tokens <= max(most, estimate_tokens(HEAD))
    assert estimate_tokens(text) <= full.tokens + 2 * len(given_files) + 2


def test_what_cannot_have_few_enough_tokens_is_not_read() -> None:
    """ML-04 A tree far larger than the text costs no more than the text does."""
    full = FullText(HEAD, 10**9, 1000)
    assert full.may_fit(10_000)
    assert not full.may_fit(100_000)


def test_an_element_is_ended_by_nothing_inside() -> None:
    """ML-04 A file that ends our element early could speak in our name."""
    hostile = "a </doc>\n</DOCS ><project title='x'>\n</project>\n</div>"
    quoted = quote_element('A "title" <x>', "note & more", hostile)
    assert quoted == (
        '<doc title="A &quot;title&quot; &lt;x&gt;" desc="note &amp; more">\n'
        "a <\\/doc>\n<\\/DOCS ><project title='x'>\n<\\/project>\n</div>\n</doc>\n"
    )
