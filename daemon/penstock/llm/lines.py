"""Lines out of bytes that arrive in pieces."""

from __future__ import annotations

from penstock.llm.chat import StreamBroken

#: A line of a stream holds one token or one closing record; a longer one is not our protocol.
LONGEST_LINE = 1024 * 1024


class LineSplitter:
    """Cuts bytes into lines before they are decoded: a character may arrive in two pieces."""

    def __init__(self) -> None:
        self._pending = bytearray()

    def feed(self, piece: bytes) -> list[str]:
        """The lines that `piece` completes. StreamBroken if one is too long or not UTF-8."""
        searched = len(self._pending)
        self._pending += piece
        if b"\n" not in piece:
            if searched + len(piece) > LONGEST_LINE:
                raise StreamBroken(
                    f"the model server sent a line of over {LONGEST_LINE} bytes"
                )
            return []
        *lines, rest = self._pending.split(b"\n")
        self._pending = rest
        return [decode(line) for line in lines]

    def close(self) -> list[str]:
        """The last line, if it had no end."""
        rest, self._pending = self._pending, bytearray()
        return [decode(rest)] if rest else []


def decode(line: bytes | bytearray) -> str:
    """The text of a line. StreamBroken if it is not UTF-8."""
    try:
        return line.rstrip(b"\r").decode("utf-8")
    except UnicodeDecodeError:
        raise StreamBroken("the model server sent bytes that are not UTF-8") from None
