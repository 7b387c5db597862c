"""Events over HTTP: a page, or a live stream as NDJSON or server-sent events, by Accept.

A stream's lines are envelopes. What is not a fact has a line of its own: `gap` where facts are
missing, `bye` when the daemon stops, the log cannot be read, or the reader's own policy ends it. The
end of a run is the end of its stream.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Mapping
from functools import partial
from uuid import UUID

from penstock.runs.core import Core
from penstock.server.encoders import NDJSON, SSE, Encoder
from penstock.server.events_page import head_of, read_page
from penstock.server.http_answer import JSON, HttpAnswer, HttpStream, json_answer
from penstock.server.routes import (
    LARGEST_CURSOR,
    Call,
    Handler,
    event_id_of,
    overflow_of,
)
from penstock.server.shutdown import Shutdown
from penstock.server.stream_writer import SubscribeRequest, open_stream
from penstock.words.errors import Refused
from penstock.words.events import DAEMON_STREAM

_WEIGHT = re.compile(r"[01](\.[0-9]{0,3})?")
#: The forms of a stream over HTTP, by media type.
FORMS: Mapping[str, Encoder] = {
    "application/x-ndjson": NDJSON,
    "text/event-stream": SSE,
}


def event_handlers(core: Core, shutdown: Shutdown) -> dict[str, Handler]:
    """The handlers of the two event routes, by name."""
    numbers = itertools.count(1)

    async def run_events(call: Call) -> HttpAnswer | HttpStream:
        if form := wanted_stream(call.headers.get("accept", "")):
            # Known or not: a stream cannot say so once it has begun.
            head = await head_of(core, call.run_id)
            if "last-event-id" in call.headers and not core.reader.is_open(call.run_id):
                # A browser connects again and again until it is told that nothing will follow. One
                # that is beyond the log's end has to hear first that the log was put back.
                after, _ = cursor_of(call)
                if call.run_id != DAEMON_STREAM and head <= after <= core.bus.head:
                    return HttpAnswer(204)
            return stream(call, form, call.run_id)
        return await events_answer(core, call, call.run_id)

    async def all_events(call: Call) -> HttpAnswer | HttpStream:
        if form := wanted_stream(call.headers.get("accept", "")):
            return stream(call, form, None)
        return await events_answer(core, call, None)

    def stream(call: Call, form: str, run_id: str | None) -> HttpStream:
        wanted, encoder = subscribe_request(call, run_id), FORMS[form]
        name = f"{encoder.name}-{next(numbers)}"
        return HttpStream(
            form, partial(open_stream, core, shutdown, wanted, encoder, name)
        )

    return {"run_events": run_events, "all_events": all_events}


async def events_answer(core: Core, call: Call, run_id: str | None) -> HttpAnswer:
    """The page of events that a call asks for. RunNotFound."""
    page = await read_page(
        core,
        run_id,
        call.query["after"] or 0,
        call.query["limit"],
        after_id=event_id_of(call.query["after_id"]),
    )
    return json_answer(page)


def wanted_stream(accept: str) -> str | None:
    """The form of stream that an Accept header prefers; None: a page.

    Of what is as welcome, what is named first; what has `q=0` is not welcome at all.
    """
    parts = [_preference(part) for part in accept.split(",")]
    # The order is kept where the weight is the same.
    for media_type, weight in sorted(parts, key=lambda part: -part[1]):
        if weight > 0 and media_type in FORMS:
            return media_type
        if weight > 0 and media_type in (JSON, "*/*"):
            return None
    return None


def _preference(part: str) -> tuple[str, float]:
    """A media type of an Accept header and its weight; what is no number counts as none."""
    media_type, *parameters = (word.strip().lower() for word in part.split(";"))
    for name, _, value in (word.partition("=") for word in parameters):
        if name.strip() == "q" and _WEIGHT.fullmatch(value.strip()):
            return media_type, float(value)
    return media_type, 1.0


def subscribe_request(call: Call, run_id: str | None) -> SubscribeRequest:
    """What a call for a stream asks for. Refused names what does not fit."""
    after, after_id = cursor_of(call)
    return SubscribeRequest(
        run_id, after, after_id, overflow_of(call.query["overflow"]), call.until
    )


def cursor_of(call: Call) -> tuple[int, UUID | None]:
    """Where a stream begins: `after`, or else what a browser says it had last, which names no id."""
    if call.query["after"] is not None:
        return int(call.query["after"]), event_id_of(call.query["after_id"])
    last = call.headers.get("last-event-id", "").strip() or "0"
    if not (last.isascii() and last.isdecimal() and len(last) <= 19):
        raise Refused("Last-Event-ID", "must be a position")
    return min(int(last), LARGEST_CURSOR), None
