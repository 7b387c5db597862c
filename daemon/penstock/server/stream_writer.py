"""What a client is sent of the events that it subscribed to, from the first frame to the last.

One writer for every form of stream; the form is an `Encoder`. No queue stands between a subscription
and its client: the next batch is taken when the client took what came before. So what a slow client
has not taken lies in the ring or in the store, once for all clients, and costs it a cursor.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from uuid import UUID

import trio

from penstock.log.bus import Batch, Overflow, Subscription
from penstock.runs.core import Core
from penstock.server.encoders import Encoder
from penstock.server.json_bodies import gap_reply
from penstock.server.shutdown import Shutdown
from penstock.words.api import ByeFrame, HelloFrame, ReadyFrame
from penstock.words.error_status import detail_of
from penstock.words.errors import PenstockError, Unauthorised

#: Seconds a stream that ends looks for what was recorded last; it lies in memory, or is not for it.
LAST_LOOK_SECONDS = 0.05


@dataclass(frozen=True, slots=True)
class SubscribeRequest:
    """What a client wants to hear."""

    run_id: str | None
    after: int
    #: The fact that it had at `after`, if it knows.
    after_id: UUID | None
    overflow: Overflow
    #: Trio's time at which ends what let the client in, and the stream with it.
    until: float | None = None


@dataclass(frozen=True, slots=True)
class StreamEnd:
    """Why nothing follows; `error` is what ended the stream too early for its reader."""

    reason: str
    error: PenstockError | None = None


RUN_ENDED = StreamEnd("the run has ended")
STOPPING = StreamEnd("the daemon is stopping")
KEY_ENDED = StreamEnd(
    "the key that opened it has ended", Unauthorised("the key of the page has ended")
)


class StreamWriter:
    """The way from a subscription to its client. As an iterator it gives chunks of whole frames.

    `ending` is None until the last frame is written. `heartbeat_seconds`: how long the stream may
    be quiet, if its form has a sign of life.
    """

    def __init__(
        self,
        core: Core,
        shutdown: Shutdown,
        subscription: Subscription,
        encoder: Encoder,
        *,
        known: bool = True,
        until: float | None = None,
    ) -> None:
        self._until = until
        self._bus = core.bus
        self._shutdown = shutdown
        self._subscription = subscription
        self._encoder = encoder
        self._heartbeat_seconds = (
            core.config.heartbeat_seconds if encoder.heartbeat else None
        )
        self._greeting = (
            encoder.write_frame(hello(core, known)) if encoder.says_all else b""
        )
        self._ready = not encoder.says_all
        self.ending: StreamEnd | None = None

    async def write_to(self, write: Callable[[bytes], bool]) -> bool:
        """Write whole frames until the stream has ended (false), or `write` is full (true).

        `write` takes all that it is given, and answers whether it would take more; if not, call
        this again when it does. There is no checkpoint but in the wait for a batch, so a cancel
        loses no batch and cuts no frame; and there always is one in it, so a client that catches up
        lets others run.
        """
        greeting, self._greeting = self._greeting, b""
        if greeting and not write(greeting):
            return True
        while self.ending is None:
            with self._shutdown.until_streams_end(self._quiet_seconds()) as scope:
                if not await self._write_batches(write):
                    return True
            if scope.cancelled_caught and not await self._write_sign(write):
                return True
        return False

    def __aiter__(self) -> StreamWriter:
        return self

    async def __anext__(self) -> bytes:
        chunks: list[bytes] = []

        def write(chunk: bytes) -> bool:
            chunks.append(chunk)
            return False

        await self.write_to(write)
        if not chunks:
            raise StopAsyncIteration
        return chunks[0]

    def _quiet_seconds(self) -> float | None:
        """How long nothing need be said; None: for ever."""
        spans = [] if self._heartbeat_seconds is None else [self._heartbeat_seconds]
        if self._until is not None:
            spans.append(max(0.0, self._until - trio.current_time()))
        return min(spans, default=None)

    async def _write_batches(self, write: Callable[[bytes], bool]) -> bool:
        """Write what comes, to the end of the stream; false if `write` was full before."""
        try:
            async for batch in self._subscription:
                chunk = self._encode(batch)
                if batch.live and not self._ready:
                    self._ready = True
                    head = self._bus.head
                    chunk += self._encoder.write_frame(ReadyFrame(head=head))
                if chunk and not write(chunk):
                    return False
        except PenstockError as error:
            # Lagging, or a log that does not answer or is damaged: it ends with a word why.
            return self._end(write, StreamEnd(detail_of(error), error))
        return self._end(write, RUN_ENDED)

    async def _write_sign(self, write: Callable[[bytes], bool]) -> bool:
        """Write what is due when a wait was cut short: the last frames, or a sign of life."""
        if not self._shutdown.streams_ending:
            if self._until is not None and trio.current_time() >= self._until:
                return self._end(write, KEY_ENDED)
            return write(self._encoder.heartbeat)
        batch = await last_look(self._subscription)
        return self._end(write, STOPPING, self._encode(batch) if batch else b"")

    def _end(
        self, write: Callable[[bytes], bool], ending: StreamEnd, last: bytes = b""
    ) -> bool:
        """Write the last facts and the last word; whether `write` would take more."""
        self.ending = ending
        if self._encoder.says_all or ending is not RUN_ENDED:
            last += self._encoder.write_frame(ByeFrame(reason=ending.reason))
        return not last or write(last)

    def _encode(self, batch: Batch) -> bytes:
        """A batch's frames, b"" for one that says nothing. The gap is before the facts."""
        facts = batch.written(self._encoder.write_facts) if batch.facts else b""
        if batch.gap is None:
            return facts
        gap = gap_reply(batch.gap, self._subscription.overflow)
        return self._encoder.write_frame(gap) + facts


@contextmanager
def open_stream(
    core: Core,
    shutdown: Shutdown,
    wanted: SubscribeRequest,
    encoder: Encoder,
    name: str,
    *,
    known: bool = True,
) -> Iterator[StreamWriter]:
    """The stream that a client wants, subscribed as long as this is entered.

    `known`: whether there is the run that it wants to hear of; it is waited for in any case.
    """
    with core.bus.subscribe(
        wanted.run_id,
        wanted.after,
        after_id=wanted.after_id,
        overflow=wanted.overflow,
        name=name,
        kind=encoder.kind,
    ) as subscription:
        yield StreamWriter(
            core, shutdown, subscription, encoder, known=known, until=wanted.until
        )


async def last_look(subscription: Subscription) -> Batch | None:
    """What came in the moment of the stop: how the runs ended that the stop ended.

    The stop cuts a wait short even if its end was due; this takes what the wait would have given,
    once. Who is further behind comes back for the rest.
    """
    if subscription.statistics().lag == 0:
        return None
    # It ends in any case; why it would have ended otherwise is not worth a word.
    with suppress(PenstockError), trio.move_on_after(LAST_LOOK_SECONDS):
        return await anext(subscription, None)
    return None


def hello(core: Core, known: bool = True) -> HelloFrame:
    """Which daemon this is, how far its log reaches, and whether it knows the run that is wanted."""
    return HelloFrame(
        daemon=f"penstock {core.version}",
        epoch=core.epoch,
        life=core.life,
        head=core.bus.head,
        floor=core.bus.floor,
        known=known,
    )
