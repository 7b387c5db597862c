"""How a log that was put back, replaced or removed is noticed.

An older copy of the log, or one that lost its newest commits, is whole in itself. But its clients
have seen more of it, and its next facts get positions that named others before. So a mark of how far
it had come (the high water) is kept apart from it; where the log does not reach the mark it gets a
new epoch, and every client begins anew.

The mark is in another folder than the log, so that who puts the one back leaves the other. It is
written after commits only, so it is never ahead of the log, and at most once a second, so a log
that was put back by less than that is not noticed by it. It is no part of the log: a mark that is
lost, unreadable or not to be written costs the notice, and nothing else.

While the daemon lives it looks whether the files are still those that it opened.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Protocol
from uuid import UUID

import trio

from penstock.concurrency.threads import run_in_thread
from penstock.log.bus import Bus
from penstock.log.kept import Bounds
from penstock.words.errors import StartRefused, StoreBroken
from penstock.words.plain_files import open_plain
from penstock.words.recorded import Recorded

log = logging.getLogger("penstock.record")

#: Seconds between two writes of the mark: what a put-back may take without being noticed by it.
MARK_SECONDS = 1.0
#: A mark has some 200 bytes; whatever is larger is none.
LARGEST_MARK_BYTES = 4096

#: Seconds between two looks at the files of an idle log; every commit looks by itself.
LOOK_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class Mark:
    """The newest fact that was seen in a log: of which log and epoch, where, and which."""

    log: str
    epoch: str
    position: int
    event_id: str


class MarkedLog(Protocol):
    """The store, as far as the mark goes."""

    epoch: str
    log_id: str
    #: Epochs that the log is known to have had before.
    past_epochs: frozenset[str]

    async def bounds(self) -> Bounds: ...

    async def read_all(self, after: int = 0, limit: int = 500) -> list[Recorded]: ...

    async def renew_epoch(self) -> None: ...


class WatchedLog(MarkedLog, Protocol):
    """The store, as far as the watch goes."""

    async def check_files(self) -> None:
        """StoreBroken, from now on, if what was opened is not there any more, or another's."""
        ...


def why_put_back(
    mark: Mark | None, *, log_id: str, epoch: str, head: int, found: UUID | None
) -> str:
    """Why a log is not what the mark saw; empty if it is, or is another log.

    `found` is the fact that stands at the mark's position now; None if it is not kept any more.
    """
    if mark is None or mark.log != log_id:
        return ""
    if mark.epoch != epoch:
        return f"it has the epoch {epoch} again, which was {mark.epoch} already"
    if head < mark.position:
        return f"it ends at position {head}, and had come to {mark.position}"
    if found is not None and str(found) != mark.event_id:
        return f"another fact stands at position {mark.position} than did before"
    return ""


@dataclass(eq=False, slots=True)
class HighWater:
    """Keeps the mark of one log in the file `path`. Files are read and written in threads."""

    path: Path
    store: MarkedLog
    _warned: bool = False

    async def check(self) -> str:
        """Why the log was put back, after it was given a new epoch; empty if it was not."""
        mark = await run_in_thread(read_mark, self.path)
        if mark is None:
            return ""
        if mark.epoch in self.store.past_epochs:
            # Another daemon of the log has found out already.
            return ""
        bounds = await self.store.bounds()
        at_mark = await self.store.read_all(mark.position - 1, 1)
        found = next((f.event_id for f in at_mark if f.position == mark.position), None)
        why = why_put_back(
            mark,
            log_id=self.store.log_id,
            epoch=self.store.epoch,
            head=bounds.head,
            found=found,
        )
        if why:
            await self.store.renew_epoch()
            log.error(
                "the log was put back: %s; it has a new epoch, and clients begin anew",
                why,
            )
        return why

    async def follow(self, bus: Bus) -> None:
        """The task that moves the mark on; until cancelled."""
        marked = 0
        while True:
            newest = bus.newest
            if newest is None or newest.position <= marked:
                await bus.wait_published(None)
                continue
            await self.write(newest)
            marked = newest.position
            await trio.sleep(MARK_SECONDS)

    async def write(self, fact: Recorded) -> None:
        """Move the mark to a fact that was published, so that it is on the disk."""
        mark = Mark(
            self.store.log_id, self.store.epoch, fact.position, str(fact.event_id)
        )
        try:
            await run_in_thread(write_mark, self.path, mark)
        except OSError as error:
            if not self._warned:
                log.warning(
                    "the mark %s cannot be written (%s): a log that is put back may go unnoticed",
                    self.path,
                    error.strerror,
                )
            self._warned = True
        else:
            self._warned = False


def read_mark(path: Path) -> Mark | None:
    """The mark in the file; None if there is none, or none that can be read."""
    try:
        fd = open_plain(path, os.O_RDONLY)
        try:
            data = json.loads(os.read(fd, LARGEST_MARK_BYTES))
        finally:
            os.close(fd)
        mark = Mark(**data)
        UUID(mark.event_id)
        if mark.position < 1:
            raise ValueError(mark.position)
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError, AttributeError, RecursionError) as error:
        log.warning("the mark %s cannot be read and is left out: %s", path, error)
        return None
    return mark


def check_same_log(path: Path, log_id: str, where: str) -> None:
    """StartRefused if the mark is of another log: what `where` names leads to another server than it did.

    To begin a log of its own there, or to go on with another's, is what nobody does by mistake.
    """
    mark = read_mark(path)
    if mark is not None and mark.log != log_id:
        raise StartRefused(
            f"{where} is another log ({log_id}) than the one that this daemon wrote there ({mark.log}): see"
            f" that `store` names the right server. If it does, remove {path}, and start again"
        )


def write_mark(path: Path, mark: Mark) -> None:
    """Write the mark whole or not at all. OSError."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    new = path.with_name(f"{path.name}.new")
    fd = open_plain(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW)
    try:
        os.write(fd, json.dumps(asdict(mark)).encode())
    finally:
        os.close(fd)
    # Not synced: a mark that a power cut took is one that was never written.
    new.rename(path)


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
async def watching(store: WatchedLog, mark: Path | None) -> AsyncIterator[Watch]:
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


async def _watch_files(store: WatchedLog) -> None:
    while True:
        await trio.sleep(LOOK_SECONDS)
        try:
            await store.check_files()
        except StoreBroken as error:
            log.critical("%s; ending, since nothing more would be kept", error)
            raise
