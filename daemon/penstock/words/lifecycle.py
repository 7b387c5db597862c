"""The states of a run, what moves it from one to the next, and how an execution ends.

Everything that decides these stands here; the code around only looks up. docs/architecture.md
shows the table below, generated from it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final, Literal

from penstock.words.errors import PenstockError
from penstock.words.wait_reason import RESTART_ASK, Waiting

# Who only asks for a state (every command does) needs no models of events: they take longer to import
# than all else that a command does.
if TYPE_CHECKING:
    from penstock.words.events import (
        RunPreempted,
        RunRequeued,
        RunWaiting,
        Terminal,
    )

    Conclusion = Terminal | RunPreempted | RunRequeued | RunWaiting

State = Literal[
    "queued",
    "running",
    "paused",
    "waiting",
    "preempted",
    "completed",
    "failed",
    "cancelled",
]
#: What a run in a state has to do with slots: it stands in line for one, holds one, gave its own
#: back until something happens, or needs none any more.
Role = Literal["in line", "slot", "parked", "ended"]
OnRestart = Literal["requeue", "fail", "ask"]

ROLES: Mapping[State, Role] = {
    "queued": "in line",
    "running": "slot",
    # Its program stands still, and holds what it has.
    "paused": "slot",
    "waiting": "parked",
    "preempted": "in line",
    "completed": "ended",
    "failed": "ended",
    "cancelled": "ended",
}


def _states_of(*roles: Role) -> tuple[State, ...]:
    return tuple(state for state, role in ROLES.items() if role in roles)


STATES: tuple[State, ...] = tuple(ROLES)
#: States in which a run has not ended.
OPEN_STATES = _states_of("in line", "slot", "parked")
#: States in which a run stands in line for a slot.
QUEUED_STATES = _states_of("in line")
#: States in which a run holds a slot, and computes.
SLOT_STATES = _states_of("slot")
#: States in which a run waits without a slot, and without standing in line for one.
PARKED_STATES = _states_of("parked")
#: States in which a task may hold the run.
EXECUTING_STATES = _states_of("slot", "parked")
TERMINAL_STATES = _states_of("ended")

#: The states that some place must know from others of their role.
PAUSED: Final = "paused"
PREEMPTED: Final = "preempted"
COMPLETED: Final = "completed"
FAILED: Final = "failed"
CANCELLED: Final = "cancelled"

#: Terminal event type -> state.
ENDS: Mapping[str, State] = {
    "run.completed": "completed",
    "run.failed": "failed",
    "run.cancelled": "cancelled",
}

#: state -> event type -> next state. An event type that appears nowhere here moves nothing.
TRANSITIONS: dict[State | None, dict[str, State]] = {
    None: {"run.queued": "queued"},
    "queued": {
        "run.started": "running",
        "run.resumed": "running",
        "run.failed": "failed",
        "run.cancelled": "cancelled",
    },
    "running": {
        "run.waiting": "waiting",
        "run.preempted": "preempted",
        "run.requeued": "queued",
        "run.paused": "paused",
        **ENDS,
    },
    "paused": {
        "run.continued": "running",
        # A stop that asks what is to become of it.
        "run.waiting": "waiting",
        "run.requeued": "queued",
        **ENDS,
    },
    "waiting": {
        "run.resumed": "running",
        # A parked run that a stop interrupts goes on waiting, for the answer to `restart`.
        "run.waiting": "waiting",
        "run.preempted": "preempted",
        "run.requeued": "queued",
        **ENDS,
    },
    "preempted": {
        "run.resumed": "running",
        "run.requeued": "queued",
        "run.failed": "failed",
        "run.cancelled": "cancelled",
    },
    "completed": {},
    "failed": {},
    "cancelled": {},
}

#: The state of a run that was just accepted.
FIRST_STATE = TRANSITIONS[None]["run.queued"]
MOVING_TYPES = frozenset(t for row in TRANSITIONS.values() for t in row)


class IllegalTransition(PenstockError):
    """The run's state does not allow this event."""


def next_state(state: State | None, event_type: str) -> State | None:
    """The state after an event. IllegalTransition if the table has no such move."""
    if event_type not in MOVING_TYPES:
        return state
    try:
        return TRANSITIONS[state][event_type]
    except KeyError:
        raise IllegalTransition(
            f"{event_type} cannot follow the state {state}"
        ) from None


@dataclass(frozen=True, slots=True)
class Ending:
    """All that is known of an execution when its scope has unwound."""

    cancel_requested: str | None = None
    error: str | None = None
    error_details: dict[str, Any] | None = None
    #: What is to be kept of the proof that its processes are gone.
    receipt: dict[str, Any] | None = None
    returned: bool = False
    result: Any = None
    finish_reason: str | None = None
    timed_out: bool = False
    stopping: OnRestart | None = None
    #: Boot repair: the daemon died during the execution, and this becomes of the run.
    crashed: OnRestart | None = None
    #: How often it did.
    crashes: int = 1
    preempted_by: str | None = None
    #: When the run is executed again if this execution failed; None: not any more.
    again_at: datetime | None = None


#: What a model's provider may say of its own end, and what it means for a run that said nothing.
FINISHED = frozenset({"stop", "end_turn", "done", "tool_calls"})
CUT_SHORT = frozenset({"length", "max_tokens", "content_filter"})


def conclude(ending: Ending) -> Conclusion:
    """The one conclusion of an execution (design, law 2).

    A failure after which the run is executed again is a release, and no terminal. Order: cancel
    requested > failure > completion > provider's finish reason > deadline > stop > crash >
    preemption > nothing said.
    """
    e = ending
    kept = {} if e.receipt is None else {"receipt": e.receipt}
    if e.cancel_requested is not None:
        details = {**(e.error_details or {}), **kept}
        return terminal("cancelled", reason=e.cancel_requested, details=details)
    if e.error is not None:
        if e.again_at is not None:
            return _again(e.again_at, e.error)
        details = {**(e.error_details or {}), **kept}
        return terminal("failed", reason="error", error=e.error, details=details)
    if e.returned or e.finish_reason in FINISHED:
        return terminal("completed", result=e.result, details=kept)
    if e.finish_reason in CUT_SHORT:
        error = f"the model stopped early ({e.finish_reason})"
        if e.again_at is not None:
            return _again(e.again_at, error)
        return terminal("failed", reason="finish_reason", error=error, details=kept)
    if e.timed_out:
        error = "the run used up its time"
        return terminal("failed", reason="timeout", error=error, details=kept)
    if e.stopping is not None:
        return _interrupted(e.stopping, "shutdown", "the daemon stopped", kept)
    if e.crashed is not None:
        times = "" if e.crashes == 1 else f" {e.crashes} times"
        sentence = f"the daemon died{times} during the run"
        return _interrupted(e.crashed, "crash", sentence, kept)
    if e.preempted_by is not None:
        from penstock.words.events import RunPreempted

        return RunPreempted(by=e.preempted_by)
    return terminal("cancelled", reason="abandoned", details=kept)


def _again(at: datetime, error: str) -> Conclusion:
    """The run is not over: it is executed again, under its own id, and only the last failure ends it."""
    from penstock.words.events import RunRequeued

    return RunRequeued(reason="retry", not_before=at, error=error)


def _interrupted(
    on_restart: OnRestart,
    why: Literal["shutdown", "crash"],
    sentence: str,
    details: dict[str, Any],
) -> Conclusion:
    from penstock.words.events import RunRequeued, RunWaiting

    if on_restart == "requeue":
        return RunRequeued(reason=why)
    if on_restart == "ask":
        return RunWaiting.of(Waiting("restart", RESTART_ASK))
    reason = "crashed" if why == "crash" else "shutdown"
    error = f"{sentence}, and the run is not to be repeated"
    return terminal("failed", reason=reason, error=error, details=details)


def terminal(
    state: Literal["completed", "failed", "cancelled"],
    *,
    reason: str = "",
    error: str = "",
    result: Any = None,
    details: dict[str, Any] | None = None,
) -> Terminal:
    """The only place where a terminal event is made.

    Its two callers are `conclude`, for executions, and the store's decisions, for runs that are not
    executing.
    """
    from penstock.words.events import RunCancelled, RunCompleted, RunFailed

    if state == "completed":
        return RunCompleted(result=result, details=details or {})
    if state == "failed":
        return RunFailed(reason=reason, error=error, details=details or {})
    return RunCancelled(reason=reason, details=details or {})
