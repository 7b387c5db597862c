"""The stage of a drill: lives of one core in memory, the people around it, and what they noted."""

from __future__ import annotations

import os
import sqlite3
import sys
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass, field
from itertools import count
from typing import Any

import trio

from penstock.log.bus import Overflow
from penstock.log.projections import BrokenStory
from penstock.log.sqlite.store import SqliteStore
from penstock.log.tables.output_window import WindowLimits
from penstock.runs.core import Core
from penstock.runs.open_core import open_core
from penstock.runs.submit import Submitted
from penstock.testing.fake_programs import FakeProcesses
from penstock.testing.faulty_store import FaultyStore, StoreFault, inline
from penstock.testing.in_memory import memory_environment
from penstock.words.api import RearrangeRequest, SubmitRequest
from penstock.words.config import Config
from penstock.words.errors import (
    Conflict,
    PenstockError,
    StoreBroken,
    StoreUnavailable,
    Terminal,
)
from penstock.words.lifecycle import PAUSED
from penstock.words.values import new_event_id
from penstock_drills.blank_logs import BlankLogs, open_blank_logs
from penstock_drills.scripts import Notes, Op, drill_kinds

#: Virtual seconds that a client looks again after an outage.
TRY_AGAIN = 1.0

#: Virtual seconds for a hanging core to end once its waits are over.
LAST_HANG_SECONDS = 600.0

#: What a person says who puts a run in line again.
ENQUEUE = RearrangeRequest(stashed=False)

Play = Callable[["Stage"], Awaitable[None]]


@dataclass(eq=False, slots=True)
class Stage:
    """One life of the core after the other on one log. Made by `open_stage`."""

    config: Config
    db: sqlite3.Connection
    delay: Callable[[], float] | None = None
    notes: Notes = field(default_factory=Notes)
    processes: FakeProcesses = field(default_factory=FakeProcesses)
    #: Laws seen broken so far, in words.
    broken: list[str] = field(default_factory=list)
    killed: bool = False
    #: Whether nothing fails in this story, so that all of it must happen.
    undisturbed: bool = False
    #: Whether somebody ends scopes of runs without a word.
    abandons: bool = False
    #: Whether the store has failed for longer than any fact waits, in this life or an earlier one.
    outage: bool = False
    #: The store of the present life, once there is one.
    store: FaultyStore | None = None
    lives: int = 0
    _core: Core | None = None
    _life: trio.CancelScope = field(default_factory=trio.CancelScope)
    _people: dict[str, trio.CancelScope] = field(default_factory=dict)
    _names: Iterator[int] = field(default_factory=lambda: count(1))

    @property
    def core(self) -> Core:
        """The core of the present life."""
        assert self._core is not None
        return self._core

    @property
    def doubtful(self) -> bool:
        """Whether the store does not answer now, so that nothing can be expected to happen."""
        return self.core.recorder.unavailable is not None

    @property
    def up(self) -> bool:
        return self._core is not None

    def accepted(self, run_id: str) -> bool:
        """Whether a submit of this run was answered."""
        return run_id in self.notes.accepted

    # -- lives

    async def live(self, play: Play, fault: StoreFault | None = None) -> bool:
        """One life in which `play` happens; whether it was played to its end."""
        self.lives += 1
        self.outage = self.outage or (fault is not None and fault.mode == "outage")
        self.killed, self._life, self._core = False, trio.CancelScope(), None
        # What was not committed is lost with the process.
        self.db.rollback()
        self.notes.begin_life(self.config.max_concurrent)
        self.store = FaultyStore(self._open_store(), fault)
        played = False
        try:
            with self._life:
                async with open_core(
                    self.config,
                    store=self.store,
                    kinds=drill_kinds(self.notes),
                    life=f"life-{self.lives}",
                    environment=memory_environment(self.processes),
                ) as core:
                    self._core = core
                    await play(self)
                    played = True
        except BaseException as error:  # noqa: BLE001, ASYNC103  (what is not judged goes on)
            found, rest = _fatal(error)
            if rest is not None:
                raise rest from None  # noqa: ASYNC104
            self._judge(found, excused=self.killed or fault is not None)
            played = False
        self._core = None
        return played and not self.killed

    def _open_store(self) -> SqliteStore:
        return SqliteStore(
            [self.db],
            life=f"life-{self.lives}",
            run_blocking=inline(self.delay),
            run_reading=None,
            new_id=new_event_id,
            limits=WindowLimits(
                self.config.output_head_bytes, self.config.output_tail_bytes
            ),
        )

    def _judge(self, error: BaseException | None, *, excused: bool) -> None:
        """A daemon may die of its store; of nothing else."""
        for leaf in _leaves(error):
            if not excused or not isinstance(leaf, StoreBroken | StoreUnavailable):
                self.broken.append(f"the daemon died of {type(leaf).__name__}: {leaf}")

    def stop(self) -> None:
        """Cancel the whole core: a stop without a word."""
        self._life.cancel(reason="a drill stops the daemon")

    def kill(self) -> None:
        """From now on nothing reaches the log, and nobody ends the processes: kill -9."""
        self.killed = True
        if self.store is not None:
            self.store.dead = True
        self.processes.crash()
        self._life.cancel(reason="a drill killed the daemon")

    async def break_hang(self, seconds: float) -> None:
        """After so many virtual seconds: a shielded wait that nobody can end must not hold a drill.

        First the waits for conclusions are ended; if that does not help, this process is.
        """
        await trio.sleep(seconds)
        self.broken.append("something hangs in a shield")
        while self.up and trio.current_time() < seconds + LAST_HANG_SECONDS:
            self.core.table.abandon()
            await trio.sleep(TRY_AGAIN)
        print("a drill hangs: ", *self.broken, sep="\n", file=sys.stderr, flush=True)  # noqa: T201
        os._exit(70)

    # -- people

    @contextmanager
    def person(self, name: str) -> Iterator[None]:
        """What a person does in here can be cut off by the name; a refusal is taken calmly."""
        with trio.CancelScope() as scope:
            self._people[name] = scope
            try:
                yield
            except BrokenStory:
                raise
            except PenstockError:
                return

    def cut_off(self, name: str) -> None:
        """The person is gone in the middle of a word."""
        if name in self._people:
            self._people[name].cancel(reason="a drill")

    def preempt(self, number: int) -> None:
        """Interrupt one of the runs that execute now."""
        if execution := self.choose_execution(number):
            execution.preempt("a drill")

    def choose_execution(self, number: int) -> Any:
        """One of the runs that execute now; None if there is none."""
        if not self.up:
            return None
        executions = list(self.core.table.executions.values())
        return executions[number % len(executions)] if executions else None

    async def submit(
        self, *ops: Op, run_id: str | None = None, kind: str = "script", **others: Any
    ) -> str:
        """Submit a script, waiting for room; its run id."""
        run_id = run_id or f"run-{next(self._names)}"
        fields: dict[str, Any] = {
            "kind": kind,
            "inputs": {"ops": ops},
            "run_id": run_id,
        }
        request = SubmitRequest(**fields, **others)
        submitted = await self.core.submitter.submit(request, wait=True)
        self._noted(submitted)
        return submitted.view.run_id

    def _noted(self, submitted: Submitted) -> None:
        self.notes.accepted.add(submitted.view.run_id)

    async def submit_surely(self, *ops: Op, run_id: str, **others: Any) -> None:
        """Submit through an outage of the store."""
        while True:
            try:
                await self.submit(*ops, run_id=run_id, **others)
            except StoreUnavailable:
                await trio.sleep(TRY_AGAIN)
            else:
                return

    async def release_surely(self) -> None:
        """Let all go on that was paused or put aside, through an outage of the store."""
        core = self.core
        while True:
            views = list(core.table.views.values())
            held = [view.run_id for view in views if view.state == PAUSED]
            aside = [view.run_id for view in views if view.stashed]
            try:
                for group in list(core.table.paused):
                    await core.queue.resume(group)
                for run_id in held:
                    with suppress(Conflict, Terminal):
                        await core.suspension.resume(run_id)
                for run_id in aside:
                    with suppress(Conflict, Terminal):
                        await core.line.rearrange(run_id, ENQUEUE)
            except StoreUnavailable:
                await trio.sleep(TRY_AGAIN)
            else:
                return

    async def cancel(self, run_id: str, reason: str) -> None:
        """Cancel and wait for the receipt; what it calls gone must be, with all that is below it."""
        receipt = await self.core.control.cancel(run_id, reason, wait=True)
        if not receipt.proves_end:
            return
        for alive in self.processes.alive.values():
            if alive == run_id or alive.startswith(f"{run_id}."):
                self.broken.append(
                    f"the receipt of {run_id} says gone, and {alive} is not"
                )

    async def watch(
        self,
        run_id: str | None,
        *,
        overflow: Overflow = "catch_up",
        pause: float = 0.0,
        after: int = 0,
    ) -> None:
        """Read a story to its end; every fact must come once and in order, or be told as missing."""
        cursor = after
        with self.core.bus.subscribe(run_id, after, overflow=overflow) as subscription:
            async for batch in subscription:
                if batch.gap is not None:
                    cursor = batch.gap.last
                for fact in batch.facts:
                    dense = run_id is not None or fact.position == cursor + 1
                    if fact.position <= cursor or not dense:
                        self.broken.append(
                            f"a reader at {cursor} was given {fact.position}"
                        )
                    cursor = fact.position
                await trio.sleep(pause)

    async def until_ended(self, *run_ids: str, seconds: float = 60.0) -> None:
        """Wait until these runs have ended, at most so many virtual seconds."""
        with trio.move_on_after(seconds) as limit:
            while any(map(self.core.reader.is_open, run_ids)):
                await self.core.bus.wait_published(None)
        if limit.cancelled_caught and self.undisturbed:
            self.broken.append(f"of {run_ids} some have not ended")


def _fatal(error: BaseException) -> tuple[BaseException | None, BaseException | None]:
    """What a daemon died of, and what is nobody's failure (a cancel from outside)."""
    if isinstance(error, BaseExceptionGroup):
        return error.split((Exception, SystemExit))
    return (error, None) if isinstance(error, Exception | SystemExit) else (None, error)


def _leaves(error: BaseException | None) -> Iterator[BaseException]:
    if isinstance(error, BaseExceptionGroup):
        for inner in error.exceptions:
            yield from _leaves(inner)
    elif error is not None:
        yield error


@contextmanager
def open_stage(
    logs: BlankLogs | None = None,
    *,
    delay: Callable[[], float] | None = None,
    **settings: Any,
) -> Iterator[Stage]:
    """A stage with an empty log in memory, one of `logs` or its own, and a core of these settings."""
    with nullcontext(logs) if logs is not None else open_blank_logs() as from_logs:
        with from_logs.taken() as db:
            yield Stage(Config(**settings), db, delay)
