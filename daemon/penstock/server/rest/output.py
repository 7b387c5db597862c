"""What a run printed, as such: the bytes, and nothing between them.

What else there is to say stands in the head: how many bytes are no longer kept, and the position up
to which this is the output. A stream ends with the run, or with the daemon.
"""

from __future__ import annotations

import codecs
import itertools
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial

import trio

from penstock.log.bus import Overflow
from penstock.log.newest_output import PAGE, NewestOutput, newest_output
from penstock.runs.core import Core
from penstock.runs.reader import LOG_TYPES
from penstock.server.encoders import OUTPUT_STREAMS, OUTPUTS, pieces_among
from penstock.server.http_answer import HttpAnswer, HttpStream, Unfinished
from penstock.server.routes import Call, Handler, overflow_of
from penstock.server.shutdown import Shutdown
from penstock.server.stream_writer import (
    RUN_ENDED,
    StreamWriter,
    SubscribeRequest,
    open_stream,
)
from penstock.words.error_status import detail_of
from penstock.words.errors import PenstockError, Refused, put_back
from penstock.words.events import Log
from penstock.words.printed import Piece, bytes_of, size_of

TEXT, BYTES = "text/plain; charset=utf-8", "application/octet-stream"
#: Bytes of facts read at once while an output is sent.
PAGE_BYTES = 1024 * 1024


def output_handlers(core: Core, shutdown: Shutdown) -> dict[str, Handler]:
    """The handler of a run's output, by the name of its route."""
    numbers = itertools.count(1)

    async def run_output(call: Call) -> HttpAnswer | HttpStream:
        wanted = await _find_wanted(core, call)
        if call.query["follow"]:
            overflow = overflow_of(call.query["overflow"])
            number = next(numbers)
            live = partial(_open_live, core, shutdown, wanted, overflow, number)
            return HttpStream(wanted.survey.content_type, live, wanted.headers)
        if wanted.tail is not None:
            body = wanted.tail.data
            return HttpAnswer(200, body, wanted.survey.content_type, wanted.headers)
        pages = partial(_open_pages, core, wanted)
        return HttpStream(wanted.survey.content_type, pages, wanted.headers)

    return {"run_output": run_output}


@dataclass(slots=True)
class _Survey:
    """What is known of an output before any of it is sent."""

    missing: int = 0
    text: bool = True
    _decoder: codecs.IncrementalDecoder = field(
        default_factory=codecs.getincrementaldecoder("utf-8")
    )

    def add(self, piece: Piece) -> None:
        data = bytes_of(piece)
        if data is None:
            self.missing += size_of(piece)
        elif self.text:
            try:
                self._decoder.decode(data)
            except UnicodeDecodeError:
                self.text = False

    @property
    def content_type(self) -> str:
        return TEXT if self.text else BYTES


@dataclass(frozen=True, slots=True)
class _WantedOutput:
    """Of which run and streams; above `after`, up to `head`, or only the `tail` of that."""

    run_id: str
    stream: str
    after: int
    head: int
    survey: _Survey
    tail: NewestOutput | None
    until: float | None

    @property
    def headers(self) -> Mapping[str, str]:
        return {
            "Penstock-Missing-Bytes": str(self.survey.missing),
            "Penstock-Position": str(self.head),
        }


async def _find_wanted(core: Core, call: Call) -> _WantedOutput:
    """What a call asks for. RunNotFound, Refused, PutBack."""
    stream, after = call.query["stream"], call.query["after"] or 0
    if stream not in OUTPUTS:
        raise Refused("stream", f"must be one of {', '.join(OUTPUTS)}")
    view = await core.reader.view(call.run_id)
    await _check_place(core, after)
    head, survey, tail = view.position, _Survey(), None
    lines, most = call.query["tail"], core.config.page_bytes
    most = min(most, call.query["bytes"] or most)
    if lines is not None or call.query["bytes"] is not None:
        tail = await newest_output(
            partial(core.store.read, view.run_id, types=LOG_TYPES),
            head,
            lines=most if lines is None else lines,
            most_bytes=most,
            after=after,
            streams=OUTPUT_STREAMS[stream],
        )
        tail = (tail if lines is None else tail.last_lines(lines)).cut(most)
        for piece in tail.pieces:
            survey.add(piece)
    else:
        async for pieces in _RecordedPages(core, view.run_id, stream, after, head):
            for piece in pieces:
                survey.add(piece)
    return _WantedOutput(view.run_id, stream, after, head, survey, tail, call.until)


async def _check_place(core: Core, after: int) -> None:
    """PutBack if the log does not reach this position: nothing would come, for ever."""
    head = (await core.store.bounds()).head
    if after > head:
        raise put_back(after, head + 1, head=head)


@dataclass(slots=True)
class _RecordedPages:
    """The pieces of an output that is recorded, page by page."""

    _core: Core
    _run_id: str
    _stream: str
    _after: int
    _head: int

    def __aiter__(self) -> _RecordedPages:
        return self

    async def __anext__(self) -> list[Log]:
        facts = await self._core.store.read(
            self._run_id, self._after, PAGE, types=LOG_TYPES, max_bytes=PAGE_BYTES
        )
        facts = [fact for fact in facts if fact.position <= self._head]
        if not facts:
            raise StopAsyncIteration
        self._after = facts[-1].position
        return pieces_among(facts, OUTPUT_STREAMS[self._stream])


@dataclass(slots=True)
class _PageBytes:
    """The same as bytes. Unfinished where more of it is no longer kept than its head told."""

    _pages: _RecordedPages
    _told: int

    def __aiter__(self) -> _PageBytes:
        return self

    async def __anext__(self) -> bytes:
        while True:
            try:
                pieces = await anext(self._pages)
            except PenstockError as error:
                raise Unfinished(detail_of(error)) from error
            if data := b"".join([self._bytes_of(piece) for piece in pieces]):
                return data

    def _bytes_of(self, piece: Piece) -> bytes:
        data = bytes_of(piece)
        if data is not None:
            return data
        self._told -= size_of(piece)
        if self._told < 0:
            raise Unfinished(f"{-self._told} bytes more of it are no longer kept")
        return b""


def _recorded(core: Core, wanted: _WantedOutput) -> _PageBytes:
    after, head = wanted.after, wanted.head
    pages = _RecordedPages(core, wanted.run_id, wanted.stream, after, head)
    return _PageBytes(pages, wanted.survey.missing)


@contextmanager
def _open_pages(core: Core, wanted: _WantedOutput) -> Iterator[AsyncIterator[bytes]]:
    """What is recorded by now; nothing is held for it, and nothing is to be given back."""
    yield _recorded(core, wanted)


@contextmanager
def _open_live(
    core: Core,
    shutdown: Shutdown,
    wanted: _WantedOutput,
    overflow: Overflow,
    number: int,
) -> Iterator[AsyncIterator[bytes]]:
    """What is recorded by now, or the end of it, and then what is printed."""
    until = wanted.until
    request = SubscribeRequest(wanted.run_id, wanted.head, None, overflow, until)
    encoder = OUTPUTS[wanted.stream]
    name = f"{encoder.name}-{number}"
    with open_stream(core, shutdown, request, encoder, name) as live:
        recorded = _recorded(core, wanted) if wanted.tail is None else None
        yield _Followed(
            b"" if wanted.tail is None else wanted.tail.data, recorded, live
        )


@dataclass(slots=True)
class _Followed:
    """First what is recorded, then what is printed, to the end of the run and no less."""

    _tail: bytes
    _recorded: _PageBytes | None
    _live: StreamWriter

    def __aiter__(self) -> _Followed:
        return self

    async def __anext__(self) -> bytes:
        if self._tail:
            tail, self._tail = self._tail, b""
            await trio.lowlevel.checkpoint()
            return tail
        if self._recorded is not None:
            with suppress(StopAsyncIteration):
                return await anext(self._recorded)
            self._recorded = None
        with suppress(StopAsyncIteration):
            return await anext(self._live)
        ending = self._live.ending
        if ending not in (None, RUN_ENDED):
            raise Unfinished(ending.reason)
        raise StopAsyncIteration
