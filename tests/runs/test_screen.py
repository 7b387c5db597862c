"""PT-05: the kept screen of a terminal, which nobody waits for but who asks for it."""

from __future__ import annotations

import pytest
import trio
import trio.testing

from penstock.processes.pseudoterminal import WindowSize
from penstock.runs.console import Console
from penstock.runs.emulator import Emulator
from penstock.runs.screen import LAST_BYTES, MOST_BEHIND, KeptScreen

SIZE = WindowSize(4, 40)


class Program:
    """Takes nothing, and notes its sizes."""

    def __init__(self) -> None:
        self.sizes: list[WindowSize] = []

    async def send_all(self, data: bytes) -> None:
        await trio.lowlevel.checkpoint()

    async def send_eof(self) -> None:
        await trio.lowlevel.checkpoint()

    def resize(self, size: WindowSize) -> None:
        self.sizes.append(size)


async def test_the_screen_is_that_of_the_moment_in_which_it_was_asked_for() -> None:
    """PT-05: what is shown later is not on it, for it follows."""
    screen = KeptScreen(SIZE)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(screen.keep)
        screen.push(b"before")
        taken: list[str] = []

        async def take() -> None:
            taken.append(await screen.take())

        async with trio.open_nursery() as asking:
            asking.start_soon(take)
            # A turn to begin, and one to ask.
            await trio.lowlevel.checkpoint()
            await trio.lowlevel.checkpoint()
            screen.push(b" and after")
        assert "before" in taken[0]
        assert "after" not in taken[0]
        assert "before and after" in await screen.take()
        nursery.cancel_scope.cancel()


async def test_a_flood_is_left_out_and_its_end_shows() -> None:
    """PT-05: bounded in memory and in time."""
    screen = KeptScreen(SIZE)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(screen.keep)
        for _ in range(2000):
            screen.push(b"flood\r\n" * 4000)
            assert screen._behind <= MOST_BEHIND
        screen.push(b"the end")
        with trio.fail_after(20):
            assert "the end" in await screen.take()
        nursery.cancel_scope.cancel()


@pytest.mark.parametrize("seconds", [-1.0, 20.0])
async def test_who_asks_does_not_wait_for_what_takes_long_to_draw(
    monkeypatch: pytest.MonkeyPatch, seconds: float
) -> None:
    """PT-05: a few bytes may be the work of a whole screen; the last ones and sizes are not left out."""
    monkeypatch.setattr("penstock.runs.screen.ASKED_SECONDS", seconds)
    fed = bytearray()
    feed = Emulator.feed

    def noted(emulator: Emulator, data: bytes) -> None:
        fed.extend(data)
        feed(emulator, data)

    monkeypatch.setattr(Emulator, "feed", noted)
    screen = KeptScreen(SIZE)
    work = b"\x1b[2Jwork" * 4000
    async with trio.open_nursery() as nursery:
        nursery.start_soon(screen.keep)
        screen.push(work)
        screen.resize(WindowSize(5, 9))
        screen.push(b"\x1b[2J\x1b[Hlast")
        with trio.fail_after(20):
            assert "last" in await screen.take()
        assert (len(fed) > len(work)) is (seconds > 0)
        # What is cut begins with a sequence, so that no part of one is shown as text.
        assert seconds > 0 or (len(fed) <= LAST_BYTES and fed.startswith(b"\x1b[2J"))
        assert screen._behind == 0
        monkeypatch.setattr("penstock.runs.screen.ASKED_SECONDS", 20.0)
        screen.push(b"\x1b[5;1Hfoot")
        assert "\x1b[5;1Hfoot" in await screen.take()
        nursery.cancel_scope.cancel()


async def test_whoever_waits_for_a_screen_is_let_go_at_the_end() -> None:
    """PT-05: also of a program that never began."""
    screen = KeptScreen(SIZE)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(screen.take)
        await trio.testing.wait_all_tasks_blocked()
        screen.end()
    assert await screen.take() == ""


async def test_the_first_who_comes_soon_gets_all_of_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """PT-05: and only the first; half a minute later there is the screen."""
    for seconds, whole in ((30.0, True), (0.0, False)):
        monkeypatch.setattr("penstock.runs.console.FIRST_SECONDS", seconds)
        console = Console(SIZE, 1000)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(console.feed, Program())
            await trio.testing.wait_all_tasks_blocked()
            console.show(b"first")
            with console.open_watch(first=True) as first:
                assert first.whole is whole
                with console.open_watch(first=True) as second:
                    assert not second.whole
            nursery.cancel_scope.cancel()


async def test_a_size_that_is_set_before_the_program_begins_is_its_size() -> None:
    """PT-05"""
    console, program = Console(SIZE, 1000), Program()
    with console.open_writer() as writer:
        writer.resize(WindowSize(9, 9))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(console.feed, program)
        await trio.testing.wait_all_tasks_blocked()
        assert program.sizes == [WindowSize(9, 9)]
        nursery.cancel_scope.cancel()
