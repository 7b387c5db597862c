"""The log as a stream: resumed by position, so a lost connection loses and repeats nothing."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any, NoReturn
from uuid import UUID

import trio

from penstock.client.websocket import CLOSE_SECONDS, Lost, Socket, only, open_socket
from penstock.words.address import Address
from penstock.words.errors import DaemonUnreachable, PenstockError, PutBack
from penstock.words.events import TERMINAL_TYPES
from penstock.words.recorded import Recorded

#: Seconds before the second attempt to connect again; doubled for each further one.
FIRST_DELAY = 0.1
#: A daemon that restarts is back within seconds, and nobody should wait much longer than it.
LONGEST_DELAY = 2.0
#: Seconds without a connection after which the stream gives up.
PATIENCE_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Facts:
    """New facts, in order; none twice."""

    facts: tuple[Recorded, ...]


@dataclass(frozen=True, slots=True)
class Skipped:
    """Facts from `first` to `last` are not to be had: pruned, or dropped for a slow reader."""

    first: int
    last: int
    dropped: int | None = None


@dataclass(frozen=True, slots=True)
class Ready:
    """All that was recorded before the connection was made has been told."""

    head: int


@dataclass(frozen=True, slots=True)
class Reconnecting:
    """The connection was lost; the next attempt comes after `delay` seconds."""

    why: str
    attempt: int
    delay: float


@dataclass(frozen=True, slots=True)
class EpochChanged:
    """The daemon has another log now; positions begin anew."""

    old: str
    new: str


@dataclass(frozen=True, slots=True)
class WentBack:
    """The log does not hold any more what was told from the position `first` on; it begins anew."""

    first: int


News = Facts | Skipped | Ready | Reconnecting | EpochChanged | WentBack


@dataclass(slots=True)
class Cursor:
    """What a reader has: drops what comes again, and notices what is missing."""

    run_id: str | None
    position: int = 0
    epoch: str = ""
    ended: bool = False
    #: The fact at `position`, if it was told here: by it the daemon knows a log that went back.
    event_id: UUID | None = None
    #: The last sequence of the one run, None until it is known.
    _sequence: int | None = field(default=None)

    #: Where its caller began.
    _begun: int = field(init=False)

    def __post_init__(self) -> None:
        self._begun = self.position
        if self.position == 0:
            self._sequence = 0

    def take(self, facts: Iterable[Recorded]) -> list[News]:
        """What is new among `facts`."""
        news: list[News] = []
        fresh: list[Recorded] = []
        for fact in facts:
            if fact.position <= self.position:
                continue
            if self._misses(fact):
                news += [Facts(tuple(fresh))] if fresh else []
                news.append(Skipped(self.position + 1, fact.position - 1))
                fresh = []
            self.position, self._sequence = fact.position, fact.sequence
            self.event_id = fact.event_id
            self.ended = self.run_id is not None and fact.type in TERMINAL_TYPES
            fresh.append(fact)
        return news + ([Facts(tuple(fresh))] if fresh else [])

    def skip(self, last: int) -> None:
        """The daemon said that nothing up to `last` will come."""
        self.position = max(self.position, last)
        self._sequence = self.event_id = None

    def restart(self, epoch: str) -> None:
        """Begin anew with another log."""
        self.position, self.epoch, self._sequence = 0, epoch, 0
        self.event_id = None

    @property
    def given(self) -> bool:
        """Whether the place is still the one that our caller brought."""
        return self.event_id is None and self.position == self._begun

    def _misses(self, fact: Recorded) -> bool:
        # Dense are the positions of the whole log, and the sequence within one run.
        if self.run_id is None:
            return self.position > 0 and fact.position > self.position + 1
        return self._sequence is not None and fact.sequence > self._sequence + 1


class EventStream:
    """An async iterator of news; it ends after the terminal event of the run it is about."""

    def __init__(self, news: trio.MemoryReceiveChannel[News]) -> None:
        self._news = news
        #: Why there is no more; the pump leaves it here.
        self.failed: PenstockError | None = None

    def __aiter__(self) -> EventStream:
        return self

    async def __anext__(self) -> News:
        """The next piece; DaemonUnreachable, Unauthorised … when there can be none."""
        try:
            return await self._news.receive()
        except trio.EndOfChannel:
            if self.failed is not None:
                raise self.failed from None
            raise StopAsyncIteration from None


@dataclass(slots=True)
class Patience:
    """How long to go on trying; time counts from the loss, since a reader may be slow for hours."""

    seen: bool = False
    attempt: int = 0
    lost_at: float | None = None

    def connected(self) -> None:
        self.seen, self.attempt, self.lost_at = True, 0, None

    def delay(self, now: float) -> float | None:
        """Seconds until the next attempt; None: give up."""
        if not self.seen:
            return None
        if self.lost_at is None:
            self.lost_at = now
        if now - self.lost_at > PATIENCE_SECONDS:
            return None
        self.attempt += 1
        return float(min(FIRST_DELAY * 2 ** (self.attempt - 1), LONGEST_DELAY))


@asynccontextmanager
async def open_stream(
    address: Address, run_id: str | None = None, *, after: int = 0
) -> AsyncIterator[EventStream]:
    """The facts above the position `after`, of one run or of all, and those to come.

    The first connection must succeed; later ones are tried again for PATIENCE_SECONDS.
    """
    send, receive = trio.open_memory_channel[News](0)
    stream = EventStream(receive)

    async def pump() -> None:
        async with send:
            try:
                await _pump(address, Cursor(run_id, after), send)
            except PenstockError as error:
                # Raised where the reader stands, so that no exception group reaches it.
                stream.failed = error

    try:
        async with receive, trio.open_nursery() as nursery:
            nursery.start_soon(pump)
            yield stream
            nursery.cancel_scope.cancel(reason="the reader has left")
    except BaseExceptionGroup as group:
        raise only(group) from None


async def _pump(
    address: Address, cursor: Cursor, send: trio.MemorySendChannel[News]
) -> None:
    """Connect, tell, and connect again until the run has ended."""
    patience = Patience()
    while not cursor.ended:
        try:
            async with open_socket(
                address, cursor.run_id, cursor.position, cursor.event_id
            ) as socket:
                await _tell(socket, cursor, patience, send)
        except Lost as lost:
            delay = patience.delay(trio.current_time())
            if delay is None:
                hint = "" if patience.seen else "; start one with `penstock serve`"
                raise DaemonUnreachable(f"{lost}{hint}") from None
            await send.send(Reconnecting(str(lost), patience.attempt, delay))
            await trio.sleep(delay)


async def _tell(
    socket: Socket,
    cursor: Cursor,
    patience: Patience,
    send: trio.MemorySendChannel[News],
) -> None:
    """Tell what comes from one connection; returns when the run has ended or the log is another."""
    while not cursor.ended:
        frame = await socket.receive()
        if not isinstance(frame, dict):
            continue
        if frame.get("type") == "hello":
            patience.connected()
            if cursor.epoch and cursor.epoch != frame["epoch"]:
                await send.send(EpochChanged(cursor.epoch, frame["epoch"]))
                cursor.restart(frame["epoch"])
                return
            cursor.epoch = frame["epoch"]
        if frame.get("type") == "bye":
            await _part(socket, frame.get("reason") or "the daemon said good-bye")
        if frame.get("type") == "gap" and frame.get("put_back"):
            await send.send(_went_back(frame, cursor))
            return
        for news in _read(frame, cursor):
            await send.send(news)


async def _part(socket: Socket, reason: str) -> NoReturn:
    """After a goodbye the close code says whether to come again: Lost, or the daemon's own error."""
    with suppress(Lost), trio.move_on_after(CLOSE_SECONDS):
        await socket.receive()
    raise Lost(reason)


def _went_back(frame: dict[str, Any], cursor: Cursor) -> WentBack:
    """Begin anew. PutBack if it was our caller who had the place: it must begin anew, not we."""
    if cursor.given:
        raise put_back(cursor.position, frame)
    cursor.restart(cursor.epoch)
    return WentBack(frame["first"])


def put_back(after: int, gap: Mapping[str, Any]) -> PutBack:
    """What to raise for a place that the daemon says is not of its log."""
    what = (
        f"another event stands at position {after}"
        if gap["first"] == after
        else f"the log ends at position {gap['first'] - 1}, before {after}"
    )
    return PutBack(
        f"{what}: it was put back, or is another one; read it from its beginning"
    )


def _read(frame: dict[str, Any], cursor: Cursor) -> list[News]:
    """What a frame tells; frames of a newer daemon tell nothing."""
    match frame.get("type"):
        case "events":
            return cursor.take([Recorded.from_wire(data) for data in frame["events"]])
        case "gap":
            cursor.skip(frame["last"])
            return [Skipped(frame["first"], frame["last"], frame.get("dropped"))]
        case "ready":
            return [Ready(frame["head"])]
        case _:
            return []
