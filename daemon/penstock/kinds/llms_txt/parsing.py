"""The headings and paragraphs of a document, as the parser of its form reads them.

Markdown is read by markdown-it-py, reStructuredText by docutils, and other forms in the marks of Markdown. Both are
imported where the first document of theirs is read, which is in the confined process.
"""

from __future__ import annotations

from collections.abc import Sequence

from penstock.kinds.llms_txt.blocks import Block
from penstock.kinds.llms_txt.languages import Language
from penstock.kinds.llms_txt.written import as_markdown

#: Characters of a document that are parsed. What takes the parsers longest takes a tenth of a second of a CPU then.
PARSED = 8 * 1024


def read_blocks(text: str, language: Language) -> Sequence[Block]:
    """Those at the beginning of a document, in order; none if it cannot be parsed.

    Plain text is mostly written as reStructuredText is, unless it begins with a heading of Markdown.
    """
    if language == "rst" or (language == "text" and not text.lstrip().startswith("#")):
        from penstock.kinds.llms_txt.read_rst import read_rst

        return read_rst(text[:PARSED])
    from penstock.kinds.llms_txt.read_markdown import read_markdown

    return read_markdown(as_markdown(text, language), PARSED)
