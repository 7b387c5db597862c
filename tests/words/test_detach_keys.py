"""PT-05: the keys that leave an attached terminal, and what a program left switched on there."""

from __future__ import annotations

import pytest

from penstock.words.detach_keys import DetachKeys, keys_of
from penstock.words.terminal_modes import TerminalModes

KEYS = keys_of("C-\\ C-\\")


@pytest.mark.parametrize(
    ("text", "typed"),
    [("C-\\ C-\\", b"\x1c\x1c"), ("C-a d", b"\x01d"), ("C-p C-q", b"\x10\x11"), ("C-@", b"\0")],
)  # fmt: skip
def test_keys_are_what_a_terminal_sends(text: str, typed: bytes) -> None:
    """PT-05"""
    assert keys_of(text) == typed


@pytest.mark.parametrize("text", ["", "C-", "C-1", "ab", "\u00e9", "a " * 9])
def test_what_is_no_key_is_refused(text: str) -> None:
    """PT-05"""
    with pytest.raises(ValueError, match="key"):
        keys_of(text)


def test_keys_are_found_however_they_are_cut() -> None:
    """PT-05: what is typed before them is the program's, and what comes after is nobody's."""
    keys = DetachKeys(KEYS)
    assert keys.feed(b"one\x1c") == b"one"
    assert not keys.typed
    assert keys.feed(b"\x1cafter") == b""
    assert keys.typed


def test_one_of_them_alone_reaches_the_program() -> None:
    """PT-05: with the next key, or when nothing follows."""
    keys = DetachKeys(KEYS)
    assert keys.feed(b"\x1c") + keys.feed(b"x") == b"\x1cx"
    assert keys.feed(b"\x1c") == b""
    assert keys.give_up() == b"\x1c"
    assert keys.feed(b"\x1c") == b""
    assert not keys.typed


def test_what_was_switched_on_is_switched_off() -> None:
    """PT-05: however it was cut; where nothing is on, nothing is written."""
    modes = TerminalModes()
    assert modes.undo() == ""
    for byte in b"text\x1b[?1049h\x1b[?25l\x1b[?1000;1006h\x1b=\x1b[?2004h\x1b[?2004l":
        modes.feed(bytes([byte]))
    assert modes.undo() == "\x1b[?1000l\x1b[?1006l\x1b[?25h\x1b>\x1b[?1049l"
    modes.feed(b"\x1b[?1049l\x1b[?25h\x1b[?1000l\x1b[?1006l\x1b>")
    assert modes.undo() == ""
