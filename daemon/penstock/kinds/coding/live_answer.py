"""A model's answer as artifacts, while it is being written.

An answer that turns out to be unusable is followed by another one with a higher attempt number, and
clients drop what came before. The artifact of the last answer is completed when the answer counts.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass

import trio

from penstock.pipeline import Artifact, DeferredFailure, OnDelta, Run


@dataclass(frozen=True, slots=True)
class _Piece:
    artifact_id: str
    text: str
    attempt: int

    def continues(self, other: _Piece) -> bool:
        return (self.artifact_id, self.attempt) == (other.artifact_id, other.attempt)


class _Superseded(Exception):
    """A newer answer has begun before this one counted."""


@asynccontextmanager
async def open_streams(
    run: Run, artifacts: Mapping[str, str]
) -> AsyncGenerator[OnDelta, None]:
    """Takes pieces of fields; `artifacts` names the artifact of each field that is shown.

    Leaving the block normally completes what is open; what is held back goes out in any case.
    """
    # An earlier execution may have shown a part already: its attempt numbers are taken.
    known = run.view.artifacts
    base = {id_: known[id_].attempt for id_ in artifacts.values() if id_ in known}
    # Without a buffer: who writes waits, and so the model's socket is not read meanwhile.
    send, receive = trio.open_memory_channel[_Piece](0)

    async def on_delta(name: str, text: str, attempt: int) -> None:
        if (id_ := artifacts.get(name)) is not None:
            await send.send(_Piece(id_, text, base.get(id_, 0) + attempt))

    failed = DeferredFailure()
    async with trio.open_nursery() as writer_nursery:
        writer_nursery.start_soon(_write, run, receive)
        with failed:
            yield on_delta
        if failed.error is not None:
            writer_nursery.cancel_scope.cancel(reason="the answer does not count")
        send.close()
    failed.reraise()


async def _write(run: Run, receive: trio.MemoryReceiveChannel[_Piece]) -> None:
    async with receive:
        piece = await _next(receive)
        while piece is not None:
            first = piece
            with suppress(_Superseded):
                async with run.artifact(
                    first.artifact_id, attempt=first.attempt
                ) as artifact:
                    piece = await _fill(artifact, first, receive)
                    if piece is not None and piece.attempt > first.attempt:
                        raise _Superseded


async def _fill(
    artifact: Artifact, piece: _Piece, receive: trio.MemoryReceiveChannel[_Piece]
) -> _Piece | None:
    """Write one artifact; the first piece of the next one, None at the end."""
    following: _Piece | None = piece
    while following is not None and following.continues(piece):
        await artifact.write(following.text)
        following = await _next(receive)
    return following


async def _next(receive: trio.MemoryReceiveChannel[_Piece]) -> _Piece | None:
    try:
        return await receive.receive()
    except trio.EndOfChannel:
        return None
