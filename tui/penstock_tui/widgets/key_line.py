"""The last line of a screen: what can be pressed now. Nothing is cut, and the way out is always told.

Textual's own footer is remade after every change of focus, and cuts what has no room.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from rich.style import Style
from rich.text import Text
from textual.events import Click
from textual.screen import Screen

from penstock_tui.theme import Tones
from penstock_tui.widgets.panel import Panel

#: Actions whose keys are told however narrow the screen is.
ALWAYS = frozenset({"app.keys", "app.quit"})


class Key(NamedTuple):
    """A key as it is shown, what it does, the action behind it, and the key as it is pressed."""

    shown: str
    what: str
    action: str
    pressed: str

    @property
    def width(self) -> int:
        """Cells it takes; one more stands between two keys."""
        return len(self.shown) + 1 + len(self.what)


def fitting(keys: Sequence[Key], width: int) -> tuple[Key, ...]:
    """The keys that have room, the first ones first; those of `ALWAYS` whatever happens."""
    room = width - sum(key.width + 1 for key in keys if key.action in ALWAYS) + 1
    kept: list[Key] = []
    full = False
    for key in keys:
        if key.action in ALWAYS:
            kept.append(key)
        elif not full and key.width + 1 <= room:
            kept.append(key)
            room -= key.width + 1
        else:
            full = True
    return tuple(kept)


class KeyLine(Panel):
    """Follows the bindings of its screen; a click does what the key does."""

    def on_mount(self) -> None:
        self.screen.bindings_updated_signal.subscribe(self, self._follow)
        self._follow(self.screen)

    def _follow(self, screen: Screen[Any]) -> None:
        if screen is not self.screen:
            return
        found: dict[str, Key] = {}
        for _, binding, enabled, _ in screen.active_bindings.values():
            if binding.show and enabled and binding.action not in found:
                found[binding.action] = Key(
                    self.app.get_key_display(binding),
                    binding.description,
                    binding.action,
                    binding.key,
                )
        self.show(tuple(found.values()))

    def draw(self, tones: Tones) -> Text:
        keys = self.value
        assert isinstance(keys, tuple)
        text = Text()
        told = fitting(keys, self.size.width)
        roomy = sum(key.width + 2 for key in told) <= self.size.width
        for key in told:
            meta = Style(meta={"key": key.pressed})
            text.append(" " * (1 + roomy) if text else "")
            text.append(key.shown, tones.colour("accent") + meta)
            text.append(f" {key.what}", meta)
        return text

    def on_click(self, event: Click) -> None:
        """A click on a key presses it."""
        if key := event.style.meta.get("key"):
            self.app.simulate_key(key)
