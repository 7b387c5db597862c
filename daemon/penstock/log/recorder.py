"""The recorder: the one way anything is recorded.

One writer task drains whatever is pending, commits it in one transaction, and then, in one step
without a checkpoint and in batch order: applies the results, folds the projections, publishes the
ring, and only then wakes the waiters. So nobody sees what a crash could take back, and after a commit
everybody sees the same.

The queue is a deque with two doors. `record` waits for room, then for its commit. `conclude` is a
plain function that enters uncounted and never waits, so that no checkpoint lies between choosing an
outcome and recording it; there is at most one per execution. A waiter cancelled before it was
queued wrote nothing; later, its write is recorded and only the acknowledgement is lost.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Generic, Protocol, TypeVar

import trio

from penstock.concurrency.enduring import endure
from penstock.log.redaction import Redact
from penstock.log.store import Store
from penstock.log.writes import (
    Answer,
    Append,
    Appended,
    Claim,
    Complete,
    Enqueue,
    Fence,
    Prune,
    Release,
    RequestCancel,
    RequestPreempt,
    Result,
    Write,
    new_event,
)
from penstock.words.errors import (
    LogDamaged,
    PenstockError,
    StoreAway,
    StoreBroken,
    StoreUnavailable,
    Terminal,
)
from penstock.words.events import DAEMON_STREAM, DROPPABLE_TYPES, AnyEvent
from penstock.words.recorded import Recorded

R = TypeVar("R", bound=Result)

Answered = Result | PenstockError


class Projection(Protocol):
    """Who keeps memory in step with the log. All of it is called on the loop and never waits."""

    @property
    def head(self) -> int:
        """Position of the newest fact that was folded."""
        ...

    def claim(self, batch: Sequence[Write[Result]], *, forced: bool) -> Claim | None:
        """What ends the batch: a claim, if it may free a slot or bring a run that wants one.

        `forced`: look even though nothing in the batch says so.
        """
        ...

    def apply(self, write: Write[Result], outcome: Answered) -> None:
        """Take note of one decision's outcome, in batch order."""
        ...

    def fold(self, facts: Sequence[Recorded]) -> None:
        """Fold the batch's facts into the views and publish them, after all outcomes applied."""
        ...

    def abandon(self) -> None:
        """The writer has ended: whoever waits for a conclusion need not wait any more."""
        ...


@dataclass(eq=False, slots=True)
class Pending(Generic[R]):
    """One decision on its way; `settled` is shared by all that entered for the same batch."""

    write: Write[Result]
    settled: trio.Event
    since: float
    counted: bool
    #: A commit with it got no answer, and may have been done.
    tried: bool = False
    answer: R | PenstockError | None = None


@dataclass(frozen=True, slots=True)
class RecorderStatistics:
    """`pending` of `capacity` ordinary entries wait for a commit, `waiting` tasks for room."""

    pending: int
    capacity: int
    waiting: int
    batches: int
    writes: int
    largest_batch: int
    dropped: int
    unavailable: str | None


@dataclass(slots=True)
class Counters:
    """What the recorder has done since its start."""

    batches: int = 0
    writes: int = 0
    largest_batch: int = 0
    dropped: int = 0


# Seconds between two tries at an unavailable store: the first, and the longest.
_FIRST_RETRY, _LONGEST_RETRY = 0.05, 1.0

#: Seconds between two probes of an unavailable store that nobody wants anything of: new runs are
#: refused until one succeeds, so this is how long they are refused in vain.
PROBE_SECONDS = 1.0


def retry_delay(waited: float) -> float:
    """Seconds until the next try: a quarter of what was waited already, within bounds."""
    return min(_LONGEST_RETRY, max(_FIRST_RETRY, waited / 4))


def longest_wait(entries: Sequence[Pending[Any]], *, now: float) -> float:
    """Seconds that the oldest has waited; a claim alone, which nobody waits for, counts as 1 s."""
    return max((now - entry.since for entry in entries), default=1.0)


def gives_up(entry: Pending[Any], *, now: float, patience: float) -> bool:
    """A conclusion never (D-16), a new run at once (its submitter is told 503), others in time."""
    if not entry.counted:
        return False
    if isinstance(entry.write, Enqueue) and entry.write.capacity is not None:
        return True
    return now - entry.since >= patience


def answer_without_store(entry: Pending[Any], why: str) -> Answered:
    """What one who gave up is told: facts that may be dropped are taken as recorded.

    That the outcome is unknown is said only if a commit with it may have been done.
    """
    if _droppable(entry.write):
        return Appended()
    return StoreUnavailable(why) if entry.tried else StoreAway(why)


def _droppable(write: Write[Result]) -> bool:
    return isinstance(write, Append) and all(
        d.type in DROPPABLE_TYPES for d in write.new_events
    )


log = logging.getLogger("penstock.recorder")

# Decisions that look at ended runs too: damage that they meet is their own misfortune. Any other is
# about what is open, which must be recorded, or the daemon's word is worth nothing.
_ABOUT_THE_PAST = (Prune, Enqueue, RequestCancel, Answer)


@dataclass(eq=False, slots=True)
class Commits:
    """See the module's text."""

    store: Store
    #: Position of the newest fact that we know of.
    head: Callable[[], int]
    #: Why the store does not answer; None while it does.
    unavailable: str | None = None
    #: Whether the last commit without an answer may have been done.
    tried: bool = False

    async def commit(self, writes: Sequence[Write[Result]]) -> list[Answered] | None:
        """The store's answers, or None while it is unavailable.

        No decisions at all: whether it takes writes again.
        """
        asked = False
        try:
            if self.unavailable is not None:
                await self._check_lost_answer()
            asked = True
            try:
                answers = await self._commit_shielded(writes)
            except (StoreUnavailable, StoreBroken):
                raise
            except Exception as error:
                log.error(
                    "a batch could not be judged; trying its decisions one by one",
                    exc_info=None if isinstance(error, LogDamaged) else error,
                )
                answers = [await self._commit_alone(write) for write in writes]
        except StoreUnavailable as error:
            if self.unavailable is None:
                log.error("the store is unavailable: %s", error)
            self.unavailable = str(error)
            self.tried = asked and not isinstance(error, StoreAway)
            return None
        if self.unavailable is not None:
            log.warning("the store answers again")
        self.unavailable = None
        return answers

    async def _check_lost_answer(self) -> None:
        """StoreBroken if the commit that got no answer was done all the same.

        Its outcomes, claimed runs above all, cannot be learned by asking again; the next life of the
        daemon reads them from the log.
        """
        with trio.CancelScope(shield=True):
            head = (await self.store.bounds()).head
        if head > self.head():
            raise StoreBroken("the store wrote facts and did not say so")

    async def _commit_shielded(self, writes: Sequence[Write[Result]]) -> list[Answered]:
        # A commit that is not waited for would be a commit of unknown outcome.
        with trio.CancelScope(shield=True):
            answers = await self.store.commit(writes)
        return answers  # noqa: RET504  (left the scope first)

    async def _commit_alone(self, write: Write[Result]) -> Answered:
        try:
            return (await self._commit_shielded([write]))[0]
        except (StoreBroken, StoreUnavailable):
            raise
        except LogDamaged as error:
            if not isinstance(write, _ABOUT_THE_PAST):
                raise StoreBroken(f"what is open cannot be recorded: {error}") from None
            log.error("the decision %s failed: %s", type(write).__name__, error)
            return error
        except Exception as error:
            log.exception("the decision %s failed", type(write).__name__)
            return PenstockError(f"the decision failed: {type(error).__name__}")


@dataclass(eq=False, slots=True)
class CoalescedEvents:
    """Holds back what comes too fast. `note` never waits; the newest of a key wins."""

    #: Seconds between two notes of one key.
    interval: float
    #: Queues one for the next commit.
    enter: Callable[[AnyEvent], None]
    _newest: dict[str, AnyEvent] = field(default_factory=dict)
    _noted: trio.Event = field(default_factory=trio.Event)

    def note(self, key: str, event: AnyEvent) -> None:
        """Record `event` unless another of its key comes before it can be."""
        self._newest[key] = event
        self._noted.set()

    async def write(self) -> None:
        """The task that enters them; until cancelled."""
        while True:
            await self._noted.wait()
            self._noted = trio.Event()
            newest, self._newest = self._newest, {}
            for event in newest.values():
                self.enter(event)
            await trio.sleep(self.interval)


@dataclass(eq=False, slots=True)
class Recorder:
    """See the module's text. Make one with `open_recorder`."""

    store: Store
    projection: Projection
    #: Ordinary entries that may be pending; `record` waits beyond it.
    capacity: int
    #: Seconds an ordinary entry waits for an unavailable store.
    patience: float
    #: Seconds between two notes of one key.
    note_interval: float
    now: Callable[[], datetime]
    #: Takes secrets out of what is to be recorded.
    redact: Redact = lambda write: write
    on_commit: Callable[[int, float], None] = lambda _size, _seconds: None
    counters: Counters = field(default_factory=Counters)
    _commits: Commits = field(init=False)
    _pending: list[Pending[Any]] = field(default_factory=list)
    _ordinary: int = 0
    _settled: trio.Event = field(default_factory=trio.Event)
    _work: trio.Event = field(default_factory=trio.Event)
    _room: trio.lowlevel.ParkingLot = field(default_factory=trio.lowlevel.ParkingLot)
    _concluding: set[Fence] = field(default_factory=set)
    _notes: CoalescedEvents = field(init=False)
    _kicked: bool = False
    _writing: bool = True
    _in_batch: bool = False
    _batch_done: trio.lowlevel.ParkingLot = field(
        default_factory=trio.lowlevel.ParkingLot
    )

    def __post_init__(self) -> None:
        self._commits = Commits(self.store, lambda: self.projection.head)
        self._notes = CoalescedEvents(self.note_interval, self._enter_note)

    @property
    def unavailable(self) -> str | None:
        """Why the store does not answer; None while it does."""
        return self._commits.unavailable

    async def record(self, write: Write[R]) -> R:
        """Record a decision: wait for room, then for its commit, and return its outcome.

        Raises what the store refused it with; Terminal if the run's execution has concluded
        meanwhile; StoreUnavailable when the store did not answer within `patience`.
        """
        while self._ordinary >= self.capacity:
            await self._room.park()
        # Mostly nothing is being concluded, and a fence is slow to look up.
        if self._concluding and getattr(write, "fence", None) in self._concluding:
            # Woken for room that it does not take: the next in line may have it.
            self._room.unpark()
            await trio.lowlevel.checkpoint()
            raise Terminal
        entry = self._enter(write, counted=True)
        while entry.answer is None:
            await entry.settled.wait()
        if isinstance(entry.answer, PenstockError):
            raise entry.answer
        return entry.answer

    def conclude(self, write: Complete | Release) -> None:
        """Record the end of an execution. Never waits; follows every append already queued."""
        self._concluding.add(write.fence)
        self._enter(write, counted=False)
        if not self._writing:
            self.projection.abandon()

    def request(self, write: RequestPreempt) -> None:
        """Ask to interrupt a run. Never waits; at most one per execution is on its way."""
        self._enter(write, counted=False)

    def note(self, key: str, event: AnyEvent) -> None:
        """Record a fact about the daemon; never waits, newest of a key wins, at most one a second."""
        self._notes.note(key, event)

    def kick(self) -> None:
        """Let the writer make a batch, with its claim, though nothing is pending."""
        self._kicked = True
        self._work.set()

    @property
    def pending(self) -> int:
        """Ordinary entries that wait for a commit."""
        return self._ordinary

    def statistics(self) -> RecorderStatistics:
        c = self.counters
        waiting = len(self._room)
        return RecorderStatistics(
            self._ordinary, self.capacity, waiting, c.batches, c.writes, c.largest_batch,
            c.dropped, self.unavailable,
        )  # fmt: skip

    def _enter(self, write: Write[R], *, counted: bool) -> Pending[R]:
        entry: Pending[R] = Pending(
            self.redact(write), self._settled, trio.current_time(), counted
        )
        self._pending.append(entry)
        self._ordinary += counted
        self._work.set()
        return entry

    async def wait_drained(self) -> None:
        """Wait until nothing is pending, or nobody is left to write it."""
        # Conclusions are not counted, so a batch of them alone is seen by `_in_batch` only.
        while self._writing and (self._pending or self._ordinary or self._in_batch):
            await self._batch_done.park()

    async def wait_applied(self) -> None:
        """Wait until the batch that is being committed now, if any, has been applied."""
        await trio.lowlevel.checkpoint()
        if self._in_batch:
            await self._batch_done.park()

    async def write(self) -> None:
        """The writer task. It ends only by being cancelled, or with the daemon."""
        try:
            while True:
                if self._work.is_set():
                    # Whom the last batch woke has a turn now, some before this task and some
                    # after. After one more turn all have decided what they decide next, and none
                    # waits for a commit that left without it.
                    await trio.lowlevel.checkpoint()
                await self._wait_for_work()
                self._work = trio.Event()
                self._in_batch = True
                await self._write_batch()
                self._in_batch = False
                self._batch_done.unpark_all()
        finally:
            self._writing = self._in_batch = False
            self.projection.abandon()
            self._batch_done.unpark_all()

    async def _wait_for_work(self) -> None:
        """Wait until there is something to write; an unavailable store is probed meanwhile.

        New runs are refused while it is unavailable, so nothing else would ask it again.
        """
        while self.unavailable is not None and not self._work.is_set():
            with trio.move_on_after(PROBE_SECONDS):
                await self._work.wait()
                return
            await self._commits.commit([])
        await self._work.wait()

    async def _write_batch(self) -> None:
        began = trio.current_time()
        entries: list[Pending[Any]] = []
        while True:
            entries += self._take()
            writes = [entry.write for entry in entries]
            claim = self.projection.claim(writes, forced=self._kicked)
            if claim is not None:
                writes.append(claim)
            if not writes:
                return
            answers = await self._commits.commit(writes)
            if answers is not None:
                break
            entries = await self._wait_for_store(entries)
        self._kicked = False
        self._settle(entries, claim, answers)
        self._wake(entries)
        self.on_commit(len(entries), trio.current_time() - began)

    def _take(self) -> list[Pending[Any]]:
        entries, self._pending = self._pending, []
        self._settled = trio.Event()
        return entries

    def _take_out(self, entries: Sequence[Pending[Any]]) -> None:
        self._ordinary -= sum(entry.counted for entry in entries)

    def _wake(self, entries: Sequence[Pending[Any]]) -> None:
        """Let others take the room and wake the waiters; one event serves a whole batch."""
        self._room.unpark(count=sum(entry.counted for entry in entries))
        # No set: its order is by address, and a numbered schedule would not replay.
        for settled in dict.fromkeys(entry.settled for entry in entries):
            settled.set()

    async def _wait_for_store(self, entries: list[Pending[Any]]) -> list[Pending[Any]]:
        """Wait a little, give up on what has waited long enough, and return the rest."""
        for entry in entries:
            entry.tried = entry.tried or self._commits.tried
        waited = longest_wait(entries, now=trio.current_time())
        await trio.sleep(retry_delay(waited))
        now = trio.current_time()
        given_up = [e for e in entries if gives_up(e, now=now, patience=self.patience)]
        for entry in given_up:
            entry.answer = answer_without_store(entry, self.unavailable or "")
            self.counters.dropped += isinstance(entry.answer, Appended)
        kept = [entry for entry in entries if entry.answer is None]
        self._take_out(given_up)
        self._wake(given_up)
        # Those who shared an event with one that gave up wait for a new one. The others still
        # wait for theirs: another one would be set instead, and never wake them.
        rest = trio.Event()
        for entry in kept:
            if entry.settled.is_set():
                entry.settled = rest
        return kept

    def _settle(
        self, entries: list[Pending[Any]], claim: Claim | None, answers: list[Answered]
    ) -> None:
        """Outcomes, then views and ring, then waiters; no checkpoint in here."""
        # First of all: who samples how full the recorder is does so while the facts are folded.
        self._take_out(entries)
        self.counters.batches += 1
        self.counters.writes += len(entries)
        self.counters.largest_batch = max(self.counters.largest_batch, len(entries))
        facts: list[Recorded] = []
        for entry, answer in zip(entries, answers, strict=False):
            entry.answer = answer
            self._apply(entry.write, answer, facts)
        if claim is not None:
            self._apply(claim, answers[-1], facts)
        self.projection.fold(facts)

    def _apply(
        self, write: Write[Result], answer: Answered, facts: list[Recorded]
    ) -> None:
        if isinstance(write, (Complete, Release)):
            self._concluding.discard(write.fence)
        if isinstance(answer, Result) and not getattr(answer, "duplicate", False):
            facts.extend(answer.recorded)
        self.projection.apply(write, answer)

    async def write_notes(self) -> None:
        """The task that turns notes into facts, at most one of a key per `note_interval`."""
        await self._notes.write()

    def _enter_note(self, event: AnyEvent) -> None:
        note = new_event(DAEMON_STREAM, event, now=self.now())
        self._enter(Append((note,)), counted=False)


@asynccontextmanager
async def open_recorder(
    recorder: Recorder, *, drain_seconds: float
) -> AsyncIterator[Recorder]:
    """Run the recorder's tasks; at the end commit what is pending, for at most `drain_seconds`.

    A cancel from outside is heard by everybody but the writer: what the block says while it unwinds
    (the conclusions of its runs, above all) is recorded too.
    """
    writing = trio.CancelScope(shield=True)

    async def write() -> None:
        with writing:
            await recorder.write()

    async with trio.open_nursery() as writer_nursery:
        # Not by `start`: cancelled in that moment, it would wait for ever for a task in a shield.
        writer_nursery.start_soon(write)  # noqa: ASYNC113
        writer_nursery.start_soon(endure, "noting", recorder.write_notes)
        try:
            yield recorder
        finally:
            with trio.move_on_after(drain_seconds, shield=True):
                await recorder.wait_drained()
            writing.cancel(reason="the recorder is drained")
            writer_nursery.cancel_scope.cancel(reason="the recorder is drained")
