"""PT-05: what a terminal shows, kept for whoever attaches later, whatever a program writes."""

from __future__ import annotations

import random
import tracemalloc

import pytest

from fakes.few_numbers import some_fast
from penstock.processes.pseudoterminal import WindowSize
from penstock.runs.emulator import Emulator

SIZE = WindowSize(4, 20)
SEED = 20
WORDS = [
    b"\x1b[", b"\x1b]", b"\x1bP", b"\x1b", b"?", b">", b";", b":", b"1", b"99999", b"h", b"l", b"m",
    b"38;5;300", b"48;2;999;1;1", b"r", b"J", b"K", b"S", b"T", b"b", b"L", b"M", b"@", b"P", b"X",
    b"7", b"8", b"c", b"\xc3", b"\xcc\x81", b"\xe4\xb8\xad", b"\xe2\x80\x8d", b"a", b"\n", b"\t",
    b"\b", b"\x0e", b"\x0f", b"(0", b"1049", b"\x07", b"\x18", b"d", b"H", b"\x9b", b"\xc2\x9b", b"\0",
]  # fmt: skip


def shown(emulator: Emulator) -> list[str]:
    """The rows that a terminal shows which is drawn on from nothing."""
    other = Emulator(SIZE)
    other.feed(emulator.render().encode())
    return rows(other)


def rows(emulator: Emulator) -> list[str]:
    return [row.rstrip() for row in emulator._screen.display]


def fed(*pieces: bytes) -> Emulator:
    emulator = Emulator(SIZE)
    for piece in pieces:
        emulator.feed(piece)
    return emulator


def test_what_is_drawn_is_what_was_shown() -> None:
    """PT-05: text, wide characters, colours, lines of the old set, and the place of the cursor."""
    emulator = fed(
        b"one\r\n\x1b[1;31mred\x1b[0m \xe4\xb8\xad\x1b(0qq\x1b(B\x1b[3;5Hhere"
    )
    assert shown(emulator) == ["one", "red \u4e2d\u2500\u2500", "    here", ""]
    drawn = emulator.render()
    assert "\x1b[0;1;31mred" in drawn
    assert "\x1b[3;9H" in drawn


def test_an_escape_may_be_cut_anywhere() -> None:
    """PT-05"""
    text = b"a\x1b[2;3Hb\x1b]0;title\x1b\\c\x1b[?1049h\xe4\xb8\xadd\x1b[?25l"
    whole = fed(text).render()
    for place in range(1, len(text)):
        assert fed(text[:place], text[place:]).render() == whole


def test_the_other_screen_is_left_as_it_was_entered() -> None:
    """PT-05: what an editor drew is gone when it ends, and what was there before is there again."""
    emulator = fed(b"before", b"\x1b[?1049h\x1b[Hediting\x1b[?2004h\x1b[?1h\x1b=")
    assert shown(emulator)[0] == "editing"
    drawn = emulator.render()
    for mode in ("\x1b[?1049h", "\x1b[?2004h", "\x1b[?1h", "\x1b="):
        assert mode in drawn
    emulator.feed(b"\x1b[?1049l")
    assert shown(emulator)[0] == "before"
    assert "1049" not in emulator.render()


def test_what_is_no_text_is_not_shown_as_such() -> None:
    """PT-05: titles, questions of other protocols, and settings that the library takes for colours."""
    emulator = fed(
        b"\x1b]0;title\x07\x1bP+q544e\x1b\\\x1b[>4;2m\x1b[>1u\x1b[?4m\x1b[=5uok\xc2\x9b31m"
    )
    assert shown(emulator)[0] == "ok31m"
    assert "\x1b[0;4" not in emulator.render()


def test_scrolling_and_repeating_are_done() -> None:
    """PT-05: programs use both, and the library has neither."""
    assert shown(fed(b"-\x1b[5b\r\n2\r\n3\r\n4\x1b[2S")) == ["3", "4", "", ""]
    assert shown(fed(b"-\x1b[5b\x1b[T"))[:2] == ["", "------"]


@pytest.mark.parametrize("size", [(0, 0), (1, 1), (1000, 1000)])
def test_any_size_is_taken(size: tuple[int, int]) -> None:
    """PT-05"""
    emulator = Emulator(WindowSize(*size))
    emulator.feed(b"text\r\n" * 2000)
    assert len(emulator.render()) < 10_000
    emulator.resize(SIZE)
    assert shown(emulator)[3] in ("", "text")


@pytest.mark.parametrize("pieces", some_fast([200, 2000], 1))
def test_no_bytes_break_it(pieces: int) -> None:
    """PT-05: fuzzed; what was drawn of it can be drawn, and it goes on after each."""
    chance = random.Random(SEED)
    emulator = Emulator(SIZE)
    for number in range(pieces):
        emulator.feed(
            chance.randbytes(100)
            if number % 2
            else b"".join(chance.choices(WORDS, k=40))
        )
        if number % 20 == 0:
            emulator.resize(WindowSize(chance.randrange(300), chance.randrange(600)))
            Emulator(SIZE).feed(emulator.render().encode())
    emulator.feed(b"\x18\x1b\\\x1bc")
    emulator.resize(SIZE)
    emulator.feed(b"alive")
    assert rows(emulator)[0] == "alive"


@pytest.mark.slow
def test_a_mebibyte_of_anything_takes_bounded_memory() -> None:
    """PT-05: fuzzed with sizes that change between, up to the largest screen and its redrawing."""
    chance = random.Random(SEED)
    emulator, left = Emulator(SIZE), 1024 * 1024
    tracemalloc.start()
    try:
        while left > 0:
            piece = chance.randbytes(chance.randrange(16 * 1024))
            emulator.feed(piece)
            left -= len(piece)
            emulator.resize(WindowSize(chance.randrange(60), chance.randrange(160)))
            assert len(emulator.render()) < 60 * 160 * 60
        # Two screens of cells, and what one piece is while it is read.
        assert tracemalloc.get_traced_memory()[1] < 32 * 1024 * 1024
    finally:
        tracemalloc.stop()


def test_a_repeated_character_fills_a_row_and_no_screen() -> None:
    """PT-05: from seven bytes."""
    emulator = fed(b"a\x1b[9999b")
    assert sum(len(row.strip()) for row in shown(emulator)) == SIZE.cols + 1


@pytest.mark.parametrize(
    "piece",
    [b"\x1b]0;" + b"x" * 996, b"\xcc\x81" * 500, b"\x1b7" * 500, b"\x1b[" + b"1" * 998, b"x" * 1000],
    ids=["title", "marks", "places", "digits", "text"],
)  # fmt: skip
def test_nothing_that_is_written_grows_it(piece: bytes) -> None:
    """PT-05: without end, and it is no larger than a screen."""
    emulator = fed(b"a", *[piece] * 10)
    tracemalloc.start()
    try:
        for _ in range(30):
            emulator.feed(piece)
        size, _peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert size < 20_000


def test_a_moment_is_a_moment() -> None:
    """PT-05: what costs most is stopped in between, and the rest is left for the next time."""
    emulator = Emulator(WindowSize(1000, 1000))
    emulator.feed(b"x" * 50_000)
    taken = emulator.feed_for(b"\x1b[2J" * 10_000, 0)
    assert 0 < taken < 1000
