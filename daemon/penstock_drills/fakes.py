"""A store that can fail and processes that can be orphaned, for a core on virtual time.

Under a mock clock nothing may use threads, so the store is run on the loop, and the processes are
entries in a table.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from typing import Any, Literal, TypeVar

import trio

from penstock.concurrency.threads import RunBlocking
from penstock.log.sqlite.store import SqliteStore
from penstock.log.writes import (
    AskRow,
    Bounds,
    Result,
    RunFilter,
    RunRow,
    TreeRun,
    Write,
)
from penstock.processes.process import Proof
from penstock.runs.core import Environment
from penstock.runs.run import Executor
from penstock.words.errors import PenstockError, StoreBroken, StoreUnavailable
from penstock.words.events import ProcessExited, ProcessStarted
from penstock.words.recorded import Recorded

T = TypeVar("T")
R = TypeVar("R", bound=Result)

#: The time at which the stories of drills begin.
START = datetime(2030, 1, 1, tzinfo=UTC)
#: Virtual seconds that a fake process takes to end when it is told to.
ENDING_SECONDS = 0.01
#: Virtual seconds of an outage that outlasts the patience of every fact.
LONG_OUTAGE = 45.0

FaultMode = Literal["once", "lost answer", "outage", "broken"]


def virtual_now() -> datetime:
    """The time of day in a story whose clock is Trio's."""
    return START + timedelta(seconds=trio.current_time())


def inline(delay: Callable[[], float] | None = None) -> RunBlocking:
    """Runs functions on the loop, with a checkpoint before and after, as a thread would.

    `delay` gives the virtual seconds a call takes. As with a thread, a cancel is heard before the
    call starts, and not any more once it has.
    """

    async def run(fn: Callable[..., T], /, *args: Any) -> T:
        await trio.lowlevel.checkpoint()
        with trio.CancelScope(shield=True):
            if delay is not None:
                await trio.sleep(delay())
            result = fn(*args)
            await trio.lowlevel.checkpoint()
        return result

    return run


@dataclass(slots=True)
class StoreFault:
    """At the `at`-th call of the store from 1: `once` nothing is done and StoreUnavailable raised;
    `lost answer` the same after it was done; `outage` every call fails for LONG_OUTAGE seconds;
    `broken` the store is never again what it was.
    """

    mode: FaultMode
    at: int
    since: float | None = None

    @property
    def fired(self) -> bool:
        return self.since is not None

    def hits(self, call: int) -> bool:
        """Whether this call fails; the fault remembers when it began."""
        if call == self.at:
            self.since = trio.current_time()
        if self.since is None or call < self.at:
            return False
        if self.mode == "outage":
            return trio.current_time() < self.since + LONG_OUTAGE
        return call == self.at or self.mode == "broken"


@dataclass(eq=False, slots=True)
class FaultyStore:
    """A store that fails as its fault says, and writes nothing once `dead`, as after kill -9."""

    store: SqliteStore
    fault: StoreFault | None = None
    dead: bool = False
    calls: int = 0
    epoch: str = ""

    async def _call(
        self, verb: Callable[..., Awaitable[T]], *args: Any, **named: Any
    ) -> T:
        self.calls += 1
        if self.dead:
            await trio.lowlevel.checkpoint()
            raise StoreBroken("the daemon was killed")
        failing = self.fault is not None and self.fault.hits(self.calls)
        mode = self.fault.mode if self.fault else None
        if failing and mode != "lost answer":
            await trio.lowlevel.checkpoint()
            raise StoreBroken if mode == "broken" else StoreUnavailable("a drill")
        result = await verb(*args, **named)
        if failing:
            raise StoreUnavailable("a drill, after the deed")
        return result

    @property
    def damage(self) -> str | None:
        return self.store.damage

    async def commit(self, batch: Sequence[Write[R]]) -> list[R | PenstockError]:
        return await self._call(self.store.commit, batch)

    async def read(self, *args: Any, **named: Any) -> list[Recorded]:
        return await self._call(self.store.read, *args, **named)

    async def read_all(self, *args: Any, **named: Any) -> list[Recorded]:
        return await self._call(self.store.read_all, *args, **named)

    async def run(self, run_id: str) -> RunRow | None:
        return await self._call(self.store.run, run_id)

    async def runs(self, wanted: RunFilter) -> list[RunRow]:
        return await self._call(self.store.runs, wanted)

    async def open_runs(self) -> list[RunRow]:
        return await self._call(self.store.open_runs)

    async def tree(self, run_id: str) -> list[TreeRun]:
        return await self._call(self.store.tree, run_id)

    async def asks(self, *args: Any, **named: Any) -> list[AskRow]:
        return await self._call(self.store.asks, *args, **named)

    async def paused(self) -> Mapping[str | None, str]:
        return await self._call(self.store.paused)

    async def bounds(self) -> Bounds:
        return await self._call(self.store.bounds)

    async def size(self) -> int:
        return await self._call(self.store.size)

    async def aclose(self) -> None:
        await trio.lowlevel.checkpoint()


@dataclass(eq=False, slots=True)
class FakeProcesses:
    """Programs that last as many seconds as their last word says. `alive`: run ids by pid.

    After `crash` nobody of the daemon ends them any more; only the next life can.
    """

    alive: dict[int, str] = field(default_factory=dict)
    orphans: dict[int, str] = field(default_factory=dict)
    _pids: Any = field(default_factory=lambda: count(1000))

    async def __call__(
        self,
        argv: Sequence[str],
        *,
        run_id: str,
        on_started: Callable[[ProcessStarted], Awaitable[None]],
        on_output: Callable[[Any, bytes], Awaitable[None]],
        on_proof: Callable[[Proof], None],
        **_others: Any,
    ) -> ProcessExited:
        pid = next(self._pids)
        self.alive[pid] = run_id
        started = ProcessStarted(
            pid=pid, start_time=1, boot_id="drill", method="subreaper", argv=tuple(argv)
        )
        try:
            await on_started(started)
            await on_output("stdout", b"begun\n")
            await trio.sleep(float(argv[-1]))
            await on_output("stdout", b"done\n")
        finally:
            with trio.CancelScope(shield=True):
                await trio.sleep(ENDING_SECONDS)
            self.alive.pop(pid, None)
            on_proof(Proof("subreaper", (pid,), (), virtual_now()))
        return ProcessExited(pid=pid, exit_code=0)

    def crash(self) -> None:
        """The daemon is gone at once; its processes are not."""
        self.orphans.update(self.alive)

    async def end_orphans(
        self, started: Iterable[ProcessStarted], run_ids: Collection[str]
    ) -> Sequence[int]:
        """End what is left of a previous life: what was recorded, and what carries a run's id."""
        await trio.lowlevel.checkpoint()
        recorded = {event.pid for event in started}
        found = [
            pid
            for pid, run_id in self.orphans.items()
            if pid in recorded or run_id in run_ids
        ]
        for pid in found:
            del self.orphans[pid]
        return found


async def _folderless(_folder: Path) -> None:
    await trio.lowlevel.checkpoint()


async def _plenty() -> int:
    await trio.lowlevel.checkpoint()
    return 2**40


def fake_environment(processes: FakeProcesses) -> Environment:
    """A world in which nothing outside this process happens."""
    ids = count(1)
    nowhere = Path("/nowhere")
    return Environment(
        now=virtual_now,
        new_run_id=lambda: f"r-{next(ids)}",
        executor=Executor(processes, {}, nowhere),
        workspace_of=lambda run_id: nowhere / run_id,
        make_folder=_folderless,
        remove_folder=_folderless,
        free_bytes=_plenty,
        end_orphans=processes.end_orphans,
    )
