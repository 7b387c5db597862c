"""An outline as the text of llms.txt, in the form of llmstxt.org.

One H1, a quoted summary, paragraphs, and H2 sections that hold nothing but link lines. Titles
have no brackets and addresses no parentheses, so that a parser made of regular expressions reads
the same links as a Markdown parser.
"""

from __future__ import annotations

from collections.abc import Iterator

from penstock.kinds.llms_txt.describe import NOTE_LENGTH, TITLE_LENGTH
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
