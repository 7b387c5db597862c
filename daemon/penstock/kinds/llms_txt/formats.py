"""The two texts: llms.txt in the form of llmstxt.org, and llms-full.txt, which quotes up to a byte cap.

llms.txt has one H1, a quoted summary, paragraphs, and H2 sections that hold nothing but link lines.
Titles have no brackets and addresses no parentheses, so that a parser made of regular expressions
reads the same links as a Markdown parser.

In llms-full.txt every file stands in a fence that is longer than any run of backticks inside it, so
that nothing quoted can pass for a heading of ours. A file is quoted whole or only named.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from penstock.kinds.llms_txt.describe import NOTE_LENGTH, TITLE_LENGTH
from penstock.kinds.llms_txt.languages import Language
from penstock.kinds.llms_txt.markup import (
    encode_path,
    one_line,
    shown_path,
    title_of,
)
from penstock.kinds.llms_txt.outline import Link, Outline

#: Characters of the summary and of one paragraph of info.
SUMMARY_LENGTH = 300
INFO_LENGTH = 600

# The part of the cap kept for naming what is not quoted.
_NAMES_SHARE = 16

_NAMES_HEAD = "\n## Not quoted\n\n"

_BACKTICKS = re.compile(r"`{3,}")

_INFO_STRINGS: dict[Language, str] = {
    "python": "python",
    "markdown": "markdown",
    "rst": "rst",
}

# A terminal would obey these; tab and newline are all that a text needs of them.
_OBEYED = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


def render_head(outline: Outline) -> str:
    """H1, summary and info: the beginning of both files."""
    title = title_of(outline.title, "Source", TITLE_LENGTH)
    summary = (
        one_line(outline.summary, SUMMARY_LENGTH) or f"The source tree of {title}."
    )
    info = [
        text for paragraph in outline.info if (text := one_line(paragraph, INFO_LENGTH))
    ]
    return (
        "\n\n".join([f"# {title}", f"> {summary}", *(info or [f"About {title}."])])
        + "\n"
    )


def render_llms_txt(outline: Outline, base_url: str = "") -> Iterator[str]:
    """The text piece by piece: the head, then one piece per section.

    Addresses are relative to the root of the tree, or `base_url` (ending in `/`) stands in front.
    """
    yield render_head(outline)
    for section, links in outline.sections.items():
        if links:
            lines = "".join(_line(link, base_url) for link in links)
            yield f"\n## {section}\n\n{lines}"


def _line(link: Link, base_url: str) -> str:
    title = title_of(link.title, shown_path(link.path), TITLE_LENGTH)
    note = one_line(link.note, NOTE_LENGTH)
    return f"- [{title}]({base_url}{encode_path(link.path)})" + (
        f": {note}\n" if note else "\n"
    )


def quote_file(path: str, language: Language, text: str) -> str:
    """One file as a section of its own."""
    text = _OBEYED.sub("\N{REPLACEMENT CHARACTER}", text).rstrip("\n") + "\n"
    # Looking for a fixed text first takes a twentieth of the time of a pattern.
    runs = _BACKTICKS.findall(text) if "```" in text else []
    longest = max(map(len, runs), default=2)
    fence = "`" * (longest + 1)
    return f"\n## {shown_path(path)}\n\n{fence}{_INFO_STRINGS.get(language, '')}\n{text}{fence}\n"


@dataclass(frozen=True, slots=True)
class Room:
    """Bytes that are left, and how many of them are kept for naming what is not quoted."""

    left: int
    for_names: int

    def fits(self, size: int) -> bool:
        """Whether a file of this many bytes may still have room: if not, it need not be read."""
        return size <= self.left - self.for_names

    def less(self, piece: str) -> Room:
        """What is left after a piece."""
        return Room(self.left - len(piece.encode()), self.for_names)


class FullText:
    """Keeps account of what is quoted; the pieces join to at most `cap` bytes.

    Only the head, which is a few short paragraphs, is there whatever the cap.
    """

    def __init__(self, head: str, cap: int) -> None:
        self.head = head
        self.quoted = 0
        left = cap - len(head.encode())
        self.room = Room(left, max(0, left) // _NAMES_SHARE)
        self._named: list[str] = []

    def take(self, path: str, language: Language, text: str | None) -> str:
        """The piece that quotes the file; "" if it is only named, since it does not fit or is binary."""
        piece = "" if text is None else quote_file(path, language, text)
        if not self.room.fits(len(piece.encode())):
            piece = ""
        self.add(path, piece)
        return piece

    def add(self, path: str, piece: str) -> None:
        """Take a piece that has room; one that is "" leaves its file to be named."""
        if not piece:
            self._named.append(path)
            return
        self.room = self.room.less(piece)
        self.quoted += 1

    def end(self) -> str:
        """The piece that names what was not quoted, as far as the cap allows; "" if all was."""
        lines: list[str] = []
        left = self.room.left - len(_NAMES_HEAD) - len(_and_more(len(self._named)))
        for path in self._named:
            line = f"- {shown_path(path)}\n"
            if (left := left - len(line.encode())) < 0:
                break
            lines.append(line)
        if not lines:
            return ""
        missing = len(self._named) - len(lines)
        return _NAMES_HEAD + "".join(lines) + (_and_more(missing) if missing else "")


def _and_more(missing: int) -> str:
    return f"\nAnd {missing:,} more.\n"
