"""The forms of a stream: the same bytes for every client, and what a client reads in them."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest
from wsproto.connection import Connection, ConnectionType
from wsproto.events import TextMessage

from penstock.log.bus import Batch, batch_of
from penstock.server.encoders import (
    NDJSON,
    SSE,
    WEBSOCKET,
    Encoder,
    text_frame,
    websocket_facts,
)
from penstock.words.api import ByeFrame
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


def test_an_websocket_facts_is_the_envelopes_of_its_facts() -> None:
    """WS-05"""
    facts = (fact("grüße \U0001f600\u2029"), fact("x" * 600_000, 2))
    [told] = messages(websocket_facts(facts))
    assert json.loads(told) == {
        "type": "events",
        "events": [json.loads(one.wire()) for one in facts],
    }


def test_a_frame_is_made_once_for_all_who_got_the_batch() -> None:
    """PF-04"""
    calls: list[int] = []

    def write(facts: tuple[Recorded, ...]) -> bytes:
        calls.append(len(facts))
        return websocket_facts(facts)

    batch = batch_of((fact("a"), fact("b", 2)), None, live=True)
    first = batch.written(write)
    assert all(batch.written(write) is first for _ in range(100))
    assert calls == [2]


def test_two_ways_to_write_a_batch_are_kept_apart() -> None:
    batch = Batch((fact("a"),))
    assert batch.written(websocket_facts) == websocket_facts(batch.facts)
    assert batch.written(length) == b"1"
    assert batch.written(websocket_facts) == websocket_facts(batch.facts)


def length(facts: tuple[Recorded, ...]) -> bytes:
    return b"%d" % len(facts)


@pytest.mark.parametrize("encoder", [NDJSON, SSE], ids=lambda encoder: encoder.name)
def test_a_line_of_text_stays_in_its_line(encoder: Encoder) -> None:
    """API-09: whatever a run says, it ends no line and no event."""
    said = "a\nb\r\u2028\n\ndata: x"
    data = encoder.write_facts((fact(said), fact("next", 2)))
    lines = [line for line in data.decode().split("\n") if "{" in line]
    found = [json.loads(line.removeprefix("data: ")) for line in lines]
    assert [one["event"]["text"] for one in found] == [said, "next"]


def test_what_is_no_fact_is_named_by_its_form() -> None:
    """API-09 WS-05"""
    frame = ByeFrame(reason="why")
    assert messages(WEBSOCKET.write_frame(frame)) == [frame.model_dump_json()]
    line = frame.model_dump_json().encode()
    assert NDJSON.write_frame(frame) == line + b"\n"
    assert SSE.write_frame(frame) == b"event: bye\ndata: " + line + b"\n\n"
