"""What people and agents ask of runs that exist: cancel with a receipt, answers, words, reports, pauses."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import trio

from penstock.log.kept import TreeRun
from penstock.log.new_events import new_event
from penstock.log.projections import RunView
from penstock.log.recorder import Recorder
from penstock.log.results import CancelAnswer
from penstock.log.writes import (
    Answer,
    Append,
    Dismiss,
    Edit,
    Rearrange,
    RequestCancel,
    SetBox,
    SetDrain,
    SetPause,
    SetSlots,
)
from penstock.runs.console import Console
from penstock.runs.execution import Execution
from penstock.runs.kind import Kind, check_whole, digest_inputs, encode_inputs
from penstock.runs.reader import Reader
from penstock.runs.receipts import RunEnd, end_of_row, make_receipt, merge_ends
from penstock.runs.selection import no_group
from penstock.runs.submit import changed_inputs, moment_of
from penstock.runs.table import RunTable
from penstock.words.api import (
    BugReportRequest,
    CancelReceipt,
    EditRequest,
    RearrangeRequest,
)
from penstock.words.errors import (
    Conflict,
    Refused,
    RunNotFound,
    ShuttingDown,
    StoreUnavailable,
    Terminal,
)
from penstock.words.events import (
    AnyEvent,
    BugReported,
    InterventionReceived,
    SlotsChanged,
)
from penstock.words.lifecycle import CANCELLED, QUEUED_STATES, SLOT_STATES
from penstock.words.recorded import Recorded
from penstock.words.run_id import check_run_id
from penstock.words.sentences import drained_sentence, queue_name
from penstock.words.staleness import CodeMark, Judgement, judge
from penstock.words.values import new_event_id

#: Groups at most: every claim is given their slots, and every start reads them.
MOST_GROUPS = 1000


@dataclass(eq=False, slots=True)
class QueueControl:
    """Pauses and drains the queue, or a group of it; a group of None is the whole queue."""

    table: RunTable
    recorder: Recorder
    now: Callable[[], datetime]
    #: What the boxes are called that share the log.
    boxes: Callable[[], Awaitable[Collection[str]]]

    async def pause(self, group: str | None = None, reason: str = "") -> None:
        """Start nothing more of it. Twice is once; Refused for an unknown group."""
        self._check(group)
        await self.recorder.record(SetPause(True, self.now(), group, reason))

    async def resume(self, group: str | None = None) -> None:
        """Start, and take in, what belongs to it again; ends a drain too."""
        if group not in {*self.table.paused, *self.table.draining}:
            # Such a group may have gone from the configuration since.
            self._check(group)
        await self.recorder.record(SetPause(False, self.now(), group))

    async def drain_box(self, box: str) -> None:
        """Have a box start nothing more until `resume_box`; what executes there goes on. Refused."""
        await self._set_box(box, draining=True)

    async def resume_box(self, box: str) -> None:
        """Have it start runs again. Twice is once. Refused for an unknown box."""
        await self._set_box(box, draining=False)

    async def _set_box(self, box: str, *, draining: bool) -> None:
        await self._check_box(box)
        await self.recorder.record(SetBox(box, draining, self.now()))

    async def _check_box(self, box: str) -> None:
        known = {self.table.place.box, *self.table.drained}
        if box not in known and box not in await self.boxes():
            raise Refused("box", f"there is no box {box!r}")

    async def wait_box_idle(self, box: str) -> None:
        """Wait until nothing executes at a drained box; returns also when it is resumed. ShuttingDown."""
        while box in self.table.drained and self._executes(box):
            if self.table.stopping:
                raise ShuttingDown("the daemon stops; what is queued is kept")
            await self.table.bus.wait_published(None)

    def _executes(self, box: str) -> bool:
        if box == self.table.place.box:
            return bool(self.table.executions)
        return any(
            view.box == box and view.state in SLOT_STATES
            for view in self.table.views.values()
        )

    async def set_slots(
        self, group: str | None, slots: int | None, *, box: str | None = None
    ) -> None:
        """Let so many runs execute at once from now on, of the queue or of a group; None: as configured.

        Of a log that several boxes share a group's are for all of them together, and those of the queue
        are this box's, or those of `box`. A group that is not there is made. What executes goes on. Conflict if a group goes that open
        runs are of, or if there are enough of them; Refused if there is none that could go.
        """
        groups = self.table.group_slots
        if box is not None:
            await self._check_box(box)
        if slots is None:
            self._check(group)
            if not self.table.configures(group) and self._open(group):
                raise Conflict(f"runs of the group {group!r} are open")
        elif group not in {None, *groups} and len(groups) >= MOST_GROUPS:
            raise Conflict(f"there are {MOST_GROUPS} groups already")
        place = self.table.place
        if group is not None and slots is None and place.shared:
            # One number for all boxes, and that of this one's configuration if it has any.
            slots = self.table.configured(group)
        whose = (box or place.box) if group is None and place.shared else ""
        await self.recorder.record(SetSlots(slots, self.now(), group, whose))

    def follow(self, event: AnyEvent) -> None:
        """Told of each fact about the daemon as it is committed."""
        if isinstance(event, SlotsChanged):
            # The claim of that batch went by the old number.
            self.recorder.kick()

    async def drain(self, group: str | None = None) -> None:
        """Take nothing new in, and wait until none of its runs is open.

        Returns also when `resume` ends the drain. Conflict as `start_drain`; ShuttingDown if the
        daemon stops first.
        """
        await self.start_drain(group)
        await self._wait_drained(group)

    async def start_drain(self, group: str | None = None) -> None:
        """Take nothing new in until `resume`, at no box. Conflict if what is queued could never start."""
        self._check(group)
        held = [name for name in (None, group) if name in self.table.paused]
        if held and any(v.state in QUEUED_STATES for v in self._open(group)):
            raise Conflict(
                f"{queue_name(held[0])} is paused, and runs are queued: resume it first"
            )
        for view in self._open(group):
            if view.stashed:
                raise Conflict(f"the run {view.run_id!r} is stashed: enqueue it first")
        drain = SetDrain(True, self.now(), group, self.table.shared_box)
        await self.recorder.record(drain)

    async def open_again(self) -> None:
        """Take new runs in again that the last life took none of. The daemon starts.

        Where several share the log a drain is everybody's, and stands; but not one of when it had one box.
        """
        held = self.table.draining.items()
        for group in [g for g, box in held if not (box and self.table.place.shared)]:
            await self.recorder.record(SetDrain(False, self.now(), group))

    async def _wait_drained(self, group: str | None) -> None:
        while group in self.table.draining and self._open(group):
            if self.table.stopping:
                raise ShuttingDown("the daemon stops; what is queued is kept")
            await self.table.bus.wait_published(None)

    def drained(self, group: str | None) -> str | None:
        """Why a new run of this group is refused now, if it is."""
        for name in (None, group):
            if name in self.table.draining:
                return drained_sentence(name)
        return None

    def _open(self, group: str | None) -> list[RunView]:
        views = self.table.views.values()
        return [v for v in views if group is None or v.group == group]

    def _check(self, group: str | None) -> None:
        groups = self.table.group_slots
        if group is not None and group not in groups:
            raise no_group(group, groups)


@dataclass(frozen=True, slots=True)
class LineControl:
    """Changes how runs wait in line, and what they are to do when they come out of it."""

    recorder: Recorder
    reader: Reader
    now: Callable[[], datetime]
    kinds: Mapping[str, Kind]

    async def rearrange(self, run_id: str, request: RearrangeRequest) -> None:
        """Another priority, place or moment. RunNotFound, Terminal; Conflict unless it is in line.

        A moment alone means that it is in line from now on. What is so already changes nothing.
        """
        now = self.now()
        moment = moment_of(request, now)
        stashed = False if moment is not None else request.stashed
        priority = None if request.priority is None else int(request.priority)
        await self.recorder.record(
            Rearrange(run_id, now, priority, request.move, stashed, moment)
        )

    async def edit(self, run_id: str, request: EditRequest) -> None:
        """Other inputs, before its first execution. RunNotFound, Refused, Terminal, Conflict."""
        row = await self.reader.store.run(run_id)
        if row is None:
            raise RunNotFound(f"there is no run {run_id!r}", run_id=run_id)
        if self.reader.is_open(run_id) and row.attempt:
            raise Conflict(f"the run {run_id!r} has begun already", run_id=run_id)
        check_whole(row.inputs)
        kind = self.kinds.get(row.kind)
        if kind is None:
            raise Refused("kind", f"{row.kind!r} is not installed any more")
        inputs = kind.parse(changed_inputs(row.inputs, request.inputs))
        encoded = encode_inputs(inputs)
        digest = digest_inputs(kind.name, encoded, inputs.manner)
        await self.recorder.record(
            Edit(run_id, self.now(), encoded, digest, inputs.shown())
        )


@dataclass(frozen=True, slots=True)
class Control:
    """Cancels runs, and takes what is said to them."""

    recorder: Recorder
    reader: Reader
    table: RunTable
    now: Callable[[], datetime]
    #: Seconds a waiting cancel may take before its receipt lists what is left.
    cancel_sla: float
    kinds: Mapping[str, Kind]

    async def dismiss(self, run_ids: Collection[str]) -> None:
        """Note that somebody has seen how these failed, for all boxes; others than failures are passed over."""
        seen = Dismiss(tuple(run_ids), self.now(), self.table.shared_box)
        await self.recorder.record(seen)

    async def cancel(
        self, run_id: str, reason: str, *, wait: bool = False
    ) -> CancelReceipt:
        """Cancel a run, or an id that is not seen yet; the receipt says what became of its tree.

        With `wait` it is given when the scopes of the run and of all below it have unwound and
        their processes are proven gone, or after the SLA with what is left. Twice, or after the
        end, changes nothing.
        """
        try:
            run_id = check_run_id(run_id)
        except ValueError as error:
            raise Refused("run_id", str(error)) from None
        requested_at, deadline = self.now(), trio.current_time() + self.cancel_sla
        execution = self.table.executions.get(run_id)
        if execution is not None and execution.cancel_requested is None:
            # At once, and not after a commit: a full recorder must not delay a cancel.
            execution.cancel(reason)
        outcome = await self._request(run_id, reason, requested_at, execution, deadline)
        if outcome == "tombstoned":
            return make_receipt(run_id, "tombstoned", requested_at, ())
        ends, box = await self._ends(run_id, wait=wait, deadline=deadline)
        if outcome == "already_terminal":
            return make_receipt(run_id, "already_terminal", requested_at, ends, box)
        return make_receipt(run_id, "cancelled", requested_at, ends, box)

    async def _ends(
        self, run_id: str, *, wait: bool, deadline: float
    ) -> tuple[list[RunEnd], str]:
        """How the run and all below it ended, and its box. The request is on record: no more of them are born.

        What ends while the store is read is told by its execution, which is kept hold of.
        """
        held = dict(self.table.executions)
        tree: list[TreeRun] | None = None
        with trio.move_on_at(deadline), suppress(StoreUnavailable):
            tree = await self.reader.store.tree(run_id)
        if tree is None:
            # Nobody can say what belongs to it, so nothing is proven gone.
            own = held.get(run_id)
            here = "" if own is None else self.table.host
            return [RunEnd(None), *([own.end()] if own is not None else [])], here
        ends = [
            end_of_row(run)
            if run.ended_at is not None
            else await self._end_elsewhere(run.run_id, wait, deadline)
            if run.run_id not in held and self.table.shared
            else await self._end_of(held.get(run.run_id), wait, deadline)
            for run in tree
        ]
        return ends, next((run.box for run in tree if run.run_id == run_id), "")

    async def _end_elsewhere(self, run_id: str, wait: bool, deadline: float) -> RunEnd:
        """The end of a run that another box executes: it is in the log, proof and all, or nothing is known."""
        with trio.move_on_at(deadline), suppress(StoreUnavailable):
            while wait and self.reader.is_open(run_id):
                await self.table.bus.wait_published(run_id)
            for run in await self.reader.store.tree(run_id):
                if run.run_id == run_id and run.ended_at is not None:
                    return end_of_row(run)
        # Who waited for so long is told what is known, which is nothing.
        return RunEnd(None, survivors="unknown" if wait else ())

    async def _end_of(
        self, execution: Execution | None, wait: bool, deadline: float
    ) -> RunEnd:
        """The end of an execution, or of the one that came after it."""
        if execution is None:
            return RunEnd(None)
        if not wait:
            return execution.end()
        with trio.move_on_at(deadline) as limit:
            await execution.concluded.wait()
            # A release on its way may have been followed by a new claim, before the request was
            # written. One that was abandoned stays in the table.
            while (
                newer := self.table.executions.get(execution.run_id, execution)
            ) is not execution:
                execution = newer
                await execution.concluded.wait()
        if limit.cancelled_caught:
            # Who waited for so long is told what is left, and not that nothing is known to be.
            return merge_ends([execution.end(), execution.left()])
        return execution.end()

    async def _request(
        self,
        run_id: str,
        reason: str,
        at: datetime,
        execution: Execution | None,
        deadline: float,
    ) -> str:
        """Record the request. The SLA bounds it: the scope is cancelled already."""
        outcome: CancelAnswer | None = None
        with trio.move_on_at(deadline):
            outcome = await self.recorder.record(RequestCancel(run_id, reason, at))
        if outcome is None:
            return "signalled"
        if outcome.outcome == "already_terminal" and execution is not None:
            row = await self.reader.store.run(run_id)
            if row is not None and row.state == CANCELLED:
                # It ended by our own cancel, before the request was written down.
                return "signalled"
        return outcome.outcome

    async def answer(self, run_id: str, name: str, answer: str, by: str) -> Recorded:
        """Answer a question, once. AskNotFound, AlreadyAnswered, Refused outside its choices."""
        outcome = await self.recorder.record(
            Answer(run_id, name, answer, by, self.now(), new_event_id())
        )
        return outcome.recorded[0]

    async def intervene(self, run_id: str, text: str) -> Recorded:
        """Say something to a run; its pipeline hears it at its next step. Terminal after the end."""
        return await self._append(run_id, InterventionReceived(text=text))

    async def wait_console(self, run_id: str) -> Console:
        """The console of the run's program, once that is there.

        RunNotFound; Refused for a run that takes no input; Terminal if it ends, or has ended.
        """
        await self._check_takes_input(run_id)
        while True:
            execution = self.table.executions.get(run_id)
            if execution is not None and execution.console is not None:
                return execution.console
            if not self.reader.is_open(run_id):
                why = f"the run {run_id!r} has ended and takes nothing any more"
                raise Terminal(why, run_id=run_id)
            if box := self._box_elsewhere(run_id):
                why = f"the run {run_id!r} executes on the box {box}: ask its daemon"
                raise Conflict(why, run_id=run_id, box=box)
            # A program's start is published after its console is there.
            await self.table.bus.wait_published(run_id)

    def _box_elsewhere(self, run_id: str) -> str:
        """The box that executes an open run, if it is another than this."""
        view = self.table.views[run_id]
        if view.state in QUEUED_STATES or self.table.executes_here(run_id):
            return ""
        return view.box

    async def _check_takes_input(self, run_id: str) -> None:
        row = await self.reader.store.run(run_id)
        if row is None:
            raise RunNotFound(f"there is no run {run_id!r}", run_id=run_id)
        check_whole(row.inputs)
        kind = self.kinds.get(row.kind)
        if (
            kind is None
            or not kind.inputs.model_validate_json(row.inputs).takes_input()
        ):
            why = f'the run {run_id!r} takes no input; `"stdin": "open"` lets one'
            raise Refused("run_id", why)

    async def report_bug(
        self, run_id: str, report: BugReportRequest
    ) -> tuple[Recorded, Judgement]:
        """Record a report with the verdict of the staleness rule."""
        view = self._open(run_id, await self.reader.view(run_id))
        verdict = judge(
            CodeMark(report.version, report.clock, report.code_hash),
            CodeMark(view.code_version, view.code_clock, view.code_hash),
        )
        event = BugReported(
            text=report.text,
            module=report.module,
            version=report.version,
            clock=report.clock,
            code_hash=report.code_hash,
            verdict=verdict.verdict,
        )
        return await self._append(run_id, event, clock=report.clock), verdict

    @staticmethod
    def _open(run_id: str, view: RunView) -> RunView:
        if view.ended:
            raise Terminal(f"the run {run_id!r} has ended: {view.state}", run_id=run_id)
        return view

    async def _append(
        self, run_id: str, event: Any, clock: Mapping[str, int] | None = None
    ) -> Recorded:
        made = new_event(run_id, event, now=self.now(), clock=clock)
        outcome = await self.recorder.record(Append((made,)))
        if not outcome.recorded:
            raise Conflict
        return outcome.recorded[0]
