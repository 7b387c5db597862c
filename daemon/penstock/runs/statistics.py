"""How full the queue, the slots and the admission are: one snapshot for every surface."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from typing import Any

from penstock.runs.submit import Admission
from penstock.runs.table import RunTable
from penstock.words.lifecycle import QUEUED_STATES, SLOT_STATES
from penstock.words.priority import Priority


@dataclass(frozen=True, slots=True)
class QueueStatistics:
    """A snapshot; reading it waits for nothing."""

    queued: int
    capacity: int
    queued_by_priority: dict[str, int]
    running: int
    slots: int
    parked: int
    waiting_submits: int
    late_outcomes: int
    open_runs: int
    #: What is paused and why; a group of None is the whole queue.
    paused: tuple[dict[str, str | None], ...] = ()
    #: What is drained.
    draining: tuple[str | None, ...] = ()
    #: By configured group: its slots, how many runs execute in it, how many queue.
    groups: dict[str, dict[str, int]] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def take_statistics(
    table: RunTable, admission: Admission, draining: Iterable[str | None]
) -> QueueStatistics:
    """The snapshot of now."""
    queue = table.queue
    return QueueStatistics(
        queued=queue.queued,
        capacity=admission.capacity,
        queued_by_priority={p.name: queue.queued_by_priority[p] for p in Priority},
        running=queue.running,
        slots=table.slots,
        parked=queue.waiting,
        waiting_submits=admission.waiting,
        late_outcomes=table.late_outcomes,
        open_runs=len(table.views),
        paused=tuple(
            {"group": group, "reason": reason} for group, reason in table.paused.items()
        ),
        draining=tuple(draining),
        groups=_count_groups(table),
    )


def _count_groups(table: RunTable) -> dict[str, dict[str, int]]:
    groups = {
        name: {"slots": slots, "running": 0, "queued": 0}
        for name, slots in table.group_slots.items()
    }
    if groups:
        for view in table.views.values():
            counts = groups.get(view.group or "")
            if counts is not None and view.state in SLOT_STATES:
                counts["running"] += 1
            elif counts is not None and view.state in QUEUED_STATES:
                counts["queued"] += 1
    return groups
