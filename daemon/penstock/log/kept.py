"""What a store keeps of runs, questions, boxes and schedules, as values; times are aware and in UTC."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

from penstock.words.box_standing import BoxState
from penstock.words.lifecycle import OnRestart, State
from penstock.words.surroundings import Surroundings


@dataclass(frozen=True, slots=True)
class Fence:
    """ "I am the `token`-th owner of this run, in this life of the daemon." """

    run_id: str
    life: str
    token: int


#: By the name of a field of inputs, what it may hold that makes a run no other one.
Manner = Mapping[str, Collection[str]]


def without_manner(inputs: Mapping[str, Any], manner: Manner) -> dict[str, Any]:
    """The inputs that tell one run from another."""
    return {
        name: value
        for name, value in inputs.items()
        if not (isinstance(value, str) and value in manner.get(name, ()))
    }


@dataclass(frozen=True, slots=True)
class RunSpec:
    """A run as it was asked for, checked and complete."""

    run_id: str
    kind: str
    #: The inputs whole, as JSON; kept for resume and retry.
    inputs: bytes
    #: SHA-256 of the inputs in canonical form: same id and same digest is the same run.
    digest: bytes
    #: The inputs as events and surfaces show them, without secret values.
    shown: Mapping[str, Any]
    priority: int
    #: What of the inputs is not in the digest.
    manner: Manner = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)
    after: tuple[str, ...] = ()
    group: str | None = None
    #: Seconds of executing time, summed over executions; None = no limit, 0 = fails at once.
    timeout: float | None = None
    parent_id: str | None = None
    retry_of: str | None = None
    on_restart: OnRestart = "fail"
    preemptible: bool = False
    #: It starts no earlier; it is put aside until somebody enqueues it.
    not_before: datetime | None = None
    stashed: bool = False
    #: How often it is executed again after a failure, and the seconds before the first time.
    retries: int = 0
    backoff: float = 0.0
    #: None: those of the run that it retries or is a child of, if that has any. In no digest.
    surroundings: Surroundings | None = None
    #: Where it was asked for in somebody's trace. In no digest.
    traceparent: str | None = None
    #: The id was made for this very run, of enough random bits: no other and no tombstone has it.
    minted: bool = False
    #: Labels that it asks of its box, and the box it was submitted at. In no digest.
    needs: Mapping[str, str] = field(default_factory=dict)
    origin: str = ""


@dataclass(frozen=True, slots=True)
class RunRow:
    """A run as the store keeps it. Times are aware and in UTC."""

    #: Its number, which no other run of this log has or will have.
    key: int
    run_id: str
    kind: str
    inputs: bytes
    digest: bytes
    shown: Mapping[str, Any]
    priority: int
    #: Place in the line: the position of its `run.queued`, kept over releases.
    place: int
    state: State
    reason: str
    life: str | None
    token: int
    attempt: int
    group: str | None
    parent_id: str | None
    root_id: str
    retry_of: str | None
    after: tuple[str, ...]
    open_prerequisites: int
    timeout: float | None
    used_seconds: float
    code_version: int
    cancel_requested: str | None
    sequence: int
    last_position: int
    host: str
    labels: Mapping[str, str]
    on_restart: OnRestart
    preemptible: bool
    needs: Mapping[str, str]
    origin: str
    created_at: datetime
    started_at: datetime | None
    ended_at: datetime | None
    #: The terminal event's own fields, once there is one.
    outcome: Mapping[str, Any] | None

    @property
    def fence(self) -> Fence:
        """The fence of the owner that the row names."""
        return Fence(self.run_id, self.life or "", self.token)


@dataclass(frozen=True, slots=True)
class TreeRun:
    """What a receipt needs of one run of a tree."""

    run_id: str
    ended_at: datetime | None
    #: What its terminal event keeps of the end of its processes; None: nothing.
    receipt: Mapping[str, Any] | None
    #: The box that executes it, or did last; "": none did.
    box: str = ""


@dataclass(frozen=True, slots=True)
class AskRow:
    """A durable question of an open or ended run."""

    run_id: str
    name: str
    question: str
    choices: tuple[str, ...]
    default: str | None
    expires_at: datetime | None
    state: Literal["open", "answered", "withdrawn", "closed"]
    answer: str | None
    answered_by: str | None
    raised_at: datetime


@dataclass(frozen=True, slots=True)
class BoxRow:
    """A box that writes a shared log, or did, as the log's server knows it. Seconds are by its clock."""

    box: str
    machine: str
    #: The start of its daemon that has the lease, or had it last.
    life: str
    state: BoxState
    #: Since its lease was renewed, and until that is over; below 0, since when it is.
    silent_seconds: float
    lease_left: float
    lease_seconds: float
    slots: int
    labels: Mapping[str, str]
    #: Whose runs it executes: of its own origin, or everybody's.
    accept: str
    version: str
    #: It starts no more runs. Stores do not say so here: see `Store.drained`.
    draining: bool = False


@dataclass(frozen=True, slots=True)
class ScheduleRow:
    """Something that is run again and again, as the store keeps it."""

    name: str
    #: A span, or a line of cron in this zone.
    timing: str
    zone: str
    #: What each run is asked for, as JSON, without its id; and as events and surfaces show its inputs.
    request: str
    shown: Mapping[str, Any]
    made_at: datetime
    #: The next due time that has made no run.
    due: datetime
    last_run: str | None = None
    #: How many due times made none.
    skipped: int = 0
    #: What the caller gave to its runs; told by nothing.
    surroundings: Surroundings | None = None
    #: The box that it was made at: its runs are of there, whichever box submits them.
    origin: str = ""


@dataclass(frozen=True, slots=True)
class Bounds:
    """`floor`: 1 + the highest position ever pruned; `head`: the highest position recorded."""

    floor: int
    head: int


@dataclass(frozen=True, slots=True)
class Opening:
    """A log as a daemon finds it at its start, all as of one moment."""

    bounds: Bounds
    open_runs: Sequence[RunRow]
    #: As `Store.paused`, `Store.draining`, `Store.drained`, `Store.dismissed`, `Store.slots` and `Store.box_slots`.
    paused: Mapping[str | None, str]
    draining: Mapping[str | None, str]
    drained: frozenset[str]
    dismissed: Sequence[str]
    slots: Mapping[str | None, int]
    box_slots: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Forsaken:
    """Boxes whose daemons are taken for gone, with their lives, if nobody has said so yet; and what they executed."""

    boxes: tuple[tuple[str, str], ...]
    runs: frozenset[str]
