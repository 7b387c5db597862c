"""The client without an event loop: it sends and reads what the others do, and imports little."""

from __future__ import annotations

import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
import trio

from fakes.foreign_daemon import ForeignDaemon, open_foreign_daemon
from penstock.client import open_client, sync
from penstock.client.requests import Calls
from penstock.client.sync import SyncClient
from penstock.words.address import Address
from penstock.words.errors import (
    DaemonUnreachable,
    PutBack,
    QueueFull,
    RunNotFound,
    Unauthorised,
)

pytestmark = pytest.mark.sockets

#: Requests with a path, a query, a body, and a wait; each as a method of every client.
ASKED: list[Callable[[Calls[Any]], Any]] = [
    lambda client: client.run("a ?"),
    lambda client: client.runs("state:open", limit=5),
    lambda client: client.cancel("r", "why ü", wait=True),
    lambda client: client.submit({"kind": "command", "inputs": {"argv": ["ü"]}}),
    lambda client: client.pause(None, "lunch"),
]


async def ask(daemon: ForeignDaemon, what: Callable[[SyncClient], Any]) -> Any:
    """The answer, asked for in a thread, since the daemon runs on this one."""
    with trio.fail_after(30):
        return await trio.to_thread.run_sync(what, SyncClient(daemon.address))


@pytest.mark.parametrize("asked", ASKED)
@pytest.mark.parametrize("over", ["tcp", "unix"])
async def test_it_asks_what_the_client_on_trio_asks(
    tmp_path: Path, over: str, asked: Callable[[Calls[Any]], Any]
) -> None:
    """API-08 the token goes as a header; CL-01."""
    with trio.fail_after(30):
        socket = tmp_path / "s" if over == "unix" else None
        async with open_foreign_daemon(socket) as daemon:
            with pytest.raises(Exception, match="answered 404"):
                await ask(daemon, asked)
            async with open_client(daemon.address) as client:
                with pytest.raises(Exception, match="answered 404"):
                    await asked(client)
    one, other = daemon.asked
    assert (one.method, one.target, one.body) == (
        other.method,
        other.target,
        other.body,
    )
    for name in ("authorization", "host", "content-type"):
        assert one.headers.get(name) == other.headers.get(name)
    assert "secret" not in one.target


async def test_an_answer_and_an_error_are_read_as_by_the_others(tmp_path: Path) -> None:
    """CL-01"""
    async with open_foreign_daemon(tmp_path / "s") as daemon:
        daemon.routes["GET", "/runs/r"] = (200, {"run_id": "r"})
        daemon.routes["GET", "/runs/x"] = (404, {"type": "urn:penstock:run-not-found"})
        daemon.routes["POST", "/runs"] = (429, {"type": "urn:penstock:queue-full"})
        daemon.routes["GET", "/health"] = (503, {"status": "degraded"})
        gap = {"type": "gap", "first": 4, "last": 9, "put_back": True}
        daemon.routes["GET", "/events"] = (200, {"events": [], "next": 9, "gap": gap})
        assert await ask(daemon, lambda client: client.run("r")) == {"run_id": "r"}
        assert await ask(daemon, lambda client: client.health()) == {
            "status": "degraded"
        }
        with pytest.raises(RunNotFound):
            await ask(daemon, lambda client: client.run("x"))
        with pytest.raises(QueueFull):
            await ask(daemon, lambda client: client.submit({}))
        with pytest.raises(PutBack, match="ends at position 3, before 9"):
            await ask(daemon, lambda client: client.events(after=9))


async def test_who_hangs_up_is_no_answer(tmp_path: Path) -> None:
    """CL-02"""
    listener = trio.socket.socket(trio.socket.AF_UNIX)
    await listener.bind(str(tmp_path / "s"))
    listener.listen()
    client = SyncClient(Address("http://localhost", socket=tmp_path / "s"))

    async def hang_up() -> None:
        connection, _ = await listener.accept()
        await connection.recv(4096)
        connection.close()

    with listener, trio.fail_after(30):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(hang_up)
            with pytest.raises(DaemonUnreachable, match="broke"):
                await trio.to_thread.run_sync(client.health)


def test_nobody_there_is_said_with_how_to_start_a_daemon(tmp_path: Path) -> None:
    """CL-02"""
    client = SyncClient(Address("http://localhost", socket=tmp_path / "none"))
    with pytest.raises(DaemonUnreachable, match="penstock serve"):
        client.health()


async def test_an_odd_address_is_asked_as_by_the_client_on_trio(tmp_path: Path) -> None:
    """CL-02: a person gave it; ER-02: the sentence tells nothing of the token."""
    with trio.fail_after(30):
        async with open_foreign_daemon() as daemon:
            for base in ("/ü", "/a b", "/a%20b"):
                address = Address(daemon.address.base + base, token="t")
                with pytest.raises(Exception, match="answered 404"):
                    await trio.to_thread.run_sync(SyncClient(address).health)
                async with open_client(address) as client:
                    with pytest.raises(Exception, match="answered 404"):
                        await client.health()
            assert [one.target for one in daemon.asked[::2]] == [
                other.target for other in daemon.asked[1::2]
            ]
            address = Address(daemon.address.base, token="a\nsecret")
            with pytest.raises(Unauthorised, match="no header") as refused:
                await trio.to_thread.run_sync(SyncClient(address).health)
    assert "secret" not in str(refused.value)
    with pytest.raises(DaemonUnreachable, match="no daemon answers"):
        SyncClient(Address("http://a..b:1")).health()


#: What is imported -> what it needs not. A command that asks one thing should cost little more than
#: the interpreter.
HEAVY = {"pydantic", "pydantic_core", "trio", "asyncio", "httpx", "rich", "quart_trio"}
LIGHT = [
    "penstock.words.errors",
    "penstock.words.error_status",
    "penstock.words.terminal_types",
    "penstock.words.address",
    "penstock.words.config_sources",
    "penstock.words.holder",
    "penstock.words.run_id",
    "penstock.words.text",
    "penstock.client",
    "penstock.client.log_reader",
    "penstock.client.requests",
    "penstock.client.rest",
    "penstock.client.sync",
]


@pytest.mark.processes
@pytest.mark.parametrize("module", LIGHT)
def test_what_a_frequent_command_needs_is_light_to_import(module: str) -> None:
    """Design 2: no models, no event loop, no HTTP library before they are needed."""
    code = f"import {module}, sys; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True, text=True, timeout=60, check=True,
    )  # fmt: skip
    assert not HEAVY & set(done.stdout.split())


@contextmanager
def answering(answer: bytes, *, for_ever: bytes = b"") -> Iterator[Address]:
    """Something that is no daemon: it says this to whoever comes first, and then goes on for ever."""

    def serve() -> None:
        connection, _ = listener.accept()
        with connection, suppress(OSError):
            connection.recv(65_536)
            connection.sendall(answer)
            while for_ever:
                connection.sendall(for_ever)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield Address(base=f"http://127.0.0.1:{listener.getsockname()[1]}")
        thread.join(30)
        assert not thread.is_alive()


def test_an_answer_without_an_end_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """ER-02: whatever listens there; a command must not fill the memory."""
    monkeypatch.setattr(sync, "LARGEST_ANSWER", 1_000_000)
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    chunk = b"1000\r\n" + b"[" * 0x1000 + b"\r\n"
    with answering(head, for_ever=chunk) as address:
        with pytest.raises(DaemonUnreachable, match="more than 1000000 bytes"):
            SyncClient(address).run("r")


def test_what_is_no_http_is_quoted_in_a_few_words() -> None:
    """ER-02: it is a stranger's text, and may be long."""
    with answering(b"\xff" * 20_000) as address:
        with pytest.raises(DaemonUnreachable, match="broke") as told:
            SyncClient(address).run("r")
    assert len(str(told.value)) < 400
