"""Markdown, read by markdown-it-py: importing it takes a twentieth of a second."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from markdown_it import MarkdownIt
from markdown_it.token import Token

from penstock.kinds.llms_txt.blocks import Block
from penstock.kinds.llms_txt.html_page import HtmlReader
from penstock.kinds.llms_txt.markup import (
    cut_comments,
    plain_roles,
    strip_markup,
    tidy,
    without_links,
)

# What is no CommonMark: pages of sites begin with fields, and hold boxes of which the words are beside the point.
_FRONT_MATTER = re.compile(r"\A---\n(.{0,4000}?)\n---\n", re.DOTALL)
_FRONT_TITLE = re.compile(r"^title:\s*+[\"']?(.+)$", re.MULTILINE)
_OPENS_BOX = re.compile(r":::[ \t]{0,9}\w")
# Characters of such a box; one that goes on behind them was not closed.
_LONGEST_BOX = 4000
# Characters of a line: only the beginning of a paragraph is told.
_LONGEST_LINE = 2000
# Characters of a heading in HTML, which may go on behind blank lines.
_LONGEST_HEADING = 600
# Words outside of links that make prose of what stands in HTML: of badges and links there are none.
_TELLING = 3

# What stands between headings and prose, and is neither.
_OTHERS = frozenset({"blockquote_open", "bullet_list_open", "code_block", "fence", "ordered_list_open", "table_open"})  # fmt: skip

_PARSER = MarkdownIt("commonmark").enable("table")


def read_markdown(text: str, longest: int) -> list[Block]:
    """The blocks at the beginning of a document: fields before it and comments do not count."""
    front = _FRONT_MATTER.match(text)
    titled = _FRONT_TITLE.search(front[1]) if front else None
    text = cut_comments(text[front.end() :] if front else text)
    text = plain_roles(_without_boxes(text) if ":::" in text else text)
    title = [Block(strip_markup(_unquoted(titled[1])), 0)] if titled else []
    lines = (line[:_LONGEST_LINE] for line in text[:longest].split("\n"))
    return [*title, *_blocks(_PARSER.parse("\n".join(lines)))]


def _without_boxes(text: str) -> str:
    """`text` without what stands from `:::word` to `:::`. A search by pattern would start anew at each open box."""
    kept: list[str] = []
    box: list[str] = []
    length = 0
    for line in text.split("\n"):
        if not (box or _OPENS_BOX.match(line)):
            kept.append(line)
            continue
        box.append(line)
        length += len(line)
        if line.rstrip(" \t") == ":::":
            # What stands above and below it is not joined.
            kept.append("")
        elif length > _LONGEST_BOX:
            kept += box
        else:
            continue
        box, length = [], 0
    return "\n".join([*kept, *box])


def _unquoted(title: str) -> str:
    """A title of front matter without the quote at its end; the one at its beginning is off."""
    title = title.rstrip()
    return title[:-1] if len(title) > 1 and title[-1] in "\"'" else title


def _blocks(tokens: Sequence[Token]) -> Iterator[Block]:
    page = HtmlReader()
    first = True
    for number, token in enumerate(tokens):
        if token.type == "html_block":
            page.feed(token.content)
        elif token.type in {"heading_open", "paragraph_open"} and token.level == 0:
            inline = tokens[number + 1]
            if page.inside == "h1" and page.length < _LONGEST_HEADING:
                page.feed(inline.content)
                continue
            yield from _told(page)
            level = int(token.tag[1]) if token.type == "heading_open" else None
            # What is underlined at the very beginning is a title, whichever line was drawn.
            underlined = level == 2 and token.markup == "-" and first
            yield Block(_words(inline.children or []), 1 if underlined else level)
            first = False
        elif token.level == 0 and token.type in _OTHERS:
            yield from _told(page)
            # A heading below it does not open the document.
            yield Block("")
            first = False
    page.take()
    yield from _told(page)


def _told(page: HtmlReader) -> Iterator[Block]:
    """What HTML has said until here. A heading below the first is mostly a motto."""
    for piece in page.pieces:
        if piece.tag == "h1":
            yield Block(piece.words, 1, html=True)
        elif piece.unlinked >= _TELLING:
            yield Block(piece.words, html=True)
    page.pieces.clear()


def _words(children: Sequence[Token]) -> str:
    said = (
        one.content if one.type in {"text", "code_inline"} else _BETWEEN.get(one.type, "")
        for one in children
    )  # fmt: skip
    # Where a link goes may stand behind what is parsed.
    return tidy(without_links("".join(said)))


_BETWEEN = dict.fromkeys(("softbreak", "hardbreak", "image", "html_inline"), " ")
