"""Fields out of a stream of text, whatever the size of its pieces.

A model answers in sections: a line that begins with `[[ ## name ## ]]`, then the field's text. The
same splitter serves the live stream and the final parsing, so the pieces of a field joined are
always its final text.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

_HEADER = re.compile(r"\[\[ ## (\w+) ## \]\]")
_OPENING = "[[ ## "
# A line that opens like a header and is longer than any header is text.
_LONGEST_HEADER = 120


class FieldSplitter:
    """Cuts one answer into fields.

    White space around a field's text is left out. A header that is no wanted field's opens nothing;
    what stands before the first header belongs to no field. Of a field that comes twice the last text
    counts, since models rehearse the form before they answer: `restarts` goes up, and what was added
    since is all that counts.
    """

    def __init__(self, fields: Iterable[str]) -> None:
        self._wanted = frozenset(fields)
        self._texts: dict[str, list[str]] = {}
        self._current: str | None = None
        #: A line's beginning that may yet turn out to be a header.
        self._held = ""
        #: White space that is part of the text only if more text follows.
        self._space = ""
        self._at_line_start = True
        self.restarts = 0

    @property
    def values(self) -> dict[str, str]:
        """The text of each field seen so far."""
        return {name: "".join(parts) for name, parts in self._texts.items()}

    def feed(self, text: str) -> list[tuple[str, str]]:
        """Take the next piece; what it adds, as (field, text)."""
        added: list[tuple[str, str]] = []
        # Only "\n" ends a line: what else may separate lines is part of the text.
        *lines, rest = text.split("\n")
        for line in lines:
            self._take(line + "\n", added)
        if rest:
            self._take(rest, added)
        return added

    def close(self) -> list[tuple[str, str]]:
        """The stream has ended; what was held back, as (field, text)."""
        added: list[tuple[str, str]] = []
        held, self._held = self._held, ""
        self._emit(held, added)
        return added

    def _take(self, piece: str, added: list[tuple[str, str]]) -> None:
        text = self._held + piece
        self._held = ""
        if self._at_line_start:
            if _may_become_header(text):
                self._held = text
                return
            if header := _HEADER.match(text.lstrip()):
                self._open(header[1], added)
                text = text.lstrip()[header.end() :]
        self._at_line_start = text.endswith("\n")
        self._emit(text, added)

    def _open(self, name: str, added: list[tuple[str, str]]) -> None:
        self._current = name if name in self._wanted else None
        self._space = ""
        if name in self._texts:
            del self._texts[name]
            self.restarts += 1
            added[:] = [(other, text) for other, text in self.values.items() if text]
        if self._current is not None:
            self._texts[name] = []

    def _emit(self, text: str, added: list[tuple[str, str]]) -> None:
        if self._current is None:
            return
        parts = self._texts[self._current]
        text = self._space + text if parts else text.lstrip()
        body = text.rstrip()
        self._space = text[len(body) :] if parts or body else ""
        if body:
            parts.append(body)
            added.append((self._current, body))


def _may_become_header(text: str) -> bool:
    """Whether the beginning of a line is not yet known to be a header or not to be one."""
    if "\n" in text:
        return False
    text = text.lstrip()
    if len(text) < len(_OPENING):
        return _OPENING.startswith(text)
    return (
        text.startswith(_OPENING) and "]]" not in text and len(text) < _LONGEST_HEADER
    )
