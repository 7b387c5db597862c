"""A keyboard on which a script is typed while questions stand there."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from penstock.cli.keyboard import Keyboard

#: What one read gives; or what happens meanwhile, and gives that: nothing that means anything unless it is
#: text. None: nothing until the next question is put.
Typed = str | Callable[[], object] | None


class TypedKeys(Keyboard):
    """One read after the other, whenever somebody wants to know; "" is the end of the terminal."""

    def __init__(self, ready: int, *script: Typed) -> None:
        """`ready`: what can always be read."""
        super().__init__()
        self._ready, self._script = ready, list(script)
        #: What was wanted, in order; "back": nothing any more.
        self.wanted: list[str] = []
        #: What happens once nothing is wanted any more.
        self.on_back: Callable[[], object] = lambda: None

    @property
    def fileno(self) -> int | None:
        return self._ready if self._script and self._script[0] is not None else None

    def take_keys(self) -> None:
        self.wanted.append("keys")
        if self.wanted.count("keys") > 1 and self._script[:1] == [None]:
            self._script.pop(0)

    def take_lines(self) -> None:
        self.wanted.append("line")

    def give_back(self) -> None:
        self.wanted.append("back")
        self.on_back()

    def read(self) -> str:
        typed = self._script.pop(0)
        if isinstance(typed, str):
            return typed
        pressed = None if typed is None else typed()
        return pressed if isinstance(pressed, str) else "\0"


@contextmanager
def open_typed_keys(*script: Typed) -> Iterator[TypedKeys]:
    """One with this script."""
    ours, theirs = os.pipe()
    os.close(theirs)
    try:
        # The end of what nobody writes any more can always be read.
        yield TypedKeys(ours, *script)
    finally:
        os.close(ours)
