"""The headings and paragraphs of HTML, by Python's own parser."""

from __future__ import annotations

from dataclasses import dataclass
from html.parser import HTMLParser

#: What holds words that are no prose.
_NO_PROSE = frozenset({"nav", "ul", "ol", "table", "pre", "script", "style", "summary"})
_HEADINGS = frozenset({"h1", "h2", "h3", "h4", "h5", "h6"})
#: What begins something.
_BEGINNING = _NO_PROSE | _HEADINGS | {"p", "div", "title"}
_ENDING = _BEGINNING | {"body", "html"}
_MARKS = {"p": "", "h1": "# ", "h2": "## ", "h3": "### "}


@dataclass(frozen=True, slots=True)
class HtmlPiece:
    """Words that stand together, in an element of that name; "" outside of those that are known."""

    tag: str
    words: str
    #: How many of the words are in no link.
    unlinked: int


def read_page(text: str) -> str:
    """What a page says, in the marks of Markdown; its title stands for a heading that it does not have."""
    page = HtmlReader()
    page.feed(text)
    page.take()
    titled = any(piece.tag == "h1" for piece in page.pieces)
    title = [] if titled or not page.title else [f"# {page.title}"]
    told = [_MARKS[one.tag] + one.words for one in page.pieces if one.tag in _MARKS]
    return "\n\n".join([*title, *told])


class HtmlReader(HTMLParser):
    """Keeps the words since the last tag that begins something; few pages end their paragraphs."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.pieces: list[HtmlPiece] = []
        self.title = ""
        #: The element that is open, and the characters in it so far.
        self.inside = ""
        self.length = 0
        self._words: list[str] = []
        self._unlinked: list[str] = []
        self._linked = False

    def feed(self, data: str) -> None:
        """See HTMLParser; it breaks on marked sections that no HTML has, and what stands behind one is not read."""
        try:
            super().feed(data)
        except AssertionError:
            self.reset()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """See HTMLParser."""
        if tag in _BEGINNING:
            self.take()
            self.inside = tag
        elif tag == "a":
            self._linked = True
        elif tag in {"br", "img"}:
            self.handle_data(" ")

    def handle_endtag(self, tag: str) -> None:
        """See HTMLParser."""
        if tag in _ENDING:
            self.take()
        elif tag == "a":
            self._linked = False

    def handle_data(self, data: str) -> None:
        """See HTMLParser."""
        self.length += len(data)
        self._words.append(data)
        if not self._linked:
            self._unlinked.append(data)

    def take(self) -> None:
        """What was begun ends here."""
        words = " ".join("".join(self._words).split())
        if self.inside == "title":
            self.title = words
        elif words and self.inside not in _NO_PROSE:
            unlinked = len("".join(self._unlinked).split())
            self.pieces.append(HtmlPiece(self.inside, words, unlinked))
        self.inside, self.length, self._linked = "", 0, False
        self._words, self._unlinked = [], []
