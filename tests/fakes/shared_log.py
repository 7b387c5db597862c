"""A log in memory that several cores write, each as a box with a lease, in virtual time."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import fields, replace
from typing import Any, cast

import trio

from fakes.cores import SLEEP, fake_environment, open_fake_core, request
from fakes.stores import inline_store
from penstock.log.kept import BoxRow, Forsaken
from penstock.log.postgresql.schema import make_boxes
from penstock.log.results import Result
from penstock.log.sqlite.store import SqliteStore
from penstock.log.store import Store
from penstock.log.writes import Write
from penstock.runs.core import Core
from penstock.runs.kind import Kind
from penstock.testing import FakeProcesses
from penstock.words.errors import (
    LeaseLost,
    PenstockError,
    StoreAway,
    StoreUnavailable,
)
from penstock.words.recorded import Recorded

#: Seconds of virtual time that a box is taken to be there without a word.
LEASE = 8.0
#: Seconds of virtual time that it waits for its turn.
TURN = 0.01
#: Seconds of virtual time in which every test of such a log is over.
ENOUGH = 1000.0
#: And those that no run of it takes to its end, unless it is told to.
LONG = 100_000.0


def _now() -> int:
    return int(trio.current_time() * 1e6)


class SharedLog:
    """One store in memory, as its server has it: boxes come and go."""

    def __init__(self, store: SqliteStore) -> None:
        self.store = store
        self.written = trio.Event()
        self.execute: Any = store._db.execute
        for statement in make_boxes():
            self.execute(statement.replace('COLLATE "C"', ""))
        store._transaction.db.clock = _now  # type: ignore[method-assign]

    def join(self, box: str, life: str = "") -> BoxStore:
        """A daemon of this box begins, whoever was there before."""
        life = life or f"{box}-1"
        self.execute(
            "INSERT INTO boxes (box, machine, folder, life, state, until, seen, lease_seconds, slots, labels,"
            " accept, version) VALUES (?, ?, '', ?, 'here', ?, ?, ?, 5, '{}', 'self', '')"
            " ON CONFLICT (box) DO UPDATE SET life = excluded.life, state = 'here',"
            " until = excluded.until, seen = excluded.seen",
            (box, box, life, _now() + int(LEASE * 1e6), _now(), LEASE),
        )
        return BoxStore(self, box, life)


class BoxStore:
    """The log as one box meets it. What is not written here is that of the store."""

    def __init__(self, log: SharedLog, box: str, life: str) -> None:
        self._log = log
        self.box, self.life = box, life
        self.lease_seconds = LEASE
        self.sharing = self
        self.amiss: str | None = None
        #: Nothing goes through, or each so many commits the answer is lost.
        self.cut = False
        #: What others wrote is told to nobody.
        self.unreadable = False
        #: Writes that the server does not take of this box, though it answers.
        self.refuses: Callable[[Write[Any]], bool] = lambda _write: False
        self.lose_every = 0
        self.commits = self.lost_answers = 0
        self._unsure: list[Any] | None = None

    def as_store(self) -> Store:
        """Itself."""
        return cast("Store", self)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._log.store, name)

    async def _reach(self) -> None:
        await trio.lowlevel.checkpoint()
        if self.cut:
            raise StoreAway("the box is cut off")

    async def commit(self, batch: Sequence[Write[Any]]) -> list[Result | PenstockError]:
        await self._reach()
        # Others have the turn meanwhile.
        await trio.sleep(TURN)
        log = self._log
        if any(map(self.refuses, batch)):
            raise StoreAway("a server says so", code="ZZ999")
        has_lease = "box = ? AND life = ? AND state = 'here' AND until > ?"
        sql = f"SELECT 1 FROM boxes WHERE {has_lease}"
        if not log.execute(sql, (self.box, self.life, _now())).fetchone():
            raise LeaseLost(f"the lease of {self.box} is over")
        results = log.store._commit(batch)
        until = _now() + int(LEASE * 1e6)
        sql = "UPDATE boxes SET seen = ?, until = ? WHERE box = ?"
        log.execute(sql, (_now(), until, self.box))
        if any(getattr(result, "recorded", ()) for result in results):
            # As the server tells of facts, and of nothing else.
            told, log.written = log.written, trio.Event()
            told.set()
        self.commits += 1
        if self.lose_every and self.commits % self.lose_every == 0:
            self.lost_answers += 1
            self._unsure = results
            await trio.sleep(0.01)
            raise StoreUnavailable("the answer was lost")
        return results

    async def recall(self, _head: int) -> list[Any] | None:
        await self._reach()
        results, self._unsure = self._unsure, None
        return results

    async def read(self, *args: Any, **named: Any) -> list[Recorded]:
        await self._reach()
        return await self._log.store.read(*args, **named)

    async def read_all(self, *args: Any, **named: Any) -> list[Recorded]:
        await self._reach()
        if self.unreadable:
            raise StoreAway("nobody may read it", code="42501")
        return await self._log.store.read_all(*args, **named)

    async def boxes(self) -> list[BoxRow]:
        await self._reach()
        sql = (
            "SELECT box, machine, life, state, (? - seen) / 1e6, (until - ?) / 1e6, lease_seconds, slots,"
            " labels, accept, version FROM boxes ORDER BY box"
        )
        names = [f.name for f in fields(BoxRow) if f.name != "draining"]
        rows = []
        for columns in self._log.execute(sql, (_now(), _now())):
            named = dict(zip(names, columns, strict=True))
            rows.append(BoxRow(**{**named, "labels": json.loads(named["labels"])}))
        return rows

    async def wait_written(self, seconds: float) -> bool:
        with trio.move_on_after(seconds):
            await self._log.written.wait()
        return True

    async def forsaken(self) -> Forsaken:
        await self._reach()
        rows = {row.box: row for row in await self.boxes()}
        silent = {box for box, row in rows.items() if row.lease_left <= 0}
        gone = {box for box, row in rows.items() if row.state != "here"} | silent
        overdue = [
            (box, rows[box].life) for box in sorted(silent) if rows[box].state == "here"
        ]
        runs = [
            row.run_id
            for row in await self._log.store.open_runs()
            if row.life is not None and (row.host in gone or row.host not in rows)
        ]
        return Forsaken(tuple(overdue), frozenset(runs))


@asynccontextmanager
async def open_shared_log() -> AsyncIterator[SharedLog]:
    """A log without a box. What has come to nothing by then fails: virtual time never ends."""
    async with inline_store() as store:
        with trio.fail_after(ENOUGH):  # noqa: ASYNC100 (of the block in it)
            yield SharedLog(store)


@asynccontextmanager
async def open_box(
    log: SharedLog,
    box: str,
    *kinds: Kind,
    life: str = "",
    processes: FakeProcesses | None = None,
    **settings: Any,
) -> AsyncIterator[tuple[Core, BoxStore]]:
    """A core that writes this log as this box, and executes whatever anybody submits anywhere."""
    store = log.join(box, life)
    anywhere = [replace(kind, portable=True) for kind in (SLEEP, *kinds)]
    world = replace(fake_environment(processes), host=box)
    async with open_fake_core(
        *anywhere,
        store=store.as_store(),
        life=store.life,
        environment=world,
        **{"accept": "team", **settings},
    ) as core:
        yield core, store


@asynccontextmanager
async def open_two_boxes(
    *kinds: Kind, **settings: Any
) -> AsyncIterator[tuple[Core, Core]]:
    """Two cores that write one log, as the boxes a and b."""
    async with (
        open_shared_log() as log,
        open_box(log, "a", *kinds, **settings) as (a, _),
        open_box(log, "b", *kinds, **settings) as (b, _),
    ):
        yield a, b


async def submit(core: Core, run_id: str, seconds: float = LONG, **others: Any) -> None:
    await core.submitter.submit(request(run_id=run_id, seconds=seconds, **others))


async def until(holds: Callable[[], bool], core: Core) -> None:
    """Until a core's picture says so; each change of it is a published fact."""
    with trio.fail_after(300):
        while not holds():
            await core.bus.wait_published(None)


def placed(core: Core) -> dict[str, str]:
    """Where runs execute, as this core sees it."""
    return {v.run_id: v.box for v in core.table.views.values() if v.state == "running"}
