"""The log as a stream: resumed by position, so a lost connection loses and repeats nothing."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import NoReturn

import trio

from penstock.client.log_reader import (
    FIRST_DELAY,
    LONGEST_DELAY,
    PATIENCE_SECONDS,
    Backoff,
    EpochChanged,
    Events,
    Greeted,
    LogReader,
    Lost,
    Parting,
    Ready,
    Reconnecting,
    Skipped,
    WentBack,
)
from penstock.client.websocket import CLOSE_SECONDS, Socket, open_socket
from penstock.concurrency.deferred import only
from penstock.words.address import Address
from penstock.words.errors import PenstockError, Refused
from penstock.words.recorded import Recorded


@dataclass(frozen=True, slots=True)
class Facts:
    """New facts, in order; none twice."""

    facts: tuple[Recorded, ...]


News = Facts | Skipped | Ready | Reconnecting | EpochChanged | WentBack


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
                backoff = Backoff(FIRST_DELAY, LONGEST_DELAY, PATIENCE_SECONDS)
                await _pump(address, LogReader(backoff, run_id, after), send)
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
    address: Address, reader: LogReader, send: trio.MemorySendChannel[News]
) -> None:
    """Connect, tell, and connect again until the run has ended."""
    while reader.step != "done":
        reader.connecting()
        try:
            async with open_socket(address, reader) as socket:
                while reader.step == "read":
                    await _tell(reader, await socket.receive(), socket, send)
        except Lost as lost:
            news = reader.lost(str(lost), trio.current_time())
            await send.send(news)
            await trio.sleep(news.delay)
        except Refused as error:
            if not reader.refused(error):
                raise


async def _tell(
    reader: LogReader,
    frame: object,
    socket: Socket,
    send: trio.MemorySendChannel[News],
) -> None:
    for heard in reader.feed(frame):
        match heard:
            case Events(envelopes=envelopes):
                await send.send(Facts(tuple(map(Recorded.from_wire, envelopes))))
            case Parting(reason=reason):
                await _part(socket, reason or "the daemon said good-bye")
            case Greeted():
                continue
            case _:
                await send.send(heard)


async def _part(socket: Socket, reason: str) -> NoReturn:
    """After a goodbye the close code says whether to come again: Lost, or the daemon's own error."""
    with suppress(Lost), trio.move_on_after(CLOSE_SECONDS):
        await socket.receive()
    raise Lost(reason)
