"""Asking runs to give their slot to a more important one."""

from __future__ import annotations

from dataclasses import dataclass

from penstock.log.recorder import Recorder
from penstock.log.writes import RequestPreempt
from penstock.runs.queue import Preemption, choose_preemption
from penstock.runs.table import RunTable
from penstock.words.priority import may_preempt


@dataclass(eq=False, slots=True)
class Preemptor:
    """Looks after each commit. The request is a write, so that the log has the last word."""

    table: RunTable
    recorder: Recorder

    def look(self) -> None:
        """Ask for every interruption that the state of the queue calls for; never waits."""
        if not (self.table.claiming and self.table.moved):
            return
        self.table.moved = False
        while (found := self._find()) is not None:
            self.table.interrupting.add(found.victim)
            self.recorder.request(
                RequestPreempt(found.victim, found.by, self.table.now())
            )

    def _find(self) -> Preemption | None:
        if not self._worth_looking():
            return None
        queue = self.table.snapshot()
        return choose_preemption(
            queue.candidates, queue.slot_holders, queue.rules, queue.now
        )

    def _worth_looking(self) -> bool:
        """Whether anybody who waits is important enough for anybody who may be interrupted.

        Nearly always not.
        """
        table = self.table
        victims = [
            execution.row.priority
            for execution in table.executions.values()
            if execution.row.preemptible
        ]
        if not victims:
            return False
        waiting = [p for p, count in table.queue.queued_by_priority.items() if count]
        waiting += [table.views[run_id].priority for run_id in table.unparking]
        return bool(waiting) and may_preempt(min(waiting), max(victims))
