"""reStructuredText, and plain text, read by docutils: importing it takes a twentieth of a second.

It reads no other file, runs nothing and writes nothing, and what one document defines is not there for the next.
"""

from __future__ import annotations

import io
from collections.abc import Iterator

from docutils import frontend, nodes, utils
from docutils.parsers.rst import Directive, Parser, directives

from penstock.kinds.llms_txt.blocks import Block
from penstock.kinds.llms_txt.markup import strip_markup, tidy

# Characters of a line, and of lines without a blank one between them: each mark is looked for to the end
# of its paragraph, from each that may begin one.
_LONGEST_LINE = 1000
_LONGEST_PARAGRAPH = 2000

# Paragraphs that are parsed: a hundred tables or targets take as long as a whole document does otherwise.
_MOST_PARAGRAPHS = 150


class _Ignored(Directive):
    """Roles that a document defines would stay for the documents read after it."""

    has_content = True
    optional_arguments = 1
    final_argument_whitespace = True

    def run(self) -> list[nodes.Node]:
        """See docutils."""
        return []


for _name in ("role", "default-role"):
    directives.register_directive(_name, _Ignored)

_SETTINGS = frontend.get_default_settings(Parser)
# Above every level that there is: nothing is told, and nothing ends the reading.
_SETTINGS.report_level = _SETTINGS.halt_level = 5
_SETTINGS.file_insertion_enabled = _SETTINGS.raw_enabled = False
_SETTINGS.warning_stream = io.StringIO()
_SETTINGS.syntax_highlight = "none"


def read_rst(text: str) -> list[Block]:
    """The blocks of a document; none if they are nested too deeply."""
    document = utils.new_document("document", _SETTINGS)
    try:
        Parser().parse("\n".join(_bounded(text)), document)
        return list(_blocks(document))
    except RecursionError:
        return []


def _bounded(text: str) -> Iterator[str]:
    """The lines, cut where one or a paragraph is too long, or there are too many."""
    length = count = 0
    for line in text.splitlines():
        line = line[:_LONGEST_LINE]
        ended = not line or line.isspace()
        count += ended and length > 0
        length = 0 if ended else length + len(line) + 1
        if count == _MOST_PARAGRAPHS:
            return
        if length <= _LONGEST_PARAGRAPH:
            yield line


def _blocks(document: nodes.document) -> Iterator[Block]:
    for node in document.findall():
        if isinstance(node, nodes.title) and isinstance(node.parent, nodes.section):
            yield Block(_words(node), _depth(node.parent))
        elif isinstance(node, nodes.paragraph):
            # What is indented, listed or boxed is beside the point.
            if isinstance(node.parent, nodes.section | nodes.document):
                yield Block(_words(node))
        elif isinstance(node, nodes.term) and node.astext() == "NAME":
            # A page of a manual, as text: "NAME", and below it "name - sentence".
            yield Block(_words(node.parent).partition(" - ")[2])


def _depth(node: nodes.Node) -> int:
    depth = 0
    above: nodes.Node | None = node
    while isinstance(above, nodes.section):
        depth, above = depth + 1, above.parent
    return depth


def _words(node: nodes.Node) -> str:
    return tidy(_said(node))


def _said(node: nodes.Node) -> str:
    if isinstance(node, nodes.problematic):
        # Mostly a role of Sphinx.
        return strip_markup(node.astext())
    if isinstance(node, nodes.Text):
        return node.astext()
    if isinstance(node, nodes.image | nodes.substitution_reference | nodes.footnote_reference | nodes.raw):  # fmt: skip
        return " "
    return "".join(_said(child) for child in node.children)
