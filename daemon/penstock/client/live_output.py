"""A run as it happens, for the client that started it: what its programs print as it is read, and its facts.

What the frames are stands in `words/live_frames`, and what was shown so far in `ShownSoFar`; both do no I/O.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from urllib.parse import urlsplit

import h11
import trio
from pydantic_core import from_json

from penstock.client.log_reader import Lost, Skipped, why_refused
from penstock.client.stream import Facts, News
from penstock.client.websocket import connect
from penstock.words.address import Address
from penstock.words.ends import TERMINAL_TYPES
from penstock.words.events import Log, encode_event
from penstock.words.live_frames import BEGUN, MESSAGE, PRINTED, LiveFrames
from penstock.words.printed import Stream, bytes_of, piece_of, size_of
from penstock.words.recorded import Recorded

#: Bytes of one read.
RECEIVE_BYTES = 256 * 1024
#: A refusal is a sentence.
MOST_REFUSAL_BYTES = 64 * 1024
_STREAMS: dict[int, Stream] = {PRINTED["stdout"]: "stdout", PRINTED["stderr"]: "stderr"}


@dataclass(frozen=True, slots=True)
class PrintedNow:
    """Bytes that a program of the run has just written."""

    stream: Stream
    data: bytes


@dataclass(slots=True)
class ShownSoFar:
    """How much of a run's output somebody has: all of some programs, and so many bytes of the last."""

    programs: int = 0
    sizes: dict[Stream, int] = field(default_factory=dict)

    def begin(self) -> None:
        """The next program begins."""
        self.programs += 1
        self.sizes = {}

    def add(self, stream: Stream, count: int) -> None:
        self.sizes[stream] = self.sizes.get(stream, 0) + count

    def cut(self, facts: Iterable[Recorded]) -> Iterable[Recorded]:
        """Of facts as they are recorded, from the first on, what he does not have."""
        for fact in facts:
            if fact.type == "process.started":
                self.programs -= 1
                if self.programs < 0:
                    self.sizes = {}
            rest = self._cut(fact) if isinstance(fact.event, Log) else fact
            if rest is not None:
                yield rest

    def _cut(self, fact: Recorded) -> Recorded | None:
        piece = fact.event
        assert isinstance(piece, Log)
        if self.programs > 0:
            return None
        size, had = size_of(piece), self.sizes.get(piece.stream, 0)
        if not had:
            return fact
        self.sizes[piece.stream] = max(0, had - size)
        if size <= had:
            return None
        data = bytes_of(piece)
        if data is None:
            rest = Log(stream=piece.stream, bytes=size - had, emptied=True)
        else:
            rest = piece_of(piece.stream, data[had:])
        return Recorded(
            fact.position, fact.run_id, fact.sequence, fact.event_id, fact.at, fact.clock,
            fact.causation_id, fact.code_version, fact.type, encode_event(rest),
        )  # fmt: skip


class LiveStream:
    """What comes of one run; `shown` counts it."""

    def __init__(self, stream: trio.abc.Stream) -> None:
        self._stream = stream
        self._http = h11.Connection(h11.CLIENT)
        self._frames = LiveFrames()
        self._ended = False
        self._parting = "the connection broke"
        self.shown = ShownSoFar()

    async def ask(self, address: Address, run_id: str) -> None:
        """Send the request and read the answer's head. Lost, or the daemon's own error."""
        url = urlsplit(address.url("runs", run_id, "live"))
        head = {"Host": url.netloc, **address.authorization()}
        request = h11.Request(method="GET", target=url.path, headers=list(head.items()))
        sent = (self._http.send(request) or b"") + (
            self._http.send(h11.EndOfMessage()) or b""
        )
        try:
            await self._stream.send_all(sent)
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            raise Lost("the connection broke") from None
        answer = await self._event()
        if not isinstance(answer, h11.Response):
            raise Lost("what answers is no daemon")
        if answer.status_code == 200:
            return
        body = bytearray()
        while isinstance(event := await self._event(), h11.Data):
            body += event.data[: MOST_REFUSAL_BYTES - len(body)]
        raise why_refused(answer.status_code, body)

    async def receive(self) -> list[PrintedNow | News]:
        """What came; EndOfChannel once the run has ended. Lost if the connection does before."""
        while not self._ended:
            event = await self._event()
            if not isinstance(event, h11.Data):
                raise Lost(self._parting)
            if news := self._read(event.data):
                return news
        raise trio.EndOfChannel

    def _read(self, data: bytes) -> list[PrintedNow | News]:
        news: list[PrintedNow | News] = []
        for kind, payload in self._frames.feed(data):
            if kind == MESSAGE:
                news += self._hear(payload)
            elif kind == BEGUN:
                self.shown.begin()
            elif (stream := _STREAMS.get(kind)) is not None:
                self.shown.add(stream, len(payload))
                news.append(PrintedNow(stream, payload))
        return news

    def _hear(self, message: bytes) -> Iterable[News]:
        """Facts and gaps; a run's facts are not dense here, since what it printed is not among them."""
        match from_json(message):
            case {"type": "events", "events": envelopes}:
                facts = tuple(map(Recorded.from_wire, envelopes))
                self._ended |= any(fact.type in TERMINAL_TYPES for fact in facts)
                yield Facts(facts)
            case {"type": "gap", "first": first, "last": last}:
                yield Skipped(first, last)
            case {"type": "bye", "reason": reason}:
                self._parting = str(reason)

    async def _event(self) -> object:
        """What comes next in HTTP. Lost if nothing does."""
        try:
            while True:
                event = self._http.next_event()
                if event is not h11.NEED_DATA:
                    return event
                data = await self._stream.receive_some(RECEIVE_BYTES)
                self._http.receive_data(bytes(data))
        except (
            trio.BrokenResourceError,
            trio.ClosedResourceError,
            h11.RemoteProtocolError,
        ):
            raise Lost("the connection broke") from None


@asynccontextmanager
async def open_live(address: Address, run_id: str) -> AsyncIterator[LiveStream]:
    """What comes of a run that this client submitted and that is told live.

    While it receives nothing the run's program waits. Lost, or the daemon's own error.
    """
    async with await connect(address) as stream:
        live = LiveStream(stream)
        await live.ask(address, run_id)
        yield live
