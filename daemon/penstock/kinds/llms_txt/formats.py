"""The forms of the texts: llms.txt as llmstxt.org has it, and how llms-full.txt and llms-ctx.txt quote a file.

llms.txt has one H1, a quoted summary, paragraphs, and H2 sections that hold nothing but link lines.
Titles have no brackets and addresses no parentheses, so that a parser made of regular expressions
reads the same links as a Markdown parser.

In llms-full.txt every file stands in a fence that is longer than any run of backticks inside it, so
that nothing quoted can pass for a heading of ours. In llms-ctx.txt it stands in an element, and what would end
that is defused.
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

_BACKTICKS = re.compile(r"`{3,}")
# Ends of our own elements.
_CLOSING = re.compile(r"</(?=(?:doc|docs|code|examples|files|project)\s*>)", re.IGNORECASE)  # fmt: skip

_INFO_STRINGS: dict[Language, str] = {
    "python": "python",
    "markdown": "markdown",
    "rst": "rst",
}

# A terminal would obey these; tab and newline are all that a text needs of them.
_OBEYED = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


def head_title(outline: Outline) -> str:
    """The words of the H1."""
    return title_of(outline.title, "Source", TITLE_LENGTH)


def render_head(outline: Outline) -> str:
    """H1, summary and info: the beginning of both files."""
    title = head_title(outline)
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
            lines = "".join(link_line(link, base_url) for link in links)
            yield f"\n## {section}\n\n{lines}"


def link_line(link: Link, base_url: str) -> str:
    """The line of llms.txt that lists a file."""
    title, note = linked_text(link)
    return f"- [{title}]({base_url}{encode_path(link.path)})" + (
        f": {note}\n" if note else "\n"
    )


def _visible(text: str) -> str:
    return _OBEYED.sub("\N{REPLACEMENT CHARACTER}", text).rstrip("\n") + "\n"


def quote_element(title: str, note: str, text: str) -> str:
    """One file as an element of llms-ctx.txt."""
    text = _CLOSING.sub(r"<\\/", _visible(text)) if "</" in text else _visible(text)
    told = f" desc={_attribute(note)}" if note else ""
    return f"<doc title={_attribute(title)}{told}>\n{text}</doc>\n"


def _attribute(text: str) -> str:
    # Most runs write no llms-ctx.txt, and the process that reads a tree lives for a tenth of a second.
    from html import escape

    return f'"{escape(text, quote=True)}"'


def context_head(outline: Outline) -> str:
    """What stands before the elements of llms-ctx.txt, and opens the one around all."""
    title, summary, *info = render_head(outline).rstrip("\n").split("\n\n")
    title = _attribute(title.removeprefix("# "))
    summary = _attribute(summary.removeprefix("> "))
    words = _CLOSING.sub(r"<\\/", "\n\n".join(info))
    return f"<project title={title} summary={summary}>\n{words}\n"


def linked_text(link: Link) -> tuple[str, str]:
    """A link's title and note as they are shown."""
    title = title_of(link.title, shown_path(link.path), TITLE_LENGTH)
    return title, one_line(link.note, NOTE_LENGTH)


def quote_file(path: str, language: Language, text: str) -> str:
    """One file as a section of its own."""
    text = _visible(text)
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
