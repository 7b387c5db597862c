"""What a daemon looks after beside its log: that the files stay, and the mark of how far it came."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path

import trio

from penstock.log.bus import Bus
from penstock.log.high_water import HighWater
from penstock.log.sqlite.store import SqliteStore
from penstock.words.errors import StoreBroken

log = logging.getLogger("penstock.record")

#: Seconds between two looks at the files of an idle log; every commit looks by itself.
LOOK_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class Watch:
    """The watch over one log. `put_back` says why it was given a new epoch; empty if it was not."""

    put_back: str
    _high_water: HighWater | None
    _nursery: trio.Nursery

    def start(self, bus: Bus) -> None:
        """From now on the mark follows what is published."""
        if self._high_water is not None:
            self._nursery.start_soon(self._high_water.follow, bus)


@asynccontextmanager
async def watching(store: SqliteStore, mark: Path | None) -> AsyncIterator[Watch]:
    """Judge the log by its mark, if it has one, then watch over it until the block ends.

    StoreBroken out of the block: a file of the log was removed or replaced.
    """
    high_water = None if mark is None else HighWater(mark, store)
    put_back = "" if high_water is None else await high_water.check()
    async with trio.open_nursery() as watch_nursery:
        watch_nursery.start_soon(_watch_files, store)
        yield Watch(put_back, high_water, watch_nursery)
        watch_nursery.cancel_scope.cancel(reason="the log is closed")


@contextmanager
def one_broken_store() -> Iterator[None]:
    """Whoever asks a broken store fails, each in its task: to the outside that is one StoreBroken.

    What else failed on the way down goes to the log of messages.
    """
    try:
        yield
    except BaseExceptionGroup as group:
        broken, rest = group.split(StoreBroken)
        if broken is None:
            raise
        if rest is not None:
            log.error("the store is broken, and more has failed", exc_info=rest)
        raise StoreBroken(_first_sentence(broken)) from None


def _first_sentence(group: BaseExceptionGroup[BaseException]) -> str:
    """The sentence of the first error inside."""
    first: BaseException = group
    while isinstance(first, BaseExceptionGroup):
        first = first.exceptions[0]
    return str(first)


async def _watch_files(store: SqliteStore) -> None:
    while True:
        await trio.sleep(LOOK_SECONDS)
        try:
            await store.check_files()
        except StoreBroken as error:
            log.critical("%s; ending, since nothing more would be kept", error)
            raise
