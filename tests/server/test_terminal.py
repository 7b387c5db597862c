"""PT-05: a run's terminal over WebSocket, beside the log."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import trio
import trio.testing

from fakes.house import TOKEN, House, open_house
from penstock.client.remote_terminal import (
    AttachedTerminal,
    Missed,
    Over,
    Screen,
    open_terminal,
)
from penstock.kinds.command import KIND
from penstock.processes.pseudoterminal import WindowSize
from penstock.runs.console import Console
from penstock.testing import FakeProcesses, FakeProgram
from penstock.words.address import Address, socket_address
from penstock.words.api import SubmitRequest
from penstock.words.errors import (
    Conflict,
    PenstockError,
    Refused,
    RunNotFound,
    Terminal,
)
from penstock.words.events import ProcessStarted, RunCompleted

pytestmark = pytest.mark.sockets

KIB = 1024


def programs() -> FakeProcesses:
    return FakeProcesses(
        {"parrot": FakeProgram.echoing(), "deaf": FakeProgram.hanging(b"hello")}
    )


@asynccontextmanager
async def open_run(
    program: str = "parrot", unix: Path | None = None, **config: Any
) -> AsyncIterator[tuple[House, Address]]:
    """A house in which the run `r` has a terminal, and where it is."""
    async with open_house(unix, KIND, processes=programs(), **config) as house:
        inputs = {"argv": [program], "stdin": "tty"}
        request = SubmitRequest(kind="command", inputs=inputs, run_id="r")
        await house.core.submitter.submit(request)
        await house.wait_fact("r", ProcessStarted)
        address = (
            Address(f"http://127.0.0.1:{house.port}", token=TOKEN)
            if unix is None
            else socket_address(unix)
        )
        yield house, address


def console_of(house: House) -> Console:
    console = house.core.control.table.executions["r"].console
    assert console is not None
    return console


@asynccontextmanager
async def attached(
    address: Address,
    run_id: str = "r",
    *,
    watch: bool = False,
    rows: int = 0,
    cols: int = 0,
) -> AsyncIterator[AttachedTerminal]:
    with trio.fail_after(60):
        async with open_terminal(
            address, run_id, watch=watch, rows=rows, cols=cols
        ) as remote:
            yield remote


async def seen(remote: AttachedTerminal, text: bytes) -> bytes:
    """What it shows, until it has shown this."""
    shown = b""
    while text not in shown:
        piece = await remote.receive()
        assert isinstance(piece, bytes), piece
        shown += piece
    return shown


@pytest.mark.parametrize("socket", [False, True], ids=["tcp", "unix"])
async def test_what_is_typed_arrives_and_what_is_shown_comes_back(
    socket: bool, tmp_path: Path
) -> None:
    """PT-05: over TCP and over the Unix socket; nothing typed is recorded but by its echo."""
    unix = tmp_path / "s" if socket else None
    async with open_run(unix=unix) as (house, address), attached(address) as remote:
        assert await remote.receive() == Screen("")
        await remote.send(b"\x00\xff one")
        assert await seen(remote, b"one") == b"\x00\xff one"
        assert house.core.control.table.executions["r"].console is not None


async def test_the_first_who_comes_gets_all_and_the_next_the_screen() -> None:
    """PT-05"""
    async with open_run("deaf") as (_house, address):
        async with attached(address) as remote:
            assert await remote.receive() == Screen("")
            assert await seen(remote, b"hello") == b"hello"
        async with attached(address, watch=True) as remote:
            screen = await remote.receive()
            assert isinstance(screen, Screen)
            assert "hello" in screen.text


async def test_one_types_and_others_watch() -> None:
    """PT-05: the second is told so, and may watch; what one who watches types goes nowhere."""
    async with open_run() as (house, address), attached(address) as writer:
        await writer.receive()
        async with attached(address) as second:
            with pytest.raises(Conflict, match="somebody else"):
                await second.receive()
        async with attached(address, watch=True) as watcher:
            await watcher.receive()
            await watcher.send(b"unheard")
            await watcher.resize(7, 7)
            await writer.send(b"heard")
            assert await seen(watcher, b"heard") == b"heard"
            assert console_of(house).size == WindowSize().usable()


async def test_the_terminal_gets_the_size_of_the_one_who_types() -> None:
    """PT-05: at first and later; of 0x0 it is a usual one."""
    async with (
        open_run() as (house, address),
        attached(address, rows=10, cols=33) as remote,
    ):
        await remote.receive()
        assert console_of(house).size == (10, 33)
        await remote.resize(0, 0)
        await remote.send(b"after")
        await seen(remote, b"after")
        assert console_of(house).size == (24, 80)


@pytest.mark.parametrize("socket", [False, True], ids=["tcp", "unix"])
async def test_who_leaves_makes_room_even_while_its_program_does_not_read(
    socket: bool, tmp_path: Path
) -> None:
    """PT-05: gone in the middle of whatever it was saying; the program goes on."""
    unix = tmp_path / "s" if socket else None
    stall = 30 if socket else 1
    async with open_run("deaf", unix, stall_timeout=stall) as (house, address):
        async with attached(address) as remote:
            await remote.receive()
            with trio.move_on_after(1):
                for _ in range(1000):
                    await remote.send(bytes(32 * KIB))
        with trio.fail_after(60):
            await until_free(address)
        assert not console_of(house).over


async def until_free(address: Address) -> None:
    """Until one may type again."""
    while True:
        async with attached(address) as remote:
            try:
                await remote.receive()
            except Conflict:
                await trio.sleep(0.1)
            else:
                return


async def test_a_slow_watcher_is_told_what_it_missed_and_shown_the_screen(
    tmp_path: Path,
) -> None:
    """PT-05: and nobody else feels it."""
    # The kernel keeps 200 KiB for a Unix socket, and many times that for TCP, all to be drawn.
    opened = open_run("deaf", tmp_path / "s", watch_bytes=64 * KIB)
    async with opened as (house, address):
        async with attached(address, watch=True) as slow:
            await slow.receive()
            console = console_of(house)
            for _ in range(30):
                console.show(b"x" * 32 * KIB)
                await trio.lowlevel.checkpoint()
            console.show(b"\x1b[2J\x1b[Hat last")
            missed, shown = 0, ""
            while "at last" not in shown:
                frame = await slow.receive()
                missed += frame.count if isinstance(frame, Missed) else 0
                shown = frame.text if isinstance(frame, Screen) else shown
            assert missed > 0


async def test_a_watch_goes_on_where_its_screen_ends() -> None:
    """PT-05: what is on it does not follow, for one who comes too late to get everything."""
    async with open_run("deaf", watch_bytes=1000) as (house, address):
        console_of(house).show(b"a" * 900)
        console_of(house).show(b"b" * 900)
        async with attached(address) as remote:
            screen = await remote.receive()
            assert isinstance(screen, Screen)
            assert "bbb" in screen.text
            console_of(house).show(b"next")
            assert await remote.receive() == b"next"


async def test_the_end_is_told() -> None:
    """PT-05: of the program, and of the daemon."""
    async with open_run() as (house, address), attached(address) as remote:
        await remote.receive()
        await house.core.control.cancel("r", "enough")
        with trio.fail_after(60):
            while not isinstance(got := await remote.receive(), Over):
                pass
        assert got == Over("the program has ended")
    async with open_run() as (house, address), attached(address) as remote:
        await remote.receive()
        house.shutdown.end_streams()
        assert await remote.receive() == Over("the daemon is stopping")


@pytest.mark.parametrize(
    ("run_id", "error"), [("none", RunNotFound), ("ended", Terminal), ("open", Refused)]
)
async def test_what_has_no_terminal_is_refused_in_a_sentence(
    run_id: str, error: type[PenstockError]
) -> None:
    """PT-05"""
    async with open_run() as (house, address):
        for name, program, stdin in (
            ("ended", "quick", "tty"),
            ("open", "parrot", "open"),
        ):
            request = SubmitRequest(
                kind="command", inputs={"argv": [program], "stdin": stdin}, run_id=name
            )
            await house.core.submitter.submit(request)
        await house.wait_fact("ended", RunCompleted)
        await house.wait_fact("open", ProcessStarted)
        async with attached(address, run_id) as remote:
            with pytest.raises(error, match="run"):
                await remote.receive()


async def test_the_guard_stands_before_it() -> None:
    """PT-05: no token, no terminal; and no page of another origin."""
    async with open_run() as (house, _address):
        wrong = Address(f"http://127.0.0.1:{house.port}", token="wrong")
        with pytest.raises(PenstockError, match=r"token|authori"):
            async with attached(wrong):
                pass


@pytest.mark.parametrize("frame", ["{", "[]", '{"resize": [-1, 2]}', '{"resize": [1, 1001]}', '{"x": 1}'])  # fmt: skip
async def test_a_frame_that_says_nothing_known_is_refused(frame: str) -> None:
    """PT-05"""
    async with open_run() as (_house, address), attached(address) as remote:
        await remote.receive()
        await remote._send(frame)
        with pytest.raises(Refused):
            await remote.receive()
