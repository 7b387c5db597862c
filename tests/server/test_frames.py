"""Frames of the event stream: the same bytes for every client, and what a client reads in them."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest
from wsproto.connection import Connection, ConnectionType
from wsproto.events import TextMessage

from penstock.log.bus import Batch, Gap, batch_of
from penstock.server.frames import batch_frames, events_frame, text_frame
from penstock.words.events import Log, encode_event
from penstock.words.recorded import Recorded
from penstock.words.values import new_event_id


def fact(text: str, position: int = 1) -> Recorded:
    return Recorded(
        position, "é-run", position, new_event_id(), datetime.now(UTC), {}, None, 0, "log",
        encode_event(Log(text=text)),
    )  # fmt: skip


def messages(data: bytes) -> list[str]:
    """What a client reads of the frames; whole messages only."""
    client = Connection(ConnectionType.CLIENT)
    client.receive_data(data)
    found: list[str] = []
    parts = ""
    for event in client.events():
        assert isinstance(event, TextMessage), event
        parts += event.data
        if event.message_finished:
            found.append(parts)
            parts = ""
    assert not parts, "half a message"
    return found


@pytest.mark.parametrize(
    "text",
    ["", "x", "é\u2028\U0001f600\x00", *("x" * n for n in (125, 126, 65535, 65536)), "ü" * 300_000],
    ids=len,
)  # fmt: skip
def test_a_client_reads_what_was_framed(text: str) -> None:
    """WS-05, WS-10: whatever its length and its letters."""
    assert messages(text_frame(text) + text_frame("next")) == [text, "next"]


def test_an_events_frame_is_the_envelopes_of_its_facts() -> None:
    """WS-05"""
    facts = (fact("grüße \U0001f600\u2029"), fact("x" * 600_000, 2))
    [told] = messages(batch_frames(Batch(facts), "catch_up"))
    assert json.loads(told) == {
        "type": "events",
        "events": [json.loads(one.wire()) for one in facts],
    }


def test_a_frame_is_made_once_for_all_who_got_the_batch() -> None:
    """PF-04"""
    calls: list[int] = []

    def write(facts: tuple[Recorded, ...]) -> bytes:
        calls.append(len(facts))
        return events_frame(facts)

    batch = batch_of((fact("a"), fact("b", 2)), None, live=True)
    first = batch.written(write)
    assert all(batch.written(write) is first for _ in range(100))
    assert calls == [2]
    assert batch_frames(batch, "catch_up") is batch_frames(batch, "drop_oldest")
    assert batch_frames(batch, "catch_up") == first


def test_two_ways_to_write_a_batch_are_kept_apart() -> None:
    batch = Batch((fact("a"),))
    assert batch.written(events_frame) == events_frame(batch.facts)
    assert batch.written(length) == b"1"
    assert batch.written(events_frame) == events_frame(batch.facts)


def length(facts: tuple[Recorded, ...]) -> bytes:
    return b"%d" % len(facts)


def test_a_gap_comes_before_its_facts_and_tells_what_was_dropped() -> None:
    """WS-09, BUS-07"""
    batch = Batch((fact("a"),), Gap(3, 7))
    for overflow, dropped in (("drop_oldest", 5), ("catch_up", None)):
        gap, events = messages(batch_frames(batch, overflow))  # type: ignore[arg-type]
        assert json.loads(gap) == {
            "type": "gap", "first": 3, "last": 7, "dropped": dropped, "put_back": False,
        }  # fmt: skip
        assert json.loads(events)["type"] == "events"


def test_an_empty_batch_is_no_frame() -> None:
    assert batch_frames(Batch(live=True), "catch_up") == b""
