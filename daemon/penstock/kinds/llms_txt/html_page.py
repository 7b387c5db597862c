"""The headings and paragraphs of a page of HTML, in the marks of Markdown."""

from __future__ import annotations

from html.parser import HTMLParser

#: What holds words that are no prose.
_NO_PROSE = frozenset({"nav", "ul", "ol", "table", "pre", "script", "style"})
_MARKS = {"p": "", "h1": "# ", "h2": "## ", "h3": "### "}


def read_page(text: str) -> str:
    """What a page says; its title stands for a heading that it does not have."""
    page = _Page()
    page.feed(text)
    page.take()
    titled = any(one.startswith("# ") for one in page.pieces)
    title = [] if titled or not page.title else [f"# {page.title}"]
    return "\n\n".join([*title, *page.pieces])


class _Page(HTMLParser):
    """Keeps the words since the last tag that begins something; few pages end their paragraphs."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.pieces: list[str] = []
        self.title = ""
        self._inside = ""
        self._words: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """See HTMLParser."""
        if tag in _NO_PROSE or tag in _MARKS or tag == "title":
            self.take()
            self._inside = tag

    def handle_endtag(self, tag: str) -> None:
        """See HTMLParser."""
        if tag in _NO_PROSE or tag in _MARKS or tag in {"title", "body", "html"}:
            self.take()

    def handle_data(self, data: str) -> None:
        """See HTMLParser."""
        self._words.append(data)

    def take(self) -> None:
        """What was begun ends here."""
        words = " ".join("".join(self._words).split())
        if self._inside == "title":
            self.title = words
        elif self._inside in _MARKS and words:
            self.pieces.append(_MARKS[self._inside] + words)
        self._inside, self._words = "", []
