"""The relay of `penstock drill boxes` does to a connection what it says."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio

from penstock_drills.relay import COMMITTED, WITHIN, TcpRelay, open_relay

pytestmark = pytest.mark.sockets

#: Seconds for what should come, on a loaded box.
PATIENCE = 30


@asynccontextmanager
async def relayed(tmp_path: Path) -> AsyncIterator[TcpRelay]:
    """A relay to a server that says again what it is told."""
    path = tmp_path / "server"

    async def echo(stream: trio.SocketStream) -> None:
        async for data in stream:
            await stream.send_all(data)

    listener = trio.socket.socket(trio.socket.AF_UNIX)
    await listener.bind(str(path))
    listener.listen()
    with trio.fail_after(PATIENCE):
        async with trio.open_nursery() as nursery:
            served = [trio.SocketListener(listener)]
            await nursery.start(trio.serve_listeners, echo, served)
            async with open_relay(path) as relay:
                yield relay
            nursery.cancel_scope.cancel()


async def ask(relay: TcpRelay, words: bytes) -> bytes:
    """What comes back by a connection of its own."""
    async with await trio.open_tcp_stream("127.0.0.1", relay.port) as stream:
        await stream.send_all(words)
        return bytes(await stream.receive_some())


async def test_it_hands_on_either_way(tmp_path: Path) -> None:
    async with relayed(tmp_path) as relay:
        assert await ask(relay, b"hello") == b"hello"


async def test_it_resets_in_place_of_the_answer_to_a_commit_so_often(tmp_path: Path) -> None:  # fmt: skip
    """MB-09"""
    async with relayed(tmp_path) as relay:
        relay.lose = 1
        assert await ask(relay, b"no commit") == b"no commit"
        with pytest.raises(trio.BrokenResourceError):
            await ask(relay, b"1" + COMMITTED)
        assert (relay.lost, relay.lose) == (1, 0)
        assert await ask(relay, COMMITTED) == COMMITTED


async def test_a_hole_swallows_until_it_is_over(tmp_path: Path) -> None:
    """MB-05"""
    async with relayed(tmp_path) as relay:
        async with await trio.open_tcp_stream("127.0.0.1", relay.port) as stream:
            await stream.send_all(b"1")
            assert await stream.receive_some() == b"1"
            relay.mode = "hole"
            await stream.send_all(b"2")
            with trio.move_on_after(0.2) as waiting:
                await stream.receive_some()
            assert waiting.cancelled_caught
            relay.mode = "up"
            assert await stream.receive_some() == b"2"


async def test_it_resets_what_is_open_and_refuses_what_comes(tmp_path: Path) -> None:
    """MB-06"""
    async with relayed(tmp_path) as relay:
        async with await trio.open_tcp_stream("127.0.0.1", relay.port) as stream:
            await stream.send_all(b"1")
            await stream.receive_some()
            relay.refuse()
            with pytest.raises(trio.BrokenResourceError):
                await stream.receive_some()
        with pytest.raises(trio.BrokenResourceError):
            await ask(relay, b"hello")
        relay.mode = "up"
        assert await ask(relay, b"hello") == b"hello"


async def test_it_tells_of_a_transaction_before_the_client_knows(tmp_path: Path) -> None:  # fmt: skip
    async with relayed(tmp_path) as relay:
        told: list[str] = []
        relay.within = lambda: told.append("within")
        assert await ask(relay, WITHIN) == WITHIN
        assert await ask(relay, WITHIN) == WITHIN
        assert told == ["within"]
