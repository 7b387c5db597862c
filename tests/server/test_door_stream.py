"""A connection as the servers see it: whoever sends, bytes go out in the order of the calls."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import trio
import trio.testing

from penstock.server.door_stream import DoorStream

#: More than the buffers of a socket pair hold.
LARGE = bytes(range(256)) * 8192


@asynccontextmanager
async def open_pair(
    stall_seconds: float = 20,
) -> AsyncIterator[tuple[DoorStream, trio.SocketStream]]:
    """Our end and the peer's, over small buffers."""
    ours, theirs = trio.socket.socketpair()
    ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 65536)
    stream = DoorStream(trio.SocketStream(ours), stall_seconds=stall_seconds)
    with trio.fail_after(30):
        async with stream, trio.SocketStream(theirs) as peer:
            yield stream, peer


async def read(peer: trio.SocketStream, size: int) -> bytes:
    data = b""
    while len(data) < size:
        more = await peer.receive_some(size - len(data))
        assert more, "the stream has ended"
        data += more
    return data


def make_room(peer: trio.SocketStream) -> bytes:
    """Read until the kernel would take something again, and let nobody else run meanwhile."""
    data = b""
    with pytest.raises(BlockingIOError):
        while True:
            data += peer.socket._sock.recv(65536)  # type: ignore[attr-defined]
    return data


async def test_what_the_kernel_takes_is_gone_at_once() -> None:
    """WS-01"""
    async with open_pair() as (stream, peer):
        assert stream.send_nowait(b"one ")
        assert stream.send_nowait(b"")
        await stream.send_all(b"two")
        assert await read(peer, 7) == b"one two"


async def test_a_rest_goes_out_whole_when_the_peer_reads_again() -> None:
    """WS-03, law 6"""
    async with open_pair() as (stream, peer):
        assert not stream.send_nowait(LARGE)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(stream.drain)
            await trio.testing.wait_all_tasks_blocked(0.01)
            assert await read(peer, len(LARGE)) == LARGE
        assert stream.send_nowait(b"more")
        assert await read(peer, 4) == b"more"


async def test_nothing_falls_into_the_middle_of_a_frame() -> None:
    """WS-06: not even when the kernel has room again and the frame's sender did not run yet."""
    async with open_pair() as (stream, peer):
        assert not stream.send_nowait(LARGE)
        got = make_room(peer)
        assert not stream.send_nowait(b"pong")
        async with trio.open_nursery() as nursery:
            nursery.start_soon(stream.send_all, b"close")
            await trio.testing.wait_all_tasks_blocked(0.01)
            nursery.start_soon(stream.drain)
            got += await read(peer, len(LARGE) + 9 - len(got))
        assert got == LARGE + b"pongclose"


async def test_senders_that_wait_together_are_served_in_their_order() -> None:
    """WS-06"""
    parts = [bytes([number]) * 200_000 for number in range(5)]
    async with open_pair() as (stream, peer), trio.open_nursery() as nursery:
        for part in parts:
            nursery.start_soon(stream.send_all, part)
            await trio.testing.wait_all_tasks_blocked(0.01)
        assert await read(peer, 1_000_000) == b"".join(parts)


async def test_a_frame_whose_sender_was_cancelled_is_ended_by_the_next() -> None:
    """WS-06: half a frame would make all that follows unreadable."""
    async with open_pair() as (stream, peer):
        with trio.move_on_after(0.05) as scope:
            await stream.send_all(LARGE)
        assert scope.cancelled_caught
        async with trio.open_nursery() as nursery:
            nursery.start_soon(stream.send_all, b"close")
            assert await read(peer, len(LARGE) + 5) == LARGE + b"close"


async def test_a_peer_that_takes_nothing_is_cut() -> None:
    """WS-03: and whoever waits behind is told as well."""
    async with open_pair(stall_seconds=0.2) as (stream, _peer):
        assert not stream.send_nowait(LARGE)
        assert not stream.send_nowait(b"behind")
        async with trio.open_nursery() as nursery:
            nursery.start_soon(told, stream, trio.BrokenResourceError)
            await trio.testing.wait_all_tasks_blocked()
            nursery.start_soon(told, stream, trio.ClosedResourceError)
        with pytest.raises(trio.ClosedResourceError):
            await stream.send_all(b"later")


async def told(stream: DoorStream, error: type[Exception]) -> None:
    with pytest.raises(error):
        await stream.drain()


async def test_a_peer_that_takes_a_little_at_a_time_is_not_cut() -> None:
    """Law 6: slow is no fault, however long it takes."""
    async with open_pair(stall_seconds=1.0) as (stream, peer):
        got = b""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(stream.send_all, LARGE)
            while len(got) < len(LARGE):
                got += await read(peer, min(len(LARGE) // 16, len(LARGE) - len(got)))
                await trio.sleep(0.1)
        assert got == LARGE


async def test_a_peer_that_left_is_told_of_by_both_ways_to_send() -> None:
    """WS-03"""
    async with open_pair() as (stream, peer):
        await peer.aclose()
        with pytest.raises(trio.BrokenResourceError):
            stream.send_nowait(b"x")
        with pytest.raises(trio.BrokenResourceError):
            await stream.send_all(b"x")
        stream.cut()
        with pytest.raises(trio.ClosedResourceError):
            stream.send_nowait(b"x")
        with pytest.raises(trio.ClosedResourceError):
            await stream.send_all(b"x")
