"""One execution of a run: its scope and its one conclusion."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

import trio

from penstock.log.kept import Fence, RunRow
from penstock.log.new_events import new_event
from penstock.log.writes import Complete, Release
from penstock.processes.process import Proof
from penstock.runs.console import Console
from penstock.runs.receipts import (
    ModelSlot,
    RunEnd,
    end_of_proofs,
    ends_before,
    merge_ends,
    worst_slot,
)
from penstock.words.errors import PenstockError
from penstock.words.events import TERMINAL_TYPES, ProcessStarted
from penstock.words.lifecycle import Ending, OnRestart, conclude

log = logging.getLogger("penstock.run")

# The deadline of a scope that has none.
_NEVER = trio.CancelScope().deadline


def set_event() -> trio.Event:
    """One that nobody waits for to begin with."""
    event = trio.Event()
    event.set()
    return event


#: Characters of an error that are kept: some contain whole documents.
LONGEST_ERROR = 4000


@dataclass(eq=False, slots=True)
class Execution:
    """What the run table holds of a run that has an owner. Belongs to the loop."""

    row: RunRow
    fence: Fence
    scope: trio.CancelScope = field(default_factory=trio.CancelScope)
    limit: trio.CancelScope = field(default_factory=trio.CancelScope)
    cancel_requested: str | None = None
    stopping: OnRestart | None = None
    preempted_by: str | None = None
    #: When the run is executed again if this fails at such a moment; None: not any more.
    next_try: Callable[[datetime], datetime | None] = lambda _failed_at: None
    returned: bool = False
    result: Any = None
    finish_reason: str | None = None
    #: That of its program which is sent to from outside, while there is one.
    console: Console | None = None
    #: Its programs that have begun and not ended.
    programs: list[ProcessStarted] = field(default_factory=list)
    proofs: list[Proof] = field(default_factory=list)
    #: What servers told of requests to models that were cut off.
    model_slots: list[ModelSlot] = field(default_factory=list)
    #: The run's own folder was made by this execution.
    made_folder: bool = False
    #: It stays there until the run is forgotten.
    keeps_folder: bool = False
    #: What asks on behalf of its programs is held to what a run may ask.
    guarded: bool = False
    #: Of what kinds it may be asked for children; empty until its pipeline lists some.
    child_kinds: frozenset[str] = frozenset()
    #: When the scope had unwound and everything the run owned was gone.
    over_at: datetime | None = None
    #: Set when the conclusion is committed.
    concluded: trio.Event = field(default_factory=trio.Event)
    #: Set when a parked run has its slot again.
    unparked: trio.Event = field(default_factory=trio.Event)
    #: Set unless the run is paused.
    going: trio.Event = field(default_factory=set_event)
    #: Limits of its kind's own, each with the seconds that are left of it while the clock stands.
    _limits: dict[trio.CancelScope, float] = field(default_factory=dict)
    _running_since: float | None = None
    _used: float = 0.0

    @property
    def run_id(self) -> str:
        return self.row.run_id

    def cancel(self, reason: str) -> None:
        """End the run cancelled, whatever it says from now on. The first reason stays."""
        if self.cancel_requested is None:
            self.cancel_requested = reason
        self.scope.cancel(reason=f"cancel requested: {reason}")

    def stop(self) -> None:
        """End the execution because the daemon stops; what becomes of the run is its `on_restart`."""
        self.stopping = self.row.on_restart
        self.scope.cancel(reason="the daemon stops")

    def preempt(self, by: str) -> None:
        """End the execution to give its slot to a more important run."""
        self.preempted_by = by
        self.scope.cancel(reason=f"preempted by {by}")

    def run_clock(self) -> None:
        """Executing time counts from here; the deadline is what is left of the timeout."""
        self._running_since = trio.current_time()
        if self.row.timeout is not None:
            left = self.row.timeout - self.row.used_seconds - self._used
            self.limit.deadline = self._running_since + left
        for scope, seconds in self._limits.items():
            scope.deadline = self._running_since + seconds

    def stop_clock(self) -> None:
        """The run waits without a slot, or is paused: its time does not count and cannot run out."""
        if self._running_since is not None:
            now = trio.current_time()
            self._used += now - self._running_since
            self._running_since = None
            self._limits = {scope: scope.deadline - now for scope in self._limits}
        self.limit.deadline = _NEVER
        for scope in self._limits:
            scope.deadline = _NEVER

    def suspend(self) -> None:
        """The run is paused from here on."""
        self.stop_clock()
        self.going = trio.Event()

    def go_on(self) -> None:
        """It is not paused any more."""
        self.run_clock()
        self.going.set()

    @contextmanager
    def limited(self, seconds: float) -> Iterator[trio.CancelScope]:
        """A part of the execution that takes so long at most, by the run's own clock."""
        with trio.CancelScope() as scope:
            self._limits[scope] = seconds
            if self._running_since is not None:
                scope.deadline = trio.current_time() + seconds
            try:
                yield scope
            finally:
                del self._limits[scope]

    @property
    def used_seconds(self) -> float:
        """Executing seconds of this execution so far."""
        if self._running_since is None:
            return self._used
        return self._used + trio.current_time() - self._running_since

    def end(self) -> RunEnd:
        """What is known of its end by now, and of what earlier executions of the run left.

        Nothing is over before it is on record.
        """
        over_at = self.over_at if self.concluded.is_set() else None
        slot = worst_slot(self.model_slots)
        own = replace(end_of_proofs(self.proofs, over_at), model_slot=slot)
        return merge_ends([own, *ends_before(self.row, over_at)])

    def left(self) -> RunEnd:
        """What it is known to have now: its programs, of which nothing is proven yet."""
        pids = tuple(program.pid for program in self.programs)
        return RunEnd(None, pids=pids, survivors=pids)


@asynccontextmanager
async def open_execution(
    execution: Execution,
    *,
    conclude_with: Callable[[Complete | Release], None],
    now: Callable[[], datetime],
) -> AsyncIterator[Execution]:
    """Enter an execution; leave it with exactly one conclusion handed to the recorder.

    A failure of the body ends here, in the run's terminal event; a cancel from outside goes on.
    """
    error: BaseException | None = None
    execution.run_clock()
    try:
        with execution.scope, execution.limit:
            yield execution
    except BaseException as raised:  # noqa: ASYNC103, BLE001  (Cancelled is in `rest`)
        error, rest = split_failure(raised)
        if error is not None:
            _log_failure(execution.row, error)
        if rest is not None:
            # It passed the run's own scope, so it is the daemon that ends, and not this run.
            execution.stopping = execution.stopping or execution.row.on_restart
            raise rest from None  # noqa: ASYNC104
    finally:
        execution.over_at = now()
        conclude_with(_conclusion(execution, error, execution.over_at))


def _log_failure(row: RunRow, error: BaseException) -> None:
    """An error of our own says all in its sentence; anybody else's comes with its traceback."""
    trace: BaseException | None = error
    if isinstance(error, BaseExceptionGroup):
        trace = error.split(PenstockError)[1]
    elif isinstance(error, PenstockError):
        trace = None
    about = {"run_id": row.run_id, "kind": row.kind}
    why = describe(error)
    log.warning("run %s failed: %s", row.run_id, why, exc_info=trace, extra=about)


def split_failure(
    raised: BaseException,
) -> tuple[BaseException | None, BaseException | None]:
    """What of an exception is the run's own failure, and what must go on.

    SystemExit counts as a failure: a pipeline must not be able to end the daemon. An outer cancel
    plus a real failure arrives as one group.
    """
    if isinstance(raised, Exception | SystemExit):
        return raised, None
    if isinstance(raised, BaseExceptionGroup):
        return raised.split((Exception, SystemExit))
    return None, raised


def _conclusion(
    execution: Execution, error: BaseException | None, at: datetime
) -> Complete | Release:
    proven = execution.end()
    # A cancel is answered with it; any other end keeps it only if something may be left.
    keeps = execution.cancel_requested is not None or not proven.leaves_nothing
    ending = Ending(
        receipt=proven.to_json() if keeps else None,
        cancel_requested=execution.cancel_requested,
        error=None if error is None else describe(error),
        error_details=_details(execution, error),
        returned=execution.returned,
        result=execution.result,
        finish_reason=execution.finish_reason,
        # Not whether it was caught there: a stop after the deadline would catch it further out.
        timed_out=execution.limit.cancel_called,
        stopping=execution.stopping,
        preempted_by=execution.preempted_by,
        again_at=execution.next_try(at),
    )
    event = conclude(ending)
    made = new_event(execution.run_id, event, now=at)
    write = Complete if event.type in TERMINAL_TYPES else Release
    return write(execution.fence, made, execution.used_seconds, proven.to_json())


def _details(
    execution: Execution, error: BaseException | None
) -> dict[str, Any] | None:
    if execution.cancel_requested is not None:
        return None
    if isinstance(error, PenstockError):
        return {
            k: v
            for k, v in error.facts.items()
            if isinstance(v, str | int | float | None)
        }
    return None


def describe(error: BaseException) -> str:
    """An error in words: the sentence of our own, the type and text of anybody else's."""
    if isinstance(error, BaseExceptionGroup):
        text = "; ".join(describe(inner) for inner in error.exceptions)
    elif isinstance(error, PenstockError):
        text = str(error)
    else:
        text = f"{type(error).__name__}: {error}".removesuffix(": ")
    # The text may hold lone surrogates (file names); the log must not.
    text = text.encode("utf-8", "replace").decode()
    return text if len(text) <= LONGEST_ERROR else text[:LONGEST_ERROR] + " …"
