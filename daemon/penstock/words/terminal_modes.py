"""What a program switched on in its terminal, and what switches it off: for whoever comes, or leaves.

Read from the bytes as they pass, whatever the pieces they come in.
"""

from __future__ import annotations

import re

#: Private modes that outlive their program unless it, or somebody for it, switches them off: keys of
#: the application (1), the cursor (25), mice, focus and their forms, the other screen, bracketed paste.
KEPT = frozenset({1, 25, 1000, 1002, 1003, 1004, 1005, 1006, 1015, 2004})
#: Those by which programs go to the other screen, and come back from it.
OTHER_SCREEN = frozenset({47, 1047, 1049})
#: What is on in a terminal where nobody switched anything.
ON_FROM_THE_START = frozenset({25})

_SWITCH = re.compile(rb"\x1b\[\?([0-9;]{1,64})([hl])|\x1b([=>c])")
#: What may be the beginning of one, at the end of a piece.
_BEGINNING = re.compile(rb"\x1b(?:\[(?:\?[0-9;]{0,64})?)?\Z")


class TerminalModes:
    """The modes of one terminal."""

    def __init__(self) -> None:
        self._on = set(ON_FROM_THE_START)
        self._keypad = False
        self._pending = b""

    @property
    def on_other_screen(self) -> bool:
        """Whether the program is on the screen that it leaves with its end."""
        return bool(self._on & OTHER_SCREEN)

    def feed(self, data: bytes) -> None:
        """Take what the program wrote."""
        data = self._pending + data
        for numbers, way, other in _SWITCH.findall(data):
            if other == b"c":
                self._on, self._keypad = set(ON_FROM_THE_START), False
            elif other:
                self._keypad = other == b"="
            else:
                self.switch(_numbers(numbers.decode()), on=way == b"h")
        beginning = _BEGINNING.search(data)
        self._pending = b"" if beginning is None else beginning[0]

    def switch(self, numbers: frozenset[int], *, on: bool) -> None:
        """Switch these private modes; others than those above are not kept."""
        known = numbers & (KEPT | OTHER_SCREEN)
        if on:
            self._on |= known
        else:
            self._on -= OTHER_SCREEN | known if known & OTHER_SCREEN else known

    def redo(self) -> str:
        """What brings another terminal, fresh or not, to the same modes; not to the other screen."""
        off = "".join(f"\x1b[?{mode}l" for mode in sorted(KEPT - self._on))
        on = "".join(f"\x1b[?{mode}h" for mode in sorted(KEPT & self._on))
        return f"{off}{on}\x1b{'=' if self._keypad else '>'}"

    def undo(self) -> str:
        """What switches off all that is on; nothing where nothing is."""
        undone = [f"\x1b[?{mode}l" for mode in sorted(self._on & KEPT - ON_FROM_THE_START)]  # fmt: skip
        undone += [f"\x1b[?{mode}h" for mode in sorted(ON_FROM_THE_START - self._on)]
        if self._keypad:
            undone.append("\x1b>")
        if self.on_other_screen:
            undone.append("\x1b[?1049l")
        return "".join(undone)


def _numbers(text: str) -> frozenset[int]:
    return frozenset(
        int(word) for word in text.split(";") if 0 < len(word) < len("10000")
    )
