"""Decisions: what the recorder may ask a store to do.

Each is judged and written whole, or refused alone. The text of each names the outcome it answers
and the errors it is refused with.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from penstock.record.drafts import Draft
from penstock.record.stored import Fence, RunSpec


@dataclass(frozen=True, slots=True)
class Enqueue:
    """Accept a run, within `capacity` queued runs (None: a child run, which is not counted).

    Answers Accepted (queued, born cancelled by a tombstone or a prerequisite that did not complete,
    or born failed by `timeout` 0) or Existing; refuses with OtherInputs, QueueFull,
    UnknownPrerequisite, TreeTooLarge.
    """

    spec: RunSpec
    at: datetime
    event_id: UUID
    capacity: int | None
    max_tree_runs: int
    max_tree_depth: int


@dataclass(frozen=True, slots=True)
class Claim:
    """Give free slots to the best startable runs: Claimed.

    Parked runs that want their slot back go ahead of queued ones of equal priority. `slots` is the
    number of runs that may be in the state running at once; `group_slots` the same by group;
    `aging` adds one point of importance per that many seconds waited (None: off).
    """

    life: str
    slots: int
    kinds: frozenset[str]
    at: datetime
    host: str = ""
    group_slots: Mapping[str, int] = field(default_factory=dict)
    aging: float | None = None


@dataclass(frozen=True, slots=True)
class Append:
    """Record facts about one run, or about the daemon: Appended.

    Idempotent by event id. With `fence`, Fenced unless it names the owner. A draft whose type is
    `code.generated` or `correction.completed` and whose `code_version` does not exceed the run's
    (0 is taken once, while nothing is recorded) is a Conflict, and so is a known event id with
    another body. Terminal once the run has ended; RunNotFound without one. An `ask.raised` opens
    the question.
    """

    drafts: tuple[Draft, ...]
    fence: Fence | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """Answer an open question: Appended; AskNotFound, AlreadyAnswered, or Refused outside choices."""

    run_id: str
    name: str
    answer: str
    by: str
    at: datetime
    event_id: UUID


@dataclass(frozen=True, slots=True)
class Park:
    """The run waits and gives its slot back: Appended (`run.waiting`); Fenced."""

    fence: Fence
    reason: str
    at: datetime


@dataclass(frozen=True, slots=True)
class Unpark:
    """The run wants its slot again: Appended, without an event; a later Claim grants it. Fenced."""

    fence: Fence


@dataclass(frozen=True, slots=True)
class Release:
    """The execution ended and the run goes on later: Concluded.

    `draft` is `run.preempted`, `run.requeued`, or `run.waiting`, which opens the ask `restart`
    (choices requeue and fail). Without an owner's fence: Fenced. A run whose cancel was requested
    meanwhile ends cancelled instead.
    """

    fence: Fence
    draft: Draft
    used_seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Complete:
    """The run ends: Concluded.

    The same commit counts down or cancels its dependants, closes its questions, and, unless it
    completed, cancels its children: queued ones end, executing ones get a cancel request. `details`
    of a cancelled end are kept. A run whose cancel was requested ends cancelled, whatever the draft
    says. Fenced or Terminal if the run has moved on. Boot repair presents
    the fence of the old owner, which the row names.
    """

    fence: Fence
    draft: Draft
    used_seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class RequestCancel:
    """Cancel a run and its children: CancelAnswer.

    Not executing: ends now. Executing: `run.cancel_requested`, once. Unknown: a tombstone. `all_open`
    cancels every open run (run_id is then ignored).
    """

    run_id: str
    reason: str
    at: datetime
    all_open: bool = False


@dataclass(frozen=True, slots=True)
class RequestPreempt:
    """Note that the run is being interrupted for another: Appended, or Fenced if not running."""

    run_id: str
    by: str
    at: datetime


@dataclass(frozen=True, slots=True)
class SetPause:
    """Pause or resume the queue or one group: Appended (`queue.paused` or `queue.resumed`)."""

    paused: bool
    at: datetime
    group: str | None = None
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Prune:
    """Forget ended runs: Pruned.

    Those ended before `before`, the oldest beyond `keep`, and as many of the oldest as bring the
    log under `max_bytes`; tombstones older than `tombstones_before` or beyond `max_tombstones`.
    At most `limit` runs a call, so that no commit is long.
    """

    before: datetime
    keep: int
    max_bytes: int
    tombstones_before: datetime
    max_tombstones: int
    limit: int = 100


Decision = (
    Enqueue | Claim | Append | Answer | Park | Unpark | Release | Complete | RequestCancel
    | RequestPreempt | SetPause | Prune
)  # fmt: skip
