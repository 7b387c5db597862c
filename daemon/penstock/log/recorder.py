"""The recorder: the one way anything is recorded.

One writer task drains whatever is pending, commits it in one transaction, and then, in one step
without a checkpoint and in batch order: applies the results, folds the projections, publishes the
ring, and only then wakes the waiters. So nobody sees what a crash could take back, and after a commit
everybody sees the same.

It has two doors. `record` sends into a memory channel, waits for room in it and then for the commit.
`conclude` is a plain function that enters a reserved deque and never waits, so that no checkpoint
lies between choosing an outcome and recording it; there is at most one per execution. It stands
behind the writes that were in the channel then, and the execution's writes that still wait for room
are refused. A waiter cancelled before it was sent wrote nothing; later, its write is recorded and
only the acknowledgement is lost.
"""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime
from operator import attrgetter
from typing import Any, Protocol, TypeVar

import trio

from penstock.concurrency.enduring import endure
from penstock.log.kept import Fence
from penstock.log.new_events import new_event
from penstock.log.other_writers import InStep, OtherWriters
from penstock.log.outage import (
    PROBE_SECONDS,
    Committer,
    Pending,
    gives_up,
    longest_wait,
    result_without_store,
    retry_delay,
)
from penstock.log.redaction import Redact
from penstock.log.results import Appended, Result
from penstock.log.store import Store
from penstock.log.writes import Append, Claim, Complete, Release, RequestPreempt, Write
from penstock.words.errors import (
    PenstockError,
    StoreBroken,
    StoreUnavailable,
    Terminal,
)
from penstock.words.events import DAEMON_STREAM, AnyEvent
from penstock.words.recorded import Recorded

R = TypeVar("R", bound=Result)


class Projection(InStep, Protocol):
    """Who keeps memory in step with the log. All of it is called on the loop and never waits."""

    def claim(self, batch: Sequence[Write[Result]], *, forced: bool) -> Claim | None:
        """What ends the batch: a claim, if it may free a slot or bring a run that wants one.

        `forced`: look even though nothing in the batch says so.
        """
        ...

    def apply(self, write: Write[Result], result: Result | PenstockError) -> None:
        """Take note of one write's result, or of its refusal, in batch order."""
        ...

    def fold(self, facts: Sequence[Recorded]) -> None:
        """Fold the batch's facts into the views and publish them, after all results applied."""
        ...

    def abandon(self) -> None:
        """The writer has ended: whoever waits for a conclusion need not wait any more."""
        ...


@dataclass(frozen=True, slots=True)
class RecorderStatistics:
    """`pending` of `capacity` ordinary writes wait for a commit, `waiting` tasks for room."""

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


@dataclass(eq=False, slots=True)
class CoalescedEvents:
    """Holds back what comes too fast: of each key only the newest goes on."""

    #: Seconds between two events of one key.
    interval: float
    #: Queues one for the next commit.
    enter: Callable[[AnyEvent], None]
    _newest: dict[str, AnyEvent] = field(default_factory=dict)
    _added: trio.Event = field(default_factory=trio.Event)

    def add(self, key: str, event: AnyEvent) -> None:
        """Enter `event` unless another of its key comes before it can be; never waits."""
        self._newest[key] = event
        self._added.set()

    async def enter_due(self) -> None:
        """The task that enters them; until cancelled."""
        while True:
            await self._added.wait()
            self._added = trio.Event()
            newest, self._newest = self._newest, {}
            for event in newest.values():
                self.enter(event)
            await trio.sleep(self.interval)


@dataclass(eq=False, slots=True)
class Recorder:
    """Both doors, and the writer behind them. Its tasks run inside `open_recorder`."""

    store: Store
    projection: Projection
    #: Ordinary writes that may stand in the channel, and in one batch; `record` waits beyond it.
    capacity: int
    #: Seconds an ordinary write waits for an unavailable store.
    patience: float
    #: Seconds between two daemon events of one key.
    coalesce_seconds: float
    now: Callable[[], datetime]
    #: Takes secrets out of what is to be recorded.
    redact: Redact = lambda write: write
    on_commit: Callable[[int, float], None] = lambda _size, _seconds: None
    counters: Counters = field(default_factory=Counters)
    _committer: Committer = field(init=False)
    _others: OtherWriters = field(init=False)
    _coalesced: CoalescedEvents = field(init=False)
    _send: trio.MemorySendChannel[Pending[Any]] = field(init=False)
    _receive: trio.MemoryReceiveChannel[Pending[Any]] = field(init=False)
    #: How many came out of the channel so far.
    _received: int = 0
    #: What never waits for room, each with the number received that it stands behind.
    _reserved: deque[tuple[int, Pending[Any]]] = field(default_factory=deque)
    #: Executions whose conclusion is on its way, and who waits for room in whose name.
    _concluding: set[Fence] = field(default_factory=set)
    _blocked: dict[trio.CancelScope, Fence | None] = field(default_factory=dict)
    _work: trio.Event = field(default_factory=trio.Event)
    _kicked: bool = False
    #: Others may have written; the lease is to be renewed.
    _looking: bool = False
    _renewing: bool = False
    _writing: bool = True
    #: Why nothing is written any more, once the store is broken.
    _broken: StoreBroken | None = None
    #: What the last commit that got no answer was of.
    _unanswered: tuple[list[Pending[Any]], Claim | None] = field(
        default_factory=lambda: ([], None)
    )
    #: What the writer has taken and not settled yet.
    _taken: list[Pending[Any]] = field(default_factory=list)
    _in_batch: bool = False
    _batch_done: trio.lowlevel.ParkingLot = field(
        default_factory=trio.lowlevel.ParkingLot
    )

    def __post_init__(self) -> None:
        self._committer = Committer(self.store, lambda: self.projection.head)
        self._others = OtherWriters(self.store, self.projection)
        self._coalesced = CoalescedEvents(self.coalesce_seconds, self._enter_event)
        self._send, self._receive = trio.open_memory_channel[Pending[Any]](
            self.capacity
        )

    # -- for who records

    async def record(self, write: Write[R], *, apart: bool = False) -> R:
        """Record a write: wait for room, then for its commit, and return its result.

        One `apart` has a commit of its own and is given up at once where the store does not take it, so
        that it holds up nobody else's: for who asks again by himself.

        Raises what the store refused it with; Terminal if the run's execution has concluded
        meanwhile; StoreUnavailable when the store did not answer within `patience`; StoreBroken when
        nothing is written any more.
        """
        if self._broken is not None:
            await trio.lowlevel.checkpoint()
            raise self._broken_again()
        # Mostly nothing is being concluded, and a fence is slow to look up.
        if self._concluding and _fence_of(write) in self._concluding:
            await trio.lowlevel.checkpoint()
            raise Terminal
        now = trio.current_time()
        entry: Pending[R] = Pending(self.redact(write), now, True, apart)
        try:
            self._send.send_nowait(entry)
        except trio.WouldBlock:
            await self._send_when_room(entry)
        self._work.set()
        while entry.result is None:
            await entry.settled.wait()
        if isinstance(entry.result, PenstockError):
            raise entry.result
        return entry.result

    async def _send_when_room(self, entry: Pending[Any]) -> None:
        """Wait in the channel's line; Terminal if the run's execution concludes meanwhile."""
        # One for each who waits, since a scope is entered once; `conclude` cancels all of its run.
        with trio.CancelScope() as scope:
            self._blocked[scope] = _fence_of(entry.write)
            try:
                await self._send.send(entry)
            finally:
                del self._blocked[scope]
        if scope.cancelled_caught:
            raise Terminal
        # Waiting for room is no store's fault.
        entry.since = trio.current_time()

    def conclude(self, write: Complete | Release) -> None:
        """Record the end of an execution. Never waits; follows every append already sent."""
        self._concluding.add(write.fence)
        # A cancel takes a sender out of the line at once: none can slip in behind the end.
        for scope, fence in self._blocked.items():
            if fence == write.fence:
                scope.cancel(reason="the execution has concluded")
        self._enter_reserved(write)
        if not self._writing:
            self.projection.abandon()

    def request(self, write: RequestPreempt) -> None:
        """Ask to interrupt a run. Never waits; at most one per execution is on its way."""
        self._enter_reserved(write)

    def coalesce(self, key: str, event: AnyEvent) -> None:
        """Record a fact about the daemon; never waits, newest of a key wins, at most one a second."""
        self._coalesced.add(key, event)

    def _enter_event(self, event: AnyEvent) -> None:
        new = new_event(DAEMON_STREAM, event, now=self.now())
        self._enter_reserved(Append((new,)))

    def _enter_reserved(self, write: Write[Result]) -> None:
        entry: Pending[Any] = Pending(self.redact(write), trio.current_time(), False)
        # Whoever stands in the channel now was sent before it.
        self._reserved.append((self._received + self.pending, entry))
        self._work.set()

    def kick(self) -> None:
        """Let the writer make a batch, with its claim, though nothing is pending."""
        self._kicked = True
        self._work.set()

    def look(self) -> None:
        """Others may have written: let the writer fold what they wrote, before it writes more."""
        if self.store.sharing is None:
            return
        self._looking = True
        self._work.set()

    def renew(self) -> None:
        """Let the writer make a commit though there is nothing to write: it renews the lease."""
        self._renewing = True
        self._work.set()

    async def wait_drained(self) -> None:
        """Wait until nothing is pending, or nobody is left to write it."""
        while self._writing and (self._reserved or self.pending or self._in_batch):
            await self._batch_done.park()

    async def wait_applied(self) -> None:
        """Wait until the batch that is being committed now, if any, has been applied."""
        await trio.lowlevel.checkpoint()
        if self._in_batch:
            await self._batch_done.park()

    # -- for who looks on

    @property
    def unavailable(self) -> str | None:
        """Why the store does not answer; None while it does."""
        return self._committer.unavailable

    @property
    def unavailable_code(self) -> str:
        """The store's own word for that; "" where it has none."""
        return self._committer.code

    @property
    def behind(self) -> str | None:
        """Why what other daemons wrote cannot be read; None while it can."""
        return self._others.behind

    @property
    def pending(self) -> int:
        """Ordinary writes in the channel; the batch that is being committed is out of it."""
        return self._receive.statistics().current_buffer_used

    def statistics(self) -> RecorderStatistics:
        c, channel = self.counters, self._receive.statistics()
        return RecorderStatistics(
            channel.current_buffer_used, self.capacity, channel.tasks_waiting_send, c.batches,
            c.writes, c.largest_batch, c.dropped, self.unavailable,
        )  # fmt: skip

    # -- the writer

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
        except StoreBroken as error:
            self._break(error)
            raise
        finally:
            self._writing = self._in_batch = False
            self.projection.abandon()
            self._batch_done.unpark_all()

    def _break(self, error: StoreBroken) -> None:
        """Tell all who wait that their writes will not come to be: a stop must not wait for them."""
        self._broken = error
        left = list(self._taken)
        # Whoever stands in line for room gets it meanwhile.
        while more := self._take(self.capacity):
            left += more
        left += [entry for _, entry in self._reserved]
        self._reserved.clear()
        for entry in left:
            entry.result = entry.result or self._broken_again()
        self._wake(left)

    def _broken_again(self) -> StoreBroken:
        """The error anew: one that is raised in several tasks would gather their tracebacks."""
        return StoreBroken(str(self._broken))

    async def _wait_for_work(self) -> None:
        """Wait until there is something to write; an unavailable store is probed meanwhile.

        New runs are refused while it is unavailable, so nothing else would ask it again.
        """
        while self.unavailable is not None and not self._work.is_set():
            with trio.move_on_after(PROBE_SECONDS):
                await self._work.wait()
                return
            await self._commit([], None, [])
        await self._work.wait()

    async def _write_batch(self) -> None:
        began = trio.current_time()
        entries: list[Pending[Any]] = []
        while True:
            entries = await self._renew_if_due(entries)
            # What the last commit did comes first, if that is not known yet.
            if self._looking and self.unavailable is None:
                self._looking = False
                await self._others.catch_up()
            entries += self._take(self.capacity - sum(e.ordinary for e in entries))
            self._taken = entries
            entries = await self._write_apart(entries)
            writes = [entry.write for entry in entries]
            claim = self.projection.claim(writes, forced=self._kicked)
            if claim is not None:
                writes.append(claim)
            if not writes:
                return
            results = await self._commit(entries, claim, writes)
            if results is not None and len(results) == len(writes):
                break
            if results:
                # A part of them; what was not taken waits in its order.
                done = entries[: len(results)]
                await self._settle(done, None, results)
                self._wake(done)
            left = [entry for entry in entries if entry.result is None]
            entries = await self._wait_for_store(left)
        self._kicked = False
        await self._settle(entries, claim, results)
        self._wake(entries)
        self.on_commit(len(entries), trio.current_time() - began)

    async def _renew_if_due(self, waiting: list[Pending[Any]]) -> list[Pending[Any]]:
        """Have the lease renewed, also where a server that answers does not take what is `waiting`.

        Those of them that still are.
        """
        if self._renewing:
            self._renewing = False
            # By itself: a batch that changes nothing is no commit.
            await self._commit([], None, [], waiting=bool(waiting))
        return [entry for entry in waiting if entry.result is None]

    async def _write_apart(self, entries: list[Pending[Any]]) -> list[Pending[Any]]:
        """Each that is to hold up no other in a commit of its own; those that are left."""
        for entry in entries:
            if not entry.apart:
                continue
            result = await self._committer.commit_apart(entry.write)
            if result is None:
                entry.tried = True
                self._unanswered = [entry], None
                result = result_without_store(entry, self.unavailable or "")
            if isinstance(result, StoreUnavailable):
                # As of whoever gave up: there is nothing to apply.
                entry.result = result
            else:
                await self._settle([entry], None, [result])
            self._wake([entry])
        return [entry for entry in entries if entry.result is None]

    async def _commit(
        self,
        entries: Sequence[Pending[Any]],
        claim: Claim | None,
        writes: Sequence[Write[Result]],
        *,
        waiting: bool = False,
    ) -> list[Result | PenstockError] | None:
        """The store's results; None while it does not answer, or once it has told of the commit before.

        What that one did is settled then, as if its answer had come late.
        """
        results = await self._committer.commit(writes, waiting=waiting)
        recalled, self._committer.recalled = self._committer.recalled, None
        if recalled is not None:
            before, its_claim = self._unanswered
            await self._settle(before, its_claim, recalled)
            self._wake(before)
        elif results is None and self._committer.tried:
            self._unanswered = list(entries), claim
        return results

    def _take(self, room: int) -> list[Pending[Any]]:
        """What is written next: `room` ordinary ones at most, and each reserved one in its place."""
        taken = self._take_reserved()
        with suppress(trio.WouldBlock):
            for _ in range(room):
                taken.append(self._receive.receive_nowait())
                self._received += 1
                if self._reserved:
                    taken += self._take_reserved()
        return taken

    def _take_reserved(self) -> list[Pending[Any]]:
        """Those that stand behind no more than was received so far."""
        taken: list[Pending[Any]] = []
        while self._reserved and self._reserved[0][0] <= self._received:
            taken.append(self._reserved.popleft()[1])
        return taken

    async def _wait_for_store(self, entries: list[Pending[Any]]) -> list[Pending[Any]]:
        """Wait a little, give up on what has waited long enough, and return the rest."""
        for entry in entries:
            entry.tried = entry.tried or self._committer.tried
        waited = longest_wait(entries, now=trio.current_time())
        await trio.sleep(retry_delay(waited))
        now = trio.current_time()
        given_up = [e for e in entries if gives_up(e, now=now, patience=self.patience)]
        for entry in given_up:
            entry.result = result_without_store(entry, self.unavailable or "")
            self.counters.dropped += isinstance(entry.result, Appended)
        self._wake(given_up)
        return [entry for entry in entries if entry.result is None]

    async def _settle(
        self,
        entries: Sequence[Pending[Any]],
        claim: Claim | None,
        results: Sequence[Result | PenstockError],
    ) -> None:
        """What others wrote before; results, then projections and ring, then waiters.

        On a log that nobody else writes there is no checkpoint in here.
        """
        facts, between = _new_facts(results), list[Recorded]()
        if facts and facts[-1].position > self.projection.head + len(facts):
            between = await self._others.read_between(facts)
        self.counters.batches += 1
        self.counters.writes += len(entries)
        self.counters.largest_batch = max(self.counters.largest_batch, len(entries))
        for entry, result in zip(entries, results, strict=False):
            entry.result = result
            self._apply(entry.write, result)
        if claim is not None:
            self._apply(claim, results[-1])
        if between:
            self.projection.follow(sorted([*facts, *between], key=_by_position))
        else:
            self.projection.fold(facts)
        for fact in facts:
            fact.settle()

    def _apply(self, write: Write[Result], result: Result | PenstockError) -> None:
        if isinstance(write, (Complete, Release)):
            self._concluding.discard(write.fence)
        self.projection.apply(write, result)

    def _wake(self, entries: Sequence[Pending[Any]]) -> None:
        for entry in entries:
            entry.settled.set()

    async def enter_coalesced(self) -> None:
        """The task that turns daemon events into facts, one of a key per `coalesce_seconds`."""
        await self._coalesced.enter_due()


def _new_facts(results: Sequence[Result | PenstockError]) -> list[Recorded]:
    """What these results recorded, in order."""
    return [
        fact
        for result in results
        if isinstance(result, Result) and not getattr(result, "duplicate", False)
        for fact in result.recorded
    ]


_by_position = attrgetter("position")


def _fence_of(write: Write[Result]) -> Fence | None:
    fence: Fence | None = getattr(write, "fence", None)
    return fence


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
        writer_nursery.start_soon(endure, "coalescing", recorder.enter_coalesced)
        try:
            yield recorder
        finally:
            with trio.move_on_after(drain_seconds, shield=True):
                await recorder.wait_drained()
            writing.cancel(reason="the recorder is drained")
            writer_nursery.cancel_scope.cancel(reason="the recorder is drained")
