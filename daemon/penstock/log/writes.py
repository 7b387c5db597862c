"""Writes: what the recorder may ask a store to do, and what each answers.

Each is handled and written whole, or refused alone. The text of each names the result it answers
and the errors it is refused with.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import Any, Generic, Literal, NamedTuple, Self, TypeVar
from uuid import UUID

from penstock.words.box_standing import BoxState
from penstock.words.clocks import Clock
from penstock.words.errors import Refused, TooLarge
from penstock.words.events import (
    DROPPABLE_TYPES,
    LARGEST_EVENT_BYTES,
    AnyEvent,
    encode_event,
)
from penstock.words.lifecycle import OnRestart, State
from penstock.words.placement import ANY_PLACE, Place
from penstock.words.recorded import Recorded
from penstock.words.surroundings import Surroundings
from penstock.words.values import new_event_id
from penstock.words.wait_reason import Waiting


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


#: A fact may claim to be at most this much in the future: clocks differ, but not by more.
LARGEST_SKEW = timedelta(seconds=5)

_NO_CLOCK: Clock = MappingProxyType({})


class NewEvent(NamedTuple):
    """A fact on its way to the store: already encoded and known to be small enough.

    A tuple, since one is made per fact: a frozen dataclass takes three times as long.
    """

    run_id: str
    type: str
    body: bytes
    at: datetime
    event_id: UUID
    clock: Clock = _NO_CLOCK
    causation_id: UUID | None = None
    #: The version of the code this fact is about; None keeps the run's current one.
    code_version: int | None = None
    #: What `body` says, for who folds it: it was checked when it was made. None: it is parsed again.
    event: AnyEvent | None = None

    @classmethod
    def of(
        cls,
        run_id: str,
        event: AnyEvent,
        at: datetime,
        event_id: UUID,
        cause: UUID | None = None,
    ) -> NewEvent:
        """A fact that the store itself makes."""
        body = encode_event(event)
        return cls(
            run_id, event.type, body, at, event_id, causation_id=cause, event=event
        )

    def with_body(self, body: bytes) -> NewEvent:
        """The same fact in other words."""
        return self._replace(body=body, event=None)


def encode_within(event: AnyEvent, field: str) -> bytes:
    """The fact as JSON. TooLarge, by the name of what it was made of, above `LARGEST_EVENT_BYTES`."""
    body = encode_event(event)
    if len(body) > LARGEST_EVENT_BYTES:
        why = f"{len(body)} bytes; the limit is {LARGEST_EVENT_BYTES}"
        raise TooLarge(field, why, limit=LARGEST_EVENT_BYTES)
    return body


def new_event(
    run_id: str,
    event: AnyEvent,
    *,
    now: datetime,
    at: datetime | None = None,
    event_id: UUID | None = None,
    clock: Mapping[str, int] | None = None,
    causation_id: UUID | None = None,
    code_version: int | None = None,
) -> NewEvent:
    """Encode a fact for the store.

    TooLarge above `LARGEST_EVENT_BYTES`; Refused for a time more than `LARGEST_SKEW` after `now`.
    """
    body = encode_within(event, "event")
    if at is not None and at > now + LARGEST_SKEW:
        raise Refused("at", "lies in the future")
    return NewEvent(
        run_id,
        event.type,
        body,
        at or now,
        event_id or new_event_id(),
        clock or _NO_CLOCK,
        causation_id,
        code_version,
        # Output may be long, and nobody folds what it says.
        None if event.type in DROPPABLE_TYPES else event,
    )


@dataclass(frozen=True, slots=True)
class Result:
    """What a write did; `recorded` is in position order."""

    recorded: tuple[Recorded, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Accepted(Result):
    """The run is in the log, under this number; `recorded` tells with what fate."""

    number: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Existing(Result):
    """The run was there before, with the same inputs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Claimed(Result):
    """`started` got a slot and wait for an execution; `unparked` have theirs again and go on.

    `lost` are all open runs that the log can tell nothing of any more: they get none.
    """

    started: tuple[RunRow, ...] = ()
    unparked: tuple[RunRow, ...] = ()
    lost: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Appended(Result):
    #: The facts were recorded before, by an earlier call with the same event ids.
    duplicate: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Concluded(Result):
    """`ended`: other runs that this one's end ended; `signalled`: executing runs to be cancelled."""

    ended: tuple[str, ...] = ()
    signalled: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class CancelAnswer(Result):
    """`ended` were not executing and have ended; `signalled` execute and must be cancelled now."""

    outcome: Literal["cancelled", "signalled", "already_terminal", "tombstoned"]
    ended: tuple[str, ...] = ()
    signalled: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Pruned(Result):
    runs: tuple[str, ...] = ()
    #: There was more to forget than `limit` allowed.
    more: bool = False
    #: Forgotten runs whose folders nobody has called removed yet, these among them.
    folders: tuple[str, ...] = ()
    #: Runs that were to be forgotten and stay, since the log is damaged under them.
    damaged: tuple[str, ...] = ()


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
