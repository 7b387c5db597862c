"""Writes: what the recorder may ask a store to do, and what each answers.

Each is handled and written whole, or refused alone. The text of each names the result it answers
and the errors it is refused with.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Generic, Literal, Self, TypeVar
from uuid import UUID

from penstock.log.kept import Fence, RunSpec, ScheduleRow
from penstock.log.new_events import NewEvent
from penstock.log.results import (
    Accepted,
    Appended,
    CancelAnswer,
    Claimed,
    Concluded,
    Existing,
    Pruned,
    Result,
)
from penstock.words.placement import ANY_PLACE, Place
from penstock.words.wait_reason import Waiting

R_co = TypeVar("R_co", bound=Result, covariant=True)
T = TypeVar("T")

#: A store's function for one kind of write, beside that kind.
Handler = tuple[type["Write[Result]"], Callable[[T, Any], Result]]


class Write(Generic[R_co]):
    """What a store may be asked to do, whole or not at all; answered by an `R_co` or refused."""

    __slots__ = ()

    @classmethod
    def handled_by(cls, handler: Callable[[T, Self], R_co]) -> Handler[T]:
        """A line of a table of handlers; that it takes this write and makes its result is typed."""
        return cls, handler


@dataclass(frozen=True, slots=True)
class Enqueue(Write[Accepted | Existing]):
    """Accept a run, within `capacity` queued runs (None: a child run, which is not counted).

    Answers Accepted (queued, born cancelled by a tombstone or a prerequisite that did not complete,
    or born failed by `timeout` 0) or Existing; refuses with OtherInputs, QueueFull, RunNotFound (of
    the run that it retries), UnknownPrerequisite, TreeTooLarge.
    """

    spec: RunSpec
    at: datetime
    event_id: UUID
    capacity: int | None
    max_tree_runs: int
    max_tree_depth: int


@dataclass(frozen=True, slots=True)
class Claim(Write[Claimed]):
    """Give free slots to the best startable runs: Claimed.

    Parked runs that want their slot back go ahead of queued ones of equal priority. `slots` is the
    number of runs that may be in the state running at once; `group_slots` the same by group;
    `aging` adds one point of importance per that many seconds waited (None: off). Slots are those of
    `life`, and so are parked runs; those of a group are everybody's. `host` is the box, and `place` what it
    has: what does not fit there is left to others.
    """

    life: str
    slots: int
    kinds: frozenset[str]
    at: datetime
    host: str = ""
    group_slots: Mapping[str, int] = field(default_factory=dict)
    aging: float | None = None
    place: Place = ANY_PLACE


@dataclass(frozen=True, slots=True)
class Append(Write[Appended]):
    """Record facts about one run, or about the daemon: Appended.

    Idempotent by event id. With `fence`, Fenced unless it names the owner. An event whose type is
    `code.generated` or `correction.completed` and whose `code_version` does not exceed the run's
    (0 is taken once, while nothing is recorded) is a Conflict, and so is a known event id with
    another body. Terminal once the run has ended; RunNotFound without one. An `ask.raised` opens
    the question.
    """

    new_events: tuple[NewEvent, ...]
    fence: Fence | None = None


@dataclass(frozen=True, slots=True)
class Answer(Write[Appended]):
    """Answer an open question: Appended; AskNotFound, AlreadyAnswered, or Refused outside choices."""

    run_id: str
    name: str
    answer: str
    by: str
    at: datetime
    event_id: UUID


@dataclass(frozen=True, slots=True)
class Park(Write[Appended]):
    """The run waits and gives its slot back: Appended (`run.waiting`), empty while it is paused; Fenced."""

    fence: Fence
    waiting: Waiting
    at: datetime


@dataclass(frozen=True, slots=True)
class Unpark(Write[Appended]):
    """The run wants its slot again: Appended, without an event; a later Claim grants it. Fenced."""

    fence: Fence


@dataclass(frozen=True, slots=True)
class Release(Write[Concluded]):
    """The execution ended and the run goes on later: Concluded.

    `new_event` is `run.preempted`, `run.requeued`, or `run.waiting`, which opens the ask `daemon:restart`
    (choices requeue and fail). Without an owner's fence: Fenced. A run whose cancel was requested
    meanwhile ends cancelled instead, with `receipt`: what was proven of the end of its processes. Else
    the row's `outcome` keeps it as `left` where something may be left.
    """

    fence: Fence
    new_event: NewEvent
    used_seconds: float = 0.0
    receipt: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Complete(Write[Concluded]):
    """The run ends: Concluded.

    The same commit counts down or cancels its dependants, closes its questions, and, unless it
    completed, cancels its children: queued ones end, executing ones get a cancel request. `details`
    of a cancelled end are kept. A run whose cancel was requested ends cancelled, whatever the
    event says, with `receipt`. Fenced or Terminal if the run has moved on. Boot repair presents
    the fence of the old owner, which the row names.
    """

    fence: Fence
    new_event: NewEvent
    used_seconds: float = 0.0
    receipt: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class RequestCancel(Write[CancelAnswer]):
    """Cancel a run and its children: CancelAnswer.

    Not executing: ends now. Executing: `run.cancel_requested`, once. Unknown: a tombstone. `all_open`
    cancels every open run (run_id is then ignored), or with `life` those that it executes.
    """

    run_id: str
    reason: str
    at: datetime
    all_open: bool = False
    life: str | None = None


@dataclass(frozen=True, slots=True)
class RequestPreempt(Write[Appended]):
    """Note that the run is being interrupted for another: Appended, or Fenced if not running."""

    run_id: str
    by: str
    at: datetime


@dataclass(frozen=True, slots=True)
class Rearrange(Write[Appended]):
    """Change how a run waits in line: Appended (`run.rearranged`), empty if it is so already.

    What is None stays. `move`: to the first or last place among runs of its priority. `stashed`
    given, `not_before` is what holds from now on. Terminal once it ended; Conflict unless it is in line.
    """

    run_id: str
    at: datetime
    priority: int | None = None
    move: Literal["first", "last"] | None = None
    stashed: bool | None = None
    not_before: datetime | None = None


@dataclass(frozen=True, slots=True)
class Suspend(Write[Appended]):
    """The run's program stands still from now on: Appended (`run.paused`), empty if it does already.

    Terminal; Conflict unless it executes.
    """

    run_id: str
    at: datetime


@dataclass(frozen=True, slots=True)
class Continue(Write[Appended]):
    """The run's program goes on: Appended (`run.continued`), empty if it does already. As `Suspend`."""

    run_id: str
    at: datetime


@dataclass(frozen=True, slots=True)
class Edit(Write[Appended]):
    """Give a run that has not begun other inputs: Appended (`run.edited`). Terminal, Conflict, TooLarge."""

    run_id: str
    at: datetime
    inputs: bytes
    digest: bytes
    shown: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class SetSchedule(Write[Appended]):
    """Make a schedule, one of `capacity` at most: Appended (`schedule.set`). TooLarge.

    One of its name is a Conflict, unless it is to be changed as a whole (`replace`).
    """

    row: ScheduleRow
    at: datetime
    kind: str
    capacity: int
    replace: bool = False


@dataclass(frozen=True, slots=True)
class RemoveSchedule(Write[Appended]):
    """Forget a schedule: Appended (`schedule.removed`); ScheduleNotFound."""

    name: str
    at: datetime


@dataclass(frozen=True, slots=True)
class AdvanceSchedule(Write[Appended]):
    """The due time `due` has made the run `run_id`, or was skipped: Appended (`schedule.skipped`).

    Nothing if the schedule is at another one, or gone.
    """

    name: str
    at: datetime
    due: datetime
    following: datetime
    run_id: str
    skipped: str = ""


@dataclass(frozen=True, slots=True)
class SetSlots(Write[Appended]):
    """Give the queue (None) or a group other slots; None: those of the configuration: Appended.

    `box`: whose slots those of the queue are, where several share it; "": there is one. `first`: only
    if nobody has given any yet.
    """

    slots: int | None
    at: datetime
    group: str | None = None
    box: str = ""
    first: bool = False


@dataclass(frozen=True, slots=True)
class SetPause(Write[Appended]):
    """Pause or resume the queue or one group: Appended (`queue.paused`, or `queue.resumed` and `queue.opened`)."""

    paused: bool
    at: datetime
    group: str | None = None
    reason: str = ""


@dataclass(frozen=True, slots=True)
class SetDrain(Write[Appended]):
    """Have the queue or one group take no new runs, or take them again: Appended (`queue.drained`, `queue.opened`).

    Until it is opened, Enqueue is refused (NotAvailable), but for children. To resume it opens it too.
    `box`: where it was said, of a log that several share.
    """

    draining: bool
    at: datetime
    group: str | None = None
    box: str = ""


@dataclass(frozen=True, slots=True)
class Dismiss(Write[Appended]):
    """Failures of these runs need nobody any more: Appended (`failures.dismissed`).

    What has not failed, or was dismissed before, is left out. `box`: where it was said, of a log that
    several share.
    """

    runs: tuple[str, ...]
    at: datetime
    box: str = ""


@dataclass(frozen=True, slots=True)
class SetBox(Write[Appended]):
    """Have a box start nothing more but children, or start runs again: Appended (`box.drained`, `box.resumed`)."""

    box: str
    draining: bool
    at: datetime


@dataclass(frozen=True, slots=True)
class LoseBox(Write[Appended]):
    """A box kept silent for longer than its lease: Appended (`box.lost`), empty unless that is so still."""

    box: str
    life: str
    at: datetime
    #: The box that says so.
    by: str = ""


@dataclass(frozen=True, slots=True)
class ForgetBox(Write[Appended]):
    """A box is told of no more until it comes back: Appended (`box.forgotten`).

    NotFound; Conflict while it has a lease, and while runs are open that execute there or could nowhere else.
    """

    box: str
    at: datetime
    #: The box that was told to.
    by: str = ""


@dataclass(frozen=True, slots=True)
class Prune(Write[Pruned]):
    """Forget ended runs: Pruned.

    Those ended before `before`, the oldest beyond `keep`, and as many of the oldest as bring the
    log under `max_bytes`; tombstones older than `tombstones_before` or beyond `max_tombstones`.
    At most `limit` runs a call, so that no commit is long. The log keeps the ids of those forgotten
    until their folders are called `removed`, so that a crash in between leaves nothing behind.

    LogDamaged with the `run_id` of a run whose rows are damaged: nothing was forgotten then, and `skip`
    names it in another try. So with `beside`, what is damaged beside runs, and `skip_beside`.
    """

    before: datetime
    keep: int
    max_bytes: int
    tombstones_before: datetime
    max_tombstones: int
    limit: int = 100
    removed: tuple[str, ...] = ()
    skip: frozenset[str] = frozenset()
    skip_beside: frozenset[str] = frozenset()


#: Bytes that a write takes in the log beside what it carries: pages of tables and indexes.
_BESIDE_BYTES = 8 * 1024


def size_of_batch(batch: Iterable[Write[Any]]) -> int:
    """About how many bytes these writes add to the log; more rather than less."""
    carried = 0
    for write in batch:
        new_events: tuple[NewEvent, ...] = getattr(write, "new_events", ())
        carried += sum(len(new.body) + 512 for new in new_events) + _BESIDE_BYTES
        if isinstance(write, Enqueue):
            # The inputs, and what is shown of them.
            carried += 2 * len(write.spec.inputs)
        elif isinstance(write, (Complete, Release)):
            carried += len(write.new_event.body)
    return carried
