"""Events over HTTP: a page, or a live stream as NDJSON or server-sent events, by Accept.

A stream's lines are envelopes. What is not a fact has a line of its own: `gap` where facts are
missing, `bye` when the daemon stops, the log cannot be read, or the reader's own policy ends it. The
end of a run is the end of its stream.
"""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING
from uuid import UUID

from penstock.log.bus import Batch, Subscription
from penstock.server.answer import JSON, HttpAnswer, HttpStream, json_answer
from penstock.server.replies import gap_reply, head_of, read_page
from penstock.server.routes import (
    LARGEST_CURSOR,
    Call,
    Handler,
    event_id_of,
    overflow_of,
)
from penstock.server.shutdown import Shutdown, last_look
from penstock.words.api import ByeFrame
from penstock.words.errors import PenstockError, Refused
from penstock.words.problems import detail_of

if TYPE_CHECKING:
    from penstock.runs.core import Core

NDJSON = "application/x-ndjson"
SSE = "text/event-stream"


def event_handlers(core: Core, shutdown: Shutdown) -> dict[str, Handler]:
    """The handlers of the two event routes, by name."""
    numbers = itertools.count(1)

    async def run_events(call: Call) -> HttpAnswer | HttpStream:
        if form := wanted_stream(call.headers.get("accept", "")):
            # Known or not: a stream cannot say so once it has begun.
            await head_of(core, call.run_id)
            return stream(call, form, call.run_id)
        return await page(call, call.run_id)

    async def all_events(call: Call) -> HttpAnswer | HttpStream:
        if form := wanted_stream(call.headers.get("accept", "")):
            return stream(call, form, None)
        return await page(call, None)

    async def page(call: Call, run_id: str | None) -> HttpAnswer:
        read = read_page(
            core,
            run_id,
            call.query["after"] or 0,
            call.query["limit"],
            after_id=event_id_of(call.query["after_id"]),
            max_bytes=core.config.page_bytes,
        )
        return json_answer(await read)

    def stream(call: Call, form: str, run_id: str | None) -> HttpStream:
        after, after_id = cursor_of(call)
        overflow = overflow_of(call.query["overflow"])
        name = f"{'sse' if form == SSE else 'ndjson'}-{next(numbers)}"

        @contextmanager
        def open_lines() -> Iterator[AsyncIterator[bytes]]:
            with core.bus.subscribe(
                run_id,
                after,
                after_id=after_id,
                overflow=overflow,
                name=name,
                kind="http",
            ) as subscription:
                lines = sse_lines if form == SSE else ndjson_lines
                yield Lines(
                    subscription, shutdown, lines, core.config.heartbeat_seconds
                )

        return HttpStream(form, open_lines)

    return {"run_events": run_events, "all_events": all_events}


class Lines:
    """The chunks of a stream: one per batch, and a sign of life when there is none for long."""

    def __init__(
        self,
        subscription: Subscription,
        shutdown: Shutdown,
        write: Callable[[Batch], bytes],
        heartbeat_seconds: float,
    ) -> None:
        self._subscription = subscription
        self._closing = shutdown
        self._write = write
        self._heartbeat_seconds = heartbeat_seconds
        self._said_bye = False

    def __aiter__(self) -> Lines:
        return self

    async def __anext__(self) -> bytes:
        while not self._said_bye:
            seconds = self._heartbeat_seconds
            with self._closing.until_streams_end(seconds) as scope:
                try:
                    batch = await anext(self._subscription)
                except PenstockError as error:
                    return self._bye(detail_of(error))
            if not scope.cancelled_caught:
                if chunk := self._write(batch):
                    return chunk
            elif self._closing.streams_ending:
                last = await last_look(self._subscription)
                bye = self._bye("the daemon is stopping")
                return (self._write(last) if last else b"") + bye
            elif self._write is sse_lines:
                return b": still here\n\n"
        raise StopAsyncIteration

    def _bye(self, reason: str) -> bytes:
        """The last line, which says why nothing follows."""
        self._said_bye = True
        data = ByeFrame(reason=reason).model_dump_json().encode()
        return _sse("bye", data) if self._write is sse_lines else data + b"\n"


def ndjson_lines(batch: Batch) -> bytes:
    """A batch as NDJSON: a line per fact."""
    lines = [fact.wire() + b"\n" for fact in batch.facts]
    if batch.gap is not None:
        lines.insert(0, gap_json(batch) + b"\n")
    return b"".join(lines)


def sse_lines(batch: Batch) -> bytes:
    """A batch as server-sent events; `id` is the position, so that a browser resumes by itself."""
    events = [
        b"id: %d\ndata: %b\n\n" % (fact.position, fact.wire()) for fact in batch.facts
    ]
    if batch.gap is not None:
        events.insert(0, _sse("gap", gap_json(batch)))
    return b"".join(events)


def gap_json(batch: Batch) -> bytes:
    """The `gap` frame of a batch that has one."""
    assert batch.gap is not None
    return gap_reply(batch.gap).model_dump_json().encode()


def _sse(event: str, data: bytes) -> bytes:
    return b"event: %b\ndata: %b\n\n" % (event.encode(), data)


def wanted_stream(accept: str) -> str | None:
    """The form of stream that an Accept header asks for first; None: a page."""
    for part in accept.split(","):
        media_type = part.partition(";")[0].strip().lower()
        if media_type in (NDJSON, SSE):
            return media_type
        if media_type in (JSON, "*/*"):
            return None
    return None


def cursor_of(call: Call) -> tuple[int, UUID | None]:
    """Where a stream begins: `after`, or else what a browser says it had last, which names no id."""
    if call.query["after"] is not None:
        return int(call.query["after"]), event_id_of(call.query["after_id"])
    last = call.headers.get("last-event-id", "").strip() or "0"
    if not (last.isascii() and last.isdecimal() and len(last) <= 19):
        raise Refused("Last-Event-ID", "must be a position")
    return min(int(last), LARGEST_CURSOR), None
