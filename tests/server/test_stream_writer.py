"""One writer for every form of stream: what it says, when, and what it does when nobody takes it."""

from __future__ import annotations

import json
import math
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import trio
import trio.testing
from wsproto.connection import Connection, ConnectionType
from wsproto.events import TextMessage

from fakes.cores import open_fake_core, request
from penstock.log.bus import Overflow
from penstock.log.new_events import new_event
from penstock.log.writes import Append
from penstock.runs.core import Core
from penstock.server.encoders import NDJSON, SSE, WEBSOCKET, Encoder
from penstock.server.shutdown import Shutdown
from penstock.server.stream_writer import (
    KEY_ENDED,
    RUN_ENDED,
    STOPPING,
    StreamWriter,
    SubscribeRequest,
    open_stream,
)
from penstock.words.errors import LogDamaged, PenstockError, StoreUnavailable
from penstock.words.events import DAEMON_STREAM, SubscriberLagged

Clock = trio.testing.MockClock
FORMS = pytest.mark.parametrize(
    "encoder", [WEBSOCKET, SSE, NDJSON], ids=lambda encoder: encoder.name
)
#: The fewest facts that a ring may hold.
RING = 256


def read(encoder: Encoder, data: bytes) -> list[dict[str, Any]]:
    """What a client of this form reads; facts as `{"position": …}`, the rest as frames."""
    if encoder is WEBSOCKET:
        client = Connection(ConnectionType.CLIENT)
        client.receive_data(data)
        texts = [e.data for e in client.events() if isinstance(e, TextMessage)]
    else:
        lines = data.decode().splitlines()
        texts = [line.removeprefix("data: ") for line in lines if "{" in line]
    frames = [json.loads(text) for text in texts]
    return [one for f in frames for one in f.get("events", [f])]


def kinds(frames: list[dict[str, Any]]) -> list[str]:
    """The type of each frame; a fact's is `fact`."""
    return ["fact" if "position" in f else f["type"] for f in frames]


class Client:
    """What was written to a client that takes as many chunks as it has room for."""

    def __init__(self, room: int) -> None:
        self.room = room
        self.data = b""

    def write(self, chunk: bytes) -> bool:
        assert self.room > 0, "written to a client that was full"
        self.room -= 1
        self.data += chunk
        return self.room > 0


async def record(core: Core, count: int) -> None:
    """Record so many facts, in one commit."""
    event = SubscriberLagged(subscriber="x", dropped=1)
    made = [new_event(DAEMON_STREAM, event, now=core.now()) for _ in range(count)]
    await core.recorder.record(Append(tuple(made)))


async def write_all(writer: StreamWriter) -> bytes:
    """Take what there is by now."""
    client = Client(1000)
    with trio.move_on_after(1):
        await writer.write_to(client.write)
    return client.data


@asynccontextmanager
async def open_writer(
    encoder: Encoder,
    *,
    run_id: str | None = None,
    after: int = 0,
    overflow: Overflow = "catch_up",
    seconds: float = math.inf,
    **settings: Any,
) -> AsyncIterator[tuple[Core, Shutdown, StreamWriter]]:
    """A stream of this form on a core that has recorded one fact."""
    shutdown = Shutdown()
    async with open_fake_core(**settings) as core:
        until = trio.current_time() + seconds
        wanted = SubscribeRequest(run_id, after, None, overflow, until)
        with open_stream(core, shutdown, wanted, encoder, "one") as writer:
            yield core, shutdown, writer


@FORMS
async def test_every_form_says_the_same_of_a_stop(
    encoder: Encoder, autojump_clock: Clock
) -> None:
    """WS-06 API-09 APP-06: what was recorded last, a last word, and nothing after it."""
    async with open_writer(encoder) as (core, shutdown, writer):
        before = await write_all(writer)
        await record(core, 2)
        shutdown.end_streams()
        client = Client(100)
        assert not await writer.write_to(client.write)
        told = read(encoder, before + client.data)
        assert kinds(told)[-3:] == ["fact", "fact", "bye"]
        assert told[-1]["reason"] == STOPPING.reason
        extra = {"hello", "ready"} if encoder is WEBSOCKET else set()
        assert set(kinds(told)) == {"fact", "bye"} | extra
        assert writer.ending is STOPPING
        size = len(client.data)
        assert not await writer.write_to(client.write)
        assert len(client.data) == size


@FORMS
async def test_a_stream_ends_with_the_key_that_opened_it(
    encoder: Encoder, autojump_clock: Clock
) -> None:
    """API-08: what is sent until then is whole, and a last word says why nothing follows."""
    async with open_writer(encoder, seconds=40.0) as (core, _, writer):
        before = await write_all(writer)
        await record(core, 2)
        client = Client(100)
        assert not await writer.write_to(client.write)
        # Neither a moment before, nor later.
        assert trio.current_time() == pytest.approx(40.0, abs=0.5)
        told = read(encoder, before + client.data)
        assert kinds(told)[-1] == "bye"
        assert kinds(told).count("fact") == 3
        assert told[-1]["reason"] == KEY_ENDED.reason
        assert writer.ending is KEY_ENDED


@FORMS
async def test_a_stream_that_is_never_quiet_ends_with_its_key_too(
    encoder: Encoder, autojump_clock: Clock
) -> None:
    """API-08"""
    async with open_writer(encoder, seconds=5.0) as (core, _, writer):
        async with trio.open_nursery() as nursery:

            @nursery.start_soon
            async def _() -> None:
                while True:
                    await record(core, 1)
                    await trio.sleep(0.1)

            with trio.fail_after(60):
                while await writer.write_to(Client(1).write):
                    pass
            nursery.cancel_scope.cancel(reason="enough")
        assert writer.ending is KEY_ENDED


@FORMS
async def test_a_client_that_is_full_is_not_written_to_and_misses_nothing(
    encoder: Encoder, autojump_clock: Clock
) -> None:
    """WS-09, law 6: one chunk at a time, whatever comes meanwhile."""
    async with open_writer(encoder, frame_events=1) as (core, _, writer):
        await record(core, 20)
        client = Client(0)
        for _ in range(10):
            client.room = 1
            assert await writer.write_to(client.write)
        await record(core, 5)
        data = client.data + await write_all(writer)
        facts = [f["position"] for f in read(encoder, data) if "position" in f]
        assert facts == list(range(1, core.bus.head + 1))


@FORMS
async def test_what_a_policy_dropped_is_counted_on_every_form(
    encoder: Encoder, autojump_clock: Clock
) -> None:
    """WS-09 BUS-07 API-09: a gap by the reader's own policy tells how many it was."""
    opened = open_writer(encoder, overflow="drop_oldest", ring_events=RING)
    async with opened as (core, _, writer):
        await write_all(writer)
        [before] = core.bus.subscribers()
        await record(core, 4 * RING)
        told = read(encoder, await anext(writer))
        assert kinds(told)[0] == "gap"
        first, last = before.cursor + 1, core.bus.first - 1
        assert told[0] == {
            "type": "gap", "first": first, "last": last, "dropped": last - first + 1,
            "put_back": False,
        }  # fmt: skip


@FORMS
async def test_a_place_that_the_log_does_not_hold_is_told_before_its_facts(
    encoder: Encoder, autojump_clock: Clock
) -> None:
    """API-09 BUS-07 WS-09: nothing of it was dropped, whatever the policy."""
    opened = open_writer(encoder, after=99, overflow="drop_oldest")
    async with opened as (core, _, writer):
        head = core.bus.head
        data = await write_all(writer)
        await record(core, 1)
        data += await write_all(writer)
        told = [f for f in read(encoder, data) if f.get("type") != "hello"]
        assert told[0] == {
            "type": "gap", "first": head + 1, "last": 99, "dropped": None, "put_back": True,
        }  # fmt: skip
        assert [f["position"] for f in told if "position" in f] == [head + 1]


@FORMS
@pytest.mark.parametrize(
    ("error", "said"),
    [
        (StoreUnavailable("/var/lib/disk"), "did not answer"),
        (LogDamaged("the fact 2 of the run 'r' is malformed"), "fact 2 of the run 'r'"),
    ],
)
async def test_a_log_that_cannot_be_read_ends_every_form_with_a_word(
    encoder: Encoder, error: PenstockError, said: str, autojump_clock: Clock
) -> None:
    """ER-03 WS-06 API-09"""

    class Failing:
        """A log that cannot be read."""

        async def read_all(self, *_: Any, **__: Any) -> Any:
            await trio.lowlevel.checkpoint()
            raise error

    async with open_writer(encoder, ring_events=RING) as (core, _, writer):
        await record(core, 4 * RING)
        core.bus.history = Failing()  # type: ignore[assignment]
        told = read(encoder, b"".join([chunk async for chunk in writer]))
        assert said in told[-1]["reason"]
        assert "/var/lib" not in told[-1]["reason"]
        assert writer.ending is not None
        assert writer.ending.error is error


@FORMS
async def test_the_end_of_a_run_is_a_word_where_no_body_ends(
    encoder: Encoder, autojump_clock: Clock
) -> None:
    """WS-06 BUS-04: over HTTP the body's end says it."""
    async with open_writer(encoder, run_id="r") as (core, _, writer):
        await core.submitter.submit(request("sleep", "r"))
        told = kinds(read(encoder, b"".join([chunk async for chunk in writer])))
        assert (told[-1] == "bye") == (encoder is WEBSOCKET)
        assert told.count("fact") == 3
        assert writer.ending is RUN_ENDED


@pytest.mark.parametrize(
    ("encoder", "signs"), [(WEBSOCKET, 0), (SSE, 3), (NDJSON, 0)], ids=["ws", "sse", "ndjson"]
)  # fmt: skip
async def test_a_quiet_stream_shows_that_it_lives_where_its_form_can(
    encoder: Encoder, signs: int, autojump_clock: Clock
) -> None:
    """API-09"""
    opened = open_writer(encoder, heartbeat_seconds=15.0)
    async with opened as (_core, _, writer):
        client = Client(100)
        with trio.move_on_after(50):
            await writer.write_to(client.write)
        assert client.data.count(b": still here\n\n") == signs
        assert writer.ending is None
