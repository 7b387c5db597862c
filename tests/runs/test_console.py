"""PT-05: the live channel beside the log: who watches a terminal, and who types."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import trio
import trio.testing

from fakes.kind_runs import Ended, RealPrograms, ended, open_kinds
from penstock.kinds.command import KIND
from penstock.pipeline import NobodyReads
from penstock.processes.pseudoterminal import WindowSize
from penstock.runs.console import Console, Shown
from penstock.testing import InMemoryCore
from penstock.words.errors import Conflict, Refused
from penstock.words.events import Log

SIZE = WindowSize(24, 80)


async def test_all_who_watch_get_what_is_shown_from_then_on() -> None:
    """PT-05"""
    console = Console(SIZE, 100)
    console.show(b"before ")
    with console.open_watch() as first, console.open_watch() as second:
        assert console.watchers == 2
        console.show(b"one ")
        console.show(b"two")
        assert await first.receive() == Shown(b"one two")
        console.show(b" three")
        assert await first.receive() == Shown(b" three")
        assert await second.receive() == Shown(b"one two three")
    assert console.watchers == 0


async def test_a_slow_watcher_loses_what_waits_and_is_told_how_much() -> None:
    """PT-05: nobody else is held up by it, and no memory grows."""
    console = Console(SIZE, 10)
    with console.open_watch() as slow, console.open_watch() as quick:
        for _ in range(1000):
            console.show(b"12345678")
            assert (await quick.receive()).lost == 0
        assert await slow.receive() == Shown(b"12345678", lost=999 * 8)
        console.show(b"on")
        assert await slow.receive() == Shown(b"on")


async def test_what_was_shown_before_the_end_is_received_before_it_is_told() -> None:
    """PT-05"""
    console = Console(SIZE, 100)
    with console.open_watch() as watch:
        console.show(b"last")
        console.end()
        assert await watch.receive() == Shown(b"last")
        with pytest.raises(trio.EndOfChannel):
            await watch.receive()
    with console.open_watch() as late, pytest.raises(trio.EndOfChannel):
        await late.receive()


async def test_who_waits_for_news_is_told_of_the_end() -> None:
    """PT-05"""
    console = Console(SIZE, 100)
    with console.open_watch() as watch, pytest.RaisesGroup(trio.EndOfChannel):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(watch.receive)
            await trio.testing.wait_all_tasks_blocked()
            console.end()


def test_one_writes_at_a_time() -> None:
    """PT-05"""
    console = Console(SIZE, 100)
    with console.open_writer():
        with pytest.raises(Conflict, match="somebody else"), console.open_writer():
            pytest.fail("two writers")
    with console.open_writer():
        pass


def test_a_program_without_a_terminal_is_neither_watched_nor_resized() -> None:
    """PT-05: in a sentence."""
    console = Console(None, 100)
    with pytest.raises(Refused, match="no terminal"), console.open_watch():
        pytest.fail("there is nothing to watch")
    with console.open_writer() as writer, pytest.raises(Refused, match="no terminal"):
        writer.resize(SIZE)


async def test_nobody_writes_to_a_program_that_never_began() -> None:
    console = Console(SIZE, 100)
    with console.open_writer() as writer:
        async with trio.open_nursery() as nursery:

            @nursery.start_soon
            async def _() -> None:
                with pytest.raises(NobodyReads):
                    await writer.write(b"x")

            await trio.testing.wait_all_tasks_blocked()
            console.end()
        assert not writer.open


async def run_typed(tmp_path: Path, argv: list[str], keys: Any, **inputs: Any) -> Ended:
    """A run on a terminal, typed at by `keys` while it is watched."""
    shown = bytearray()

    async def work(core: InMemoryCore) -> None:
        console = await core.core.control.wait_console("r")
        with console.open_watch() as watch, console.open_writer() as writer:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(keys, writer, shown)
                while True:
                    try:
                        shown.extend((await watch.receive()).data)
                    except trio.EndOfChannel:
                        break

    with trio.fail_after(60):
        async with open_kinds(KIND, home=tmp_path, programs=RealPrograms()) as core:
            await core.submit("command", {"argv": argv, **inputs}, run_id="r")
            await work(core)
            await core.wait_ended("r")
            told = await ended(core, "r")
    recorded = "".join(log.text or "" for log in told.of(Log))
    assert recorded.replace("\r", "") == shown.decode().replace("\r", "")
    return told


async def wait_shown(shown: bytearray, text: bytes) -> None:
    while text not in shown:
        await trio.testing.wait_all_tasks_blocked(0.01)


@pytest.mark.processes
async def test_what_is_shown_is_recorded_and_what_is_typed_is_not(
    tmp_path: Path,
) -> None:
    """PT-05: from the same bytes, by the ordinary road; a program that does not echo keeps its secret."""

    async def keys(writer: Any, shown: bytearray) -> None:
        await wait_shown(shown, b"password: ")
        writer.resize(WindowSize(40, 90))
        await writer.write(b"the-secret\n")

    script = "sleep 0.5; stty -echo; printf 'password: '; read word; stty size; echo ${#word} $TERM"
    told = await run_typed(
        tmp_path, ["sh", "-c", script], keys, tty={"rows": 30, "cols": 0}
    )
    assert told.view.state == "completed", told.view.error
    recorded = "".join(log.text or "" for log in told.of(Log))
    assert recorded.split() == ["password:", "40", "90", "10", "xterm-256color"]
    assert not [
        event for event in told.events if "the-secret" in event.model_dump_json()
    ]


@pytest.mark.processes
async def test_the_end_of_file_on_a_terminal_may_be_followed_by_more(
    tmp_path: Path,
) -> None:
    """PT-05: as with any terminal."""

    async def keys(writer: Any, shown: bytearray) -> None:
        await wait_shown(shown, b"first")
        await writer.end_input()
        await wait_shown(shown, b"second")
        assert writer.open
        await writer.end_input()

    script = "sleep 0.5; echo first; cat; echo second; cat; echo third"
    told = await run_typed(tmp_path, ["sh", "-c", script], keys, stdin="tty")
    assert told.view.state == "completed", told.view.error
    assert "third" in "".join(log.text or "" for log in told.of(Log))


@pytest.mark.parametrize(
    "wrong",
    [
        {"tty": {"rows": -1, "cols": 80}},
        {"tty": {"rows": 24, "cols": 70000}},
        {"tty": {"rows": 24, "cols": 80}, "stdin": "open"},
        {"stdin": "pty"},
    ],
)
def test_a_terminal_that_cannot_be_is_refused_at_submit(wrong: Any) -> None:
    """PT-05"""
    with pytest.raises(Refused):
        KIND.parse({"argv": ["true"], **wrong})
