"""The event stream as bytes: what is between the frames when a client does not read."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import trio
import trio.testing
import wsproto

from fakes.house import TOKEN, House, open_house
from penstock.words.events import Log

pytestmark = pytest.mark.sockets

#: So many that no socket holds them.
FACTS = 1503


class PlainClient:
    """A client that reads when it is told to, by bytes; the protocol is strict with what it reads."""

    def __init__(self, stream: trio.SocketStream) -> None:
        self.stream = stream
        self.protocol = wsproto.WSConnection(wsproto.ConnectionType.CLIENT)
        #: What the protocol made of the bytes, and when the close came nothing may follow.
        self.told: list[dict[str, Any]] = []
        self.pongs: list[bytes] = []
        self.code: int | None = None

    async def send(self, event: wsproto.events.Event) -> None:
        await self.stream.send_all(self.protocol.send(event))

    async def read_handshake(self) -> None:
        """Read the answer to the handshake, and not a byte more."""
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            head += await self.stream.receive_some(1)
        self.protocol.receive_data(head)
        [accepted] = self.protocol.events()
        assert isinstance(accepted, wsproto.events.AcceptConnection)

    async def read_to_the_end(self) -> None:
        """Read what there is, to the close; the answer to it is sent."""
        text = ""
        with trio.fail_after(60):
            while self.code is None:
                data = await self.stream.receive_some(100_000)
                assert data, "no close frame came"
                self.protocol.receive_data(data)
                for event in self.protocol.events():
                    text = self._take(event, text)
            after = await self.stream.receive_some()
        assert not text
        assert after == b""

    def _take(self, event: wsproto.events.Event, text: str) -> str:
        assert self.code is None, "something follows the close"
        if isinstance(event, wsproto.events.TextMessage):
            text += event.data
            if event.message_finished:
                self.told.append(json.loads(text))
                text = ""
        elif isinstance(event, wsproto.events.Pong):
            self.pongs.append(bytes(event.payload))
        elif isinstance(event, wsproto.events.CloseConnection):
            self.code = event.code
        return text


def positions(told: list[dict[str, Any]]) -> list[int]:
    return [
        e["position"]
        for frame in told
        if frame["type"] == "events"
        for e in frame["events"]
    ]


@asynccontextmanager
async def open_plain(house: House, target: str = "/ws") -> AsyncIterator[PlainClient]:
    """A client that was let in, and has read nothing since."""
    async with await house.raw() as stream:
        client = PlainClient(stream)
        token = (b"Authorization", f"Bearer {TOKEN}".encode())
        host = f"127.0.0.1:{house.port}"
        await client.send(wsproto.events.Request(host, target, extra_headers=[token]))
        await client.read_handshake()
        yield client


@asynccontextmanager
async def open_stalled(house: House) -> AsyncIterator[PlainClient]:
    """A client that was sent more than its socket holds."""
    async with open_plain(house) as client:
        await house.wait_subscribers(1)
        await house.start("r")
        for number in range(0, FACTS - 3, 20):
            texts = [f"{number + n:05d}" + "x" * 10_000 for n in range(20)]
            await house.record("r", *[Log(text=text) for text in texts])
        await trio.testing.wait_all_tasks_blocked(0.05)
        [row] = house.core.bus.subscribers()
        assert row.lag > 0, "the client has room for everything"
        yield client


async def test_a_pong_does_not_fall_into_a_frame_that_is_half_sent() -> None:
    """WS-03, WS-06: nor does a close frame, and no event follows it."""
    async with open_house() as house, open_stalled(house) as client:
        for number in range(3):
            await client.send(wsproto.events.Ping(b"%d" % number))
            await trio.testing.wait_all_tasks_blocked(0.02)
        await client.send(wsproto.events.CloseConnection(1000))
        await trio.testing.wait_all_tasks_blocked(0.02)
        await client.read_to_the_end()
        assert client.pongs == [b"0", b"1", b"2"]
        assert client.code == 1000
        got = positions(client.told)
        assert got == list(range(1, len(got) + 1))
        assert len(got) < FACTS
        await house.wait_subscribers(0)


async def test_a_goodbye_does_not_cut_a_frame_that_is_half_sent() -> None:
    """APP-06, WS-06: it is sent to its end, then comes the last word."""
    async with open_house() as house, open_stalled(house) as client:
        house.shutdown.end_streams()
        await trio.testing.wait_all_tasks_blocked(0.02)
        await client.read_to_the_end()
        assert client.told[-1]["type"] == "bye"
        assert "stopping" in client.told[-1]["reason"]
        assert client.code == 1001
        got = positions(client.told)
        assert got == list(range(1, len(got) + 1))


async def test_a_stalled_client_that_reads_again_gets_every_byte() -> None:
    """WS-03, WS-09, law 6: and all others went on meanwhile."""
    async with open_house() as house, open_stalled(house) as client:
        async with open_plain(house, f"/ws?after={FACTS - 5}"):
            await house.wait_subscribers(2)
            await trio.testing.wait_all_tasks_blocked(0.02)
            stalled, other = house.core.bus.subscribers()
            assert stalled.lag > 0
            assert other.lag == 0
        await house.wait_subscribers(1)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(client.read_to_the_end)
            await wait_served(house)
            house.shutdown.end_streams()
        assert positions(client.told) == list(range(1, FACTS + 1))


async def test_a_client_that_catches_up_lets_others_run() -> None:
    """QA-12: each frame is a turn of the loop, though the kernel takes them all at once."""
    async with open_house(frame_events=1) as house, open_plain(house):
        await house.wait_subscribers(1)
        await house.start("r")
        await trio.testing.wait_all_tasks_blocked(0.02)
        await house.record("r", *[Log(text="x") for _ in range(100)])
        turns = 0
        while house.core.bus.subscribers()[0].lag:
            await trio.lowlevel.checkpoint()
            turns += 1
        # Who is first in a turn is a matter of chance.
        assert turns >= 98


async def wait_served(house: House) -> None:
    """Wait until the only client has been sent everything."""
    with trio.fail_after(60):
        while house.core.bus.subscribers()[0].lag:
            await trio.testing.wait_all_tasks_blocked(0.01)


# -- faults of a client


def masked(first: int, payload: bytes, *, claimed: int | None = None) -> bytes:
    """A client's frame; the mask is zero, so the payload is what it is."""
    size = len(payload) if claimed is None else claimed
    return bytes([first, 0x80 | 127]) + size.to_bytes(8, "big") + bytes(4) + payload


@pytest.mark.parametrize(
    ("frame", "code"),
    [
        (bytes([0x83, 0x80]) + bytes(4), 1002),
        (bytes([0xF1, 0x80]) + bytes(4), 1002),
        (bytes([0x81, 0x81]) + bytes(4) + b"\xff", 1007),
        (masked(0x81, b"x" * 700_000), 1009),
    ],
    ids=["no such opcode", "reserved bits", "no UTF-8", "too large"],
)
async def test_a_fault_of_the_client_is_answered_with_a_close_frame(
    frame: bytes, code: int
) -> None:
    """WS-03: which says what was wrong, and arrives though the client sent more than was read."""
    async with (
        open_house(max_frame_bytes=100_000) as house,
        open_plain(house) as client,
    ):
        await house.wait_subscribers(1)
        await client.stream.send_all(frame)
        await client.read_to_the_end()
        assert client.code == code
        await house.wait_subscribers(0)


async def test_who_asks_for_a_run_that_is_not_known_is_told_so_and_waits() -> None:
    """WS-05, WS-08"""
    async with open_house() as house, open_plain(house, "/ws/r") as client:
        await house.wait_subscribers(1)
        await house.start("r")
        await house.end("r")
        await client.read_to_the_end()
        assert client.told[0]["type"] == "hello"
        assert client.told[0]["known"] is False
        assert positions(client.told)
    async with open_house() as house:
        await house.start("r")
        async with open_plain(house, "/ws/r") as client:
            await house.wait_subscribers(1)
            await house.end("r")
            await client.read_to_the_end()
            assert client.told[0]["known"] is True
