"""Keeping account of a text that quotes whole files: it has a cap in bytes and one in tokens.

What has no room is named at the end, as far as that has room itself.
"""

from __future__ import annotations

from penstock.kinds.llms_txt.formats import Room
from penstock.kinds.llms_txt.markup import shown_path
from penstock.pipeline import estimate_tokens

# The part of the cap kept for naming what is not quoted.
_NAMES_SHARE = 16

#: No text has fewer tokens than a sixteenth of its bytes, but for blanks: so what is far too large
#: need not be read.
MOST_BYTES_PER_TOKEN = 16

_NAMES_HEAD = "\n## Not quoted\n\n"


class FullText:
    """The pieces join to at most `cap` bytes, and to about `max_tokens`.

    Only the head, which is a few short paragraphs, is there whatever the caps. `names_rest`: what is not
    quoted is named at the end.
    """

    def __init__(
        self, head: str, cap: int, max_tokens: int, *, names_rest: bool = True
    ) -> None:
        self.head = head
        self.quoted = 0
        self.not_quoted = 0
        #: Estimated, of all pieces so far.
        self.tokens = estimate_tokens(head)
        self._names_rest = names_rest
        left = max(0, cap - len(head.encode()))
        share = _NAMES_SHARE if names_rest else left + 1
        self.room = Room(left, left // share)
        self._most_tokens = max_tokens
        self._tokens_for_names = max_tokens // _NAMES_SHARE if names_rest else 0
        self._named: list[str] = []

    @property
    def tokens_left(self) -> int:
        """Tokens that quoted files may still take."""
        return max(0, self._most_tokens - self._tokens_for_names - self.tokens)

    def may_fit(self, size: int) -> bool:
        """Whether a file of so many bytes may have room: if not, it need not be read."""
        return self.room.fits(size) and size <= self.tokens_left * MOST_BYTES_PER_TOKEN

    def add(self, path: str, piece: str, tokens: int) -> str:
        """The piece, if it has room; "" leaves its file to be named."""
        has_room = self.room.fits(len(piece.encode())) and tokens <= self.tokens_left
        if not piece or not has_room:
            self.not_quoted += 1
            self._named.append(path)
            return ""
        self.room = self.room.less(piece)
        self.tokens += tokens
        self.quoted += 1
        return piece

    def end(self) -> str:
        """The piece that names what was not quoted, as far as the caps allow; "" if all was."""
        if not self._names_rest:
            return ""
        lines: list[str] = []
        frame = _NAMES_HEAD + _and_more(len(self._named))
        left = self.room.left - len(frame)
        tokens = self._most_tokens - self.tokens - estimate_tokens(frame)
        for path in self._named:
            line = f"- {shown_path(path)}\n"
            left -= len(line.encode())
            tokens -= estimate_tokens(line)
            if left < 0 or tokens < 0:
                break
            lines.append(line)
        if not lines:
            return ""
        missing = len(self._named) - len(lines)
        piece = _NAMES_HEAD + "".join(lines) + (_and_more(missing) if missing else "")
        self.tokens += estimate_tokens(piece)
        return piece


def _and_more(missing: int) -> str:
    return f"\nAnd {missing:,} more.\n"
