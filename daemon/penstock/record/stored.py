"""What the store keeps beside the log: runs, their owners and questions, and how to ask for them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

from penstock.words.lifecycle import OnRestart, State


@dataclass(frozen=True, slots=True)
class Fence:
    """ "I am the `token`-th owner of this run, in this life of the daemon." """

    run_id: str
    life: str
    token: int


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
    labels: Mapping[str, str] = field(default_factory=dict)
    after: tuple[str, ...] = ()
    group: str | None = None
    #: Seconds of executing time, summed over executions; None = no limit, 0 = fails at once.
    timeout: float | None = None
    parent_id: str | None = None
    retry_of: str | None = None
    on_restart: OnRestart = "fail"
    preemptible: bool = False


@dataclass(frozen=True, slots=True)
class RunRow:
    """A run as the store keeps it. Times are aware and in UTC."""

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
class AskRow:
    """A durable question of an open or ended run."""

    run_id: str
    name: str
    question: str
    choices: tuple[str, ...]
    default: str | None
    expires_at: datetime | None
    state: Literal["open", "answered", "closed"]
    answer: str | None
    answered_by: str | None
    raised_at: datetime


@dataclass(frozen=True, slots=True)
class Bounds:
    """`floor`: 1 + the highest position ever pruned; `head`: the highest position recorded."""

    floor: int
    head: int


@dataclass(frozen=True, slots=True)
class RunFilter:
    """Which runs a list wants: all that is given must hold; `without` words must not occur.

    Words are looked for in run id, kind, state and labels, without case.
    """

    states: frozenset[str] = frozenset()
    kinds: frozenset[str] = frozenset()
    priorities: frozenset[int] = frozenset()
    groups: frozenset[str] = frozenset()
    parents: frozenset[str] = frozenset()
    labels: Mapping[str, str] = field(default_factory=dict)
    words: tuple[str, ...] = ()
    without: tuple[str, ...] = ()
    #: Only runs whose place is below this one (paging, newest first).
    before: int | None = None
    limit: int = 100
