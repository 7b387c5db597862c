"""The table of open runs: what the log says of them, folded, and the tasks that execute them here."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

from penstock.log.bus import Bus
from penstock.log.kept import Opening, RunRow
from penstock.log.projections import RunView
from penstock.log.queue_view import QueueView
from penstock.log.results import Accepted, CancelAnswer, Claimed, Concluded, Result
from penstock.log.writes import (
    Answer,
    Append,
    Claim,
    Complete,
    Continue,
    Enqueue,
    Park,
    Rearrange,
    Release,
    RequestCancel,
    RequestPreempt,
    SetBox,
    SetPause,
    Suspend,
    Unpark,
    Write,
)
from penstock.runs.dismissals import Dismissals
from penstock.runs.execution import Execution
from penstock.runs.queue import (
    Candidate,
    ClaimRules,
    QueueSnapshot,
    SlotHolder,
    startable,
)
from penstock.runs.reader import RunTerms, terms_of
from penstock.words.errors import LogDamaged, PenstockError
from penstock.words.events import (
    DAEMON_STREAM,
    TERMINAL_TYPES,
    AnyEvent,
    BoxDrained,
    BoxForgotten,
    BoxResumed,
    FailuresDismissed,
    QueueDrained,
    QueueOpened,
    QueuePaused,
    QueueResumed,
    RunCancelRequested,
    RunContinued,
    RunPaused,
    SlotsChanged,
)
from penstock.words.lifecycle import MOVING_TYPES, PAUSED, QUEUED_STATES, SLOT_STATES
from penstock.words.placement import ANY_PLACE, Place
from penstock.words.recorded import Recorded

# Decisions after which a run may want a slot, or a slot may be free.
# An answer may have a run that a restart interrupted repeated.
_BRINGS_WORK = (Enqueue, Unpark, Release, Answer, SetPause, SetBox, Rearrange)
_FREES_SLOT = (Complete, Release, Park)
_MOVES = MOVING_TYPES | {"run.cancel_requested", "run.rearranged"}


@dataclass(eq=False, slots=True)
class RunTable:
    """Follows the log, as the recorder's projection, and holds every execution of this daemon."""

    life: str
    host: str
    slots: int
    kinds: Collection[str]
    bus: Bus
    now: Callable[[], datetime]
    #: Told of every fact of a run, with the view after it, in the step of its commit.
    followers: list[Callable[[Recorded, RunView], None]] = field(default_factory=list)
    #: Told of every fact about the daemon itself, likewise: what follows from one does not hang on
    #: whether its caller is still there.
    own_followers: list[Callable[[AnyEvent], None]] = field(default_factory=list)
    #: Called after each commit, when there may be room. What it lets in and interrupts is recorded,
    #: and the recorder was given this table: the one knot of the core, so it is set afterwards.
    after_commit: Callable[[], None] = lambda: None
    aging: float | None = None
    group_slots: dict[str, int] = field(default_factory=dict)
    #: This box, and those that start nothing more.
    place: Place = ANY_PLACE
    drained: set[str] = field(default_factory=set)
    #: Slots of the queue that were given to a box at run time, where several share the log.
    box_slots: dict[str, int] = field(default_factory=dict)
    #: False until `begin_claiming`, and again when the daemon stops: nothing is claimed.
    claiming: bool = False
    #: The daemon stops: executions end as their `on_restart` says, those that begin now too.
    stopping: bool = False
    executions: dict[str, Execution] = field(default_factory=dict)
    views: dict[str, RunView] = field(default_factory=dict)
    terms: dict[str, RunTerms] = field(default_factory=dict)
    queue: QueueView = field(default_factory=QueueView)
    #: Parked runs that want their slot again and have not got it.
    unparking: set[str] = field(default_factory=set)
    #: Several daemons write the log: not all that has a slot executes here.
    shared: bool = False
    #: Asks for a claim: others brought work that there may be a slot for.
    on_work: Callable[[], None] = lambda: None
    #: Called when another daemon had a run that executes here paused, or continued.
    on_pause: Callable[[str], None] = lambda _run_id: None
    #: Runs that were asked to give their slot up and do not know it yet.
    interrupting: set[str] = field(default_factory=set)
    #: Why the queue (None) or a group is paused.
    paused: dict[str | None, str] = field(default_factory=dict)
    #: The queue (None) and groups that take no new runs, and the box where that was said.
    draining: dict[str | None, str] = field(default_factory=dict)
    #: Whose failures somebody has seen.
    dismissed: Dismissals = field(default_factory=Dismissals)
    #: When runs may start that wait for a moment, by id; some of these moments may be over.
    moments: dict[str, datetime] = field(default_factory=dict)
    #: Called when one of them is new, another, or none any more.
    on_moment: Callable[[], None] = lambda: None
    #: The queue or the slots have changed since somebody last looked.
    moved: bool = True
    #: Outcomes that came for runs which had ended, or had another owner (CC-04).
    late_outcomes: int = 0
    _start: Callable[[Execution], None] | None = None
    #: Slots as the configuration has them; None is the whole queue.
    _configured: dict[str | None, int] = field(init=False)

    def __post_init__(self) -> None:
        self._configured = {None: self.slots}
        self._configured.update(self.group_slots)

    def give_slots(self, group: str | None, slots: int | None) -> None:
        """Let the queue (None) or a group have so many slots from now on; None: as configured."""
        given = self._configured.get(group) if slots is None else slots
        if group is None:
            assert given is not None
            self.slots = given
        elif given is None:
            self.group_slots.pop(group, None)
        else:
            self.group_slots[group] = given
        self.moved = True

    def _note_slots(self, event: SlotsChanged) -> None:
        if event.box and event.slots is not None:
            self.box_slots[event.box] = event.slots
        elif event.box:
            self.box_slots.pop(event.box, None)
        if event.box in ("", self.place.box):
            self.give_slots(event.group, event.slots)

    def configured(self, group: str | None) -> int | None:
        """Its slots as the configuration of this box has them; None: it has no such group."""
        return self._configured.get(group)

    def configures(self, group: str | None) -> bool:
        """Whether the configuration has this group."""
        return group in self._configured

    @property
    def shared_box(self) -> str:
        """This box, where others share the log; else nobody needs its name."""
        return self.place.box if self.place.shared else ""

    def begin_claiming(self, start: Callable[[Execution], None]) -> None:
        """Claim runs from now on; `start` begins an execution in the step of its claim."""
        self._start = start
        self.claiming = True

    def seed(self, row: RunRow, view: RunView) -> None:
        """Begin with a run that is open in the store."""
        self.views[row.run_id] = view
        self.terms[row.run_id] = terms_of(row)
        self.queue.seed(row.run_id, row.state, row.priority)
        self._note_moment(view)

    def begin_with(self, opening: Opening) -> None:
        """Begin with what was said to the queue, its groups and its boxes before this start."""
        self.paused.update(opening.paused)
        self.draining.update(opening.draining)
        self.drained.update(opening.drained)
        self.dismissed.add(opening.dismissed)
        for group, slots in opening.slots.items():
            self.give_slots(group, slots)
        self.box_slots.update(opening.box_slots)
        if self.place.box in opening.box_slots:
            self.give_slots(None, opening.box_slots[self.place.box])

    def rules(self) -> ClaimRules:
        """What a claim goes by now."""
        return ClaimRules(
            slots=self.slots,
            kinds=frozenset(self.kinds),
            group_slots=self.group_slots,
            paused=self.paused,
            aging=self.aging,
            place=self.place,
            drained=self.place.box in self.drained,
            elsewhere=Counter([view.group for view in self._held_elsewhere()]),
        )

    @property
    def running(self) -> int:
        """Runs that have a slot of this daemon."""
        if not self.shared:
            return self.queue.running
        views = [self.views.get(run_id) for run_id in self.executions]
        return sum([view is None or view.state in SLOT_STATES for view in views])

    @property
    def elsewhere(self) -> int:
        """Runs that have a slot of another daemon."""
        return len(self._held_elsewhere())

    def executes_here(self, run_id: str) -> bool:
        """Whether an open run that executes does so in this daemon."""
        return not self.shared or run_id in self.executions

    def is_ours(self, view: RunView) -> bool:
        """Whether it is this daemon that counts and traces a run: all that share the log see it."""
        return not self.shared or (view.box or view.origin) in {"", self.host}

    def _held_elsewhere(self) -> list[RunView]:
        if not self.shared:
            return []
        return [
            view
            for view in self.views.values()
            if view.state in SLOT_STATES and view.run_id not in self.executions
        ]

    def snapshot(self) -> QueueSnapshot:
        """Who wants a slot and who has one now."""
        parents = {view.parent_id for view in self.views.values()}
        holding = [
            v
            for v in self.views.values()
            if v.state in SLOT_STATES and self.executes_here(v.run_id)
        ]
        return QueueSnapshot(
            candidates=[
                self._candidate(view)
                for view in self.views.values()
                if view.state in QUEUED_STATES or view.run_id in self.unparking
            ],
            slot_holders=[self._slot_holder(view, parents) for view in holding],
            rules=self.rules(),
            now=self.now(),
            claiming=self.claiming,
            states={run_id: str(view.state) for run_id, view in self.views.items()},
        )

    def candidates_elsewhere(self) -> list[tuple[Candidate, str]]:
        """Runs that have a slot of another box, each with its name: for who explains a wait."""
        return [(self._candidate(view), view.box) for view in self._held_elsewhere()]

    def _candidate(self, view: RunView) -> Candidate:
        """A run as it is queued, or would be."""
        assert view.created_at is not None
        return Candidate(
            run_id=view.run_id,
            kind=view.kind,
            priority=view.priority,
            place=view.place if view.turn is None else view.turn,
            since=view.created_at,
            group=view.group,
            parked=view.run_id in self.unparking,
            prerequisites=tuple(
                run_id for run_id in view.after if run_id in self.views
            ),
            not_before=view.not_before,
            stashed=view.stashed,
            needs=view.needs,
            origin=view.origin,
            child=view.parent_id is not None,
        )

    def _slot_holder(self, view: RunView, parents: set[str | None]) -> SlotHolder:
        candidate = self._candidate(view)
        execution = self.executions.get(view.run_id)
        if execution is None:
            # It has not begun.
            return SlotHolder(candidate)
        ending = execution.cancel_requested is not None
        interrupted = (
            execution.preempted_by is not None or view.run_id in self.interrupting
        )
        return SlotHolder(
            candidate,
            preemptible=execution.row.preemptible
            and view.state != PAUSED
            and view.run_id not in parents,
            leaving=ending or interrupted or execution.stopping is not None,
            returning=interrupted and not ending,
        )

    # -- the recorder's projection

    @property
    def head(self) -> int:
        """Position of the newest fact that was folded and published."""
        return self.bus.head

    def claim(self, batch: Sequence[Write[Result]], *, forced: bool) -> Claim | None:
        """A claim if the batch may free a slot for a run that wants one, or bring such a run."""
        if not self.claiming:
            return None
        free = self.running < self.slots or any(
            isinstance(d, _FREES_SLOT) for d in batch
        )
        wanted = bool(self.queue.queued or self.unparking) or any(
            isinstance(d, _BRINGS_WORK) for d in batch
        )
        if not forced and not (free and wanted):
            return None
        return Claim(
            life=self.life,
            slots=self.slots,
            kinds=frozenset(self.kinds),
            at=self.now(),
            host=self.host,
            group_slots=self.group_slots,
            aging=self.aging,
            place=self.place,
        )

    def apply(self, write: Write[Result], result: Result | PenstockError) -> None:
        """Take note of one write's result."""
        if isinstance(write, Append):
            # By far the most; what they record is for the views alone.
            return
        if isinstance(result, Accepted) and isinstance(write, Enqueue):
            spec = write.spec
            self.terms[spec.run_id] = RunTerms(result.number, spec.on_restart)
        elif isinstance(result, Claimed):
            self._claimed(result)
        elif isinstance(write, Complete | Release):
            self._conclude(write, result)
        elif isinstance(write, Unpark) and not isinstance(result, Exception):
            self.unparking.add(write.fence.run_id)
            self.moved = True
        elif isinstance(result, CancelAnswer):
            for run_id in result.signalled:
                self.cancel(run_id, getattr(write, "reason", "cancelled"))
        elif isinstance(write, RequestCancel) and isinstance(result, LogDamaged):
            # It cannot be recorded, and is done all the same.
            self.cancel(write.run_id, write.reason)
        elif isinstance(write, Suspend | Continue):
            self._note_pause(write, result)
        elif isinstance(write, RequestPreempt):
            self.interrupting.discard(write.run_id)
            self.moved = True
            execution = self.executions.get(write.run_id)
            if execution is not None and not isinstance(result, Exception):
                execution.preempt(write.by)

    def _note_pause(
        self, write: Suspend | Continue, result: Result | PenstockError
    ) -> None:
        """The time of a run counts while its program goes on, and it waits for nothing while that stands."""
        execution = self.executions.get(write.run_id)
        if execution is None or isinstance(result, Exception) or not result.recorded:
            return
        if isinstance(write, Suspend):
            execution.suspend()
        else:
            execution.go_on()

    def fold(self, facts: Sequence[Recorded]) -> None:
        """Fold and publish; then see to who waits for room."""
        for fact in facts:
            if fact.run_id == DAEMON_STREAM:
                self._fold_own(fact)
                continue
            view = self.views.get(fact.run_id)
            if view is None:
                if fact.sequence > 1 and self.shared:
                    # Of a run that is lost here: its row, or what it did, cannot be read.
                    continue
                view = self.views[fact.run_id] = RunView(fact.run_id)
            view.apply(fact)
            for follow in self.followers:
                follow(fact, view)
            if fact.type not in _MOVES:
                continue
            self.queue.apply(fact, view.priority)
            self.moved = True
            self._note_moment(view)
            if fact.type in TERMINAL_TYPES:
                del self.views[fact.run_id]
                self.terms.pop(fact.run_id, None)
                # A forgotten run may have had its id.
                self.dismissed.discard(fact.run_id)
        self.bus.publish(facts)
        self.after_commit()

    def follow(self, facts: Sequence[Recorded]) -> None:
        """Fold what other daemons wrote; what it asks of runs that execute here is done as if asked here."""
        self.fold(facts)
        for fact in facts:
            if (execution := self.executions.get(fact.run_id)) is not None:
                self._heed(execution, fact)
            elif fact.type in MOVING_TYPES:
                # Its seconds are counted where it executes.
                self.terms.pop(fact.run_id, None)
        if any(f.type in _MOVES or f.run_id == DAEMON_STREAM for f in facts):
            self.look_for_work()

    def look_for_work(self) -> None:
        """Ask for a claim if there is a slot, and somebody in line who may start here."""
        if self.claiming and self.running < self.slots and self._has_work():
            self.on_work()

    def _has_work(self) -> bool:
        """Whether a queued run may start here: what others start takes no turn of the log's server."""
        if not self.queue.queued:
            return False
        rules, now = self.rules(), self.now()
        return any(
            startable(self._candidate(view), rules, now)
            for view in self.views.values()
            if view.state in QUEUED_STATES
        )

    def _heed(self, execution: Execution, fact: Recorded) -> None:
        event = fact.event
        if isinstance(event, RunCancelRequested):
            execution.cancel(event.reason)
        elif isinstance(event, RunPaused | RunContinued):
            if isinstance(event, RunPaused) == execution.going.is_set():
                if isinstance(event, RunPaused):
                    execution.suspend()
                else:
                    execution.go_on()
            self.on_pause(fact.run_id)
        elif fact.type in TERMINAL_TYPES and not execution.concluded.is_set():
            # Another daemon speaks for it, so our lease is over: what we say of it is refused.
            execution.scope.cancel(reason="another daemon speaks for the run")

    def _note_moment(self, view: RunView) -> None:
        moment = None if view.ended else view.not_before
        if moment == self.moments.get(view.run_id):
            return
        if moment is None:
            del self.moments[view.run_id]
        else:
            self.moments[view.run_id] = moment
        self.on_moment()

    def _fold_own(self, fact: Recorded) -> None:
        event = fact.event
        if isinstance(event, QueuePaused):
            self.paused[event.group] = event.reason
        elif isinstance(event, QueueResumed):
            self.paused.pop(event.group, None)
            self.moved = True
        elif isinstance(event, QueueDrained):
            self.draining[event.group] = event.box
        elif isinstance(event, QueueOpened):
            self.draining.pop(event.group, None)
        elif isinstance(event, FailuresDismissed):
            self.dismissed.add(event.runs)
        elif isinstance(event, BoxDrained):
            self.drained.add(event.box)
        elif isinstance(event, BoxResumed):
            self.drained.discard(event.box)
            self.moved = True
        elif isinstance(event, BoxForgotten):
            self.drained.discard(event.box)
            self.box_slots.pop(event.box, None)
        elif isinstance(event, SlotsChanged):
            self._note_slots(event)
        for follow in self.own_followers:
            follow(event)

    def _claimed(self, result: Claimed) -> None:
        assert self._start is not None, "claimed before runs can be started"
        for run_id in result.lost:
            self._give_up(run_id)
        for row in result.unparked:
            self.unparking.discard(row.run_id)
            if execution := self.executions.get(row.run_id):
                execution.unparked.set()
        for row in result.started:
            if (earlier := self.executions.get(row.run_id)) is not None:
                # Another daemon spoke for it and gave it away: nothing that it says is recorded any more.
                earlier.scope.cancel(reason="another daemon spoke for the run")
                earlier.concluded.set()
            # The scope exists from here on: no cancel falls between the claim and the first step.
            execution = Execution(row, row.fence)
            self.executions[row.run_id] = execution
            self._start(execution)
            if self.stopping:
                execution.stop()

    def _conclude(
        self, write: Complete | Release, result: Result | PenstockError
    ) -> None:
        self.unparking.discard(write.fence.run_id)
        execution = self.executions.get(write.fence.run_id)
        if execution is not None and execution.fence == write.fence:
            del self.executions[write.fence.run_id]
            execution.concluded.set()
        if isinstance(result, Concluded):
            self._use(write.fence.run_id, write.used_seconds)
            reason = f"the run {write.fence.run_id} ended"
            for run_id in result.signalled:
                self.cancel(run_id, reason)
        else:
            self.late_outcomes += 1
        if isinstance(result, LogDamaged):
            # Its row cannot be read, so no fact will tell the end: the slot must be given back here.
            self._lose(write.fence.run_id)

    def _give_up(self, run_id: str) -> None:
        """End what is executed of a run that is lost: it would wait for a slot or an answer for ever."""
        if (execution := self.executions.get(run_id)) is None:
            self._lose(run_id)
        elif execution.cancel_requested is None:
            execution.cancel("its row in the log is damaged")

    def _lose(self, run_id: str) -> None:
        self.views.pop(run_id, None)
        self.terms.pop(run_id, None)
        self.queue.lose(run_id)
        self.moved = True

    def _use(self, run_id: str, seconds: float) -> None:
        """Count the seconds of an execution that is over, as the store does."""
        if (terms := self.terms.get(run_id)) is not None:
            used = terms.used_seconds + seconds
            self.terms[run_id] = replace(terms, used_seconds=used)

    def abandon(self) -> None:
        """Nothing more is recorded; boot repair of the next life will speak for what is left."""
        for execution in self.executions.values():
            execution.concluded.set()

    def stop(self) -> None:
        """End every execution because the daemon stops, and every one still to begin."""
        self.stopping = True
        for execution in self.executions.values():
            execution.stop()

    def cancel(self, run_id: str, reason: str) -> None:
        """Cancel an execution of this daemon, if there is one."""
        if execution := self.executions.get(run_id):
            execution.cancel(reason)
