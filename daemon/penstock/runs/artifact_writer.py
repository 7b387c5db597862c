"""An artifact: a text that streams while a run makes it, and is whole in the end."""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Protocol
from uuid import UUID

import trio

from penstock.concurrency.deferred import DeferredFailure
from penstock.words.batching import Throttle
from penstock.words.errors import StoreUnavailable
from penstock.words.events import AnyEvent, ArtifactCompleted, ArtifactPartial
from penstock.words.values import new_event_id

#: Seconds the last piece may take to be recorded when the run is being cancelled: a part of the SLA.
LAST_FLUSH_SECONDS = 1.0


class Emit(Protocol):
    """Records a fact of the run and waits until it is durable; None if it was dropped (D-16)."""

    def __call__(
        self, event: AnyEvent, *, event_id: UUID | None = None
    ) -> Awaitable[object]: ...


@dataclass(eq=False, slots=True)
class Artifact:
    """Takes text with `write`. Set `path` to tell where the whole text can be found as a file."""

    artifact_id: str
    attempt: int
    throttle: Throttle
    emit: Emit
    #: The largest piece, in characters, that goes out at once.
    piece: int
    path: str | None = None
    size: int = 0
    _digest: Any = field(default_factory=hashlib.sha256)
    # Pieces go out one after another, whoever sends them.
    _turn: trio.Lock = field(default_factory=trio.Lock)
    _on_the_way: deque[tuple[UUID, ArtifactPartial]] = field(default_factory=deque)
    _held: trio.Event = field(default_factory=trio.Event)

    async def write(self, text: str) -> None:
        """Take the next text; waits while as much as the throttle may hold is on its way."""
        encoded = text.encode("utf-8", "replace")
        self._digest.update(encoded)
        self.size += len(encoded)
        for piece in _pieces(encoded.decode(), self.piece):
            async with self._turn:
                await self._send(self.throttle.add(piece, trio.current_time()))
            # What is full goes at once: to wait until it is due would bound every text to one
            # capacity per interval, however fast the log takes it.
            if self.throttle.full:
                await self.flush()
        self._held.set()

    async def flush(self) -> None:
        """Send what is held back."""
        async with self._turn:
            await self._send(self.throttle.flush(trio.current_time()))

    async def pump(self) -> None:
        """Send what is held back when it is due; runs as long as the artifact is open."""
        while True:
            await self._held.wait()
            self._held = trio.Event()
            if (due := self.throttle.due) is not None:
                await trio.sleep_until(due)
            async with self._turn:
                await self._send(self.throttle.take(trio.current_time()))

    async def _send(self, text: str) -> None:
        if text:
            piece = ArtifactPartial(
                artifact_id=self.artifact_id, text=text, attempt=self.attempt
            )
            self._on_the_way.append((new_event_id(), piece))
        # A cancel may come before or after a piece was queued. It stays here until it is recorded,
        # and is sent again under the same id, which the store takes once.
        while self._on_the_way:
            event_id, piece = self._on_the_way[0]
            if await self.emit(piece, event_id=event_id) is None:
                # Dropped in an outage of the store: it goes again with the next text, or at the end.
                return
            self._on_the_way.popleft()

    async def complete(self) -> None:
        """Say that the text is whole. StoreUnavailable if a piece was dropped to the last."""
        await self.flush()
        if self._on_the_way:
            raise StoreUnavailable(
                f"a piece of {self.artifact_id!r} could not be recorded, so it is not whole"
            )
        await self.emit(
            ArtifactCompleted(
                artifact_id=self.artifact_id,
                size=self.size,
                sha256=self._digest.hexdigest(),
                path=self.path,
                attempt=self.attempt,
            )
        )


def _pieces(text: str, size: int) -> Iterator[str]:
    for start in range(0, len(text), size):
        yield text[start : start + size]


@asynccontextmanager
async def open_artifact(
    artifact_id: str,
    emit: Emit,
    *,
    attempt: int,
    interval: float,
    capacity: int,
) -> AsyncIterator[Artifact]:
    """Stream a text; leaving the block normally completes it.

    At most one piece per `interval` seconds while the block runs; what is held back goes out before
    the block is left in any way, so before any terminal event.
    """
    throttle = Throttle(interval, capacity)
    artifact = Artifact(artifact_id, attempt, throttle, emit, capacity)
    failed = DeferredFailure()
    try:
        async with trio.open_nursery() as pump_nursery:
            pump_nursery.start_soon(artifact.pump)
            with failed:
                yield artifact
            pump_nursery.cancel_scope.cancel(reason="the artifact is written")
    finally:
        with trio.move_on_after(LAST_FLUSH_SECONDS, shield=True):
            await artifact.flush()
    failed.reraise()
    await artifact.complete()
