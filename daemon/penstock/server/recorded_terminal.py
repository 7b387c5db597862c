"""What a terminal of another box shows, as the log tells it: a moment later, and for who only looks on."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from penstock.runs.core import Core
from penstock.server.shutdown import Shutdown
from penstock.words.printed import bytes_of, piece_in
from penstock.words.recorded import Recorded

Show = Callable[[bytes], Awaitable[None]]


async def look_on(core: Core, shutdown: Shutdown, run_id: str, show: Show) -> bool:
    """Hand on all that the run's program shows, from its begin to its end. False if the daemon stops before.

    Bytes from the first one on draw the same picture, whichever box reads them; what the log keeps no more
    is drawn over by what follows.
    """
    with core.table.bus.subscribe(run_id, 0, name="terminal", kind="ws") as batches:
        while True:
            batch = None
            with shutdown.until_streams_end():
                batch = await anext(batches, None)
            if batch is None:
                return False
            for fact in batch.facts:
                if data := _shown_by(fact):
                    await show(data)
            if batch.last:
                return True


def _shown_by(fact: Recorded) -> bytes | None:
    """What the program showed by this fact; what its pipeline said beside it stood on no terminal."""
    piece = piece_in(fact)
    return None if piece is None or piece.stream == "pipeline" else bytes_of(piece)
