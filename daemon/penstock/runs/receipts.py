"""The one maker of receipts: what is proven of the end of a whole tree of runs.

Values in, values out. A receipt never claims more than the weakest of the proofs that it joins.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from penstock.log.kept import RunRow, TreeRun
from penstock.processes.process import Proof
from penstock.words.api import CancelReceipt
from penstock.words.events import ProcessStarted

Method = Literal["cgroup", "subreaper", "session", "lease", "none"]
Survivors = tuple[int, ...] | Literal["unknown"]
#: Whether a model server works no more on a request that was cut off.
ModelSlot = Literal["free", "busy"]

#: Ways to contain processes, the weakest first.
_WEAKEST_FIRST: tuple[Method, ...] = ("lease", "session", "subreaper", "cgroup")


@dataclass(frozen=True, slots=True)
class RunEnd:
    """What is known of the end of one run, or of several together."""

    #: When it was over; None while it is not.
    over_at: datetime | None
    method: Method = "none"
    pids: tuple[int, ...] = ()
    #: "unknown": the one who could tell has died too.
    survivors: Survivors = ()
    #: Of requests to models that were cut off; None: there was none, or nobody tells.
    model_slot: ModelSlot | None = None

    @property
    def leaves_nothing(self) -> bool:
        """Whether it is proven that nothing is left."""
        return self.survivors == ()

    def to_json(self) -> dict[str, Any]:
        """What a terminal event keeps of it."""
        left = self.survivors if self.survivors == "unknown" else list(self.survivors)
        told = {"method": self.method, "pids": list(self.pids), "survivors": left}
        return (
            told if self.model_slot is None else {**told, "model_slot": self.model_slot}
        )


def merge_ends(ends: Iterable[RunEnd]) -> RunEnd:
    """Several ends as one: over when the last is; one unknown makes the whole unknown."""
    ends = list(ends)
    # Every run that had no program comes here twice.
    if len(ends) == 1:
        return ends[0]
    times = [end.over_at for end in ends]
    known = [at for at in times if at is not None]
    methods = {end.method for end in ends}
    return RunEnd(
        over_at=max(known) if known and len(known) == len(times) else None,
        method=next((way for way in _WEAKEST_FIRST if way in methods), "none"),
        pids=tuple(dict.fromkeys(pid for end in ends for pid in end.pids)),
        survivors=_merge_survivors([end.survivors for end in ends]),
        model_slot=worst_slot(end.model_slot for end in ends),
    )


def worst_slot(slots: Iterable[ModelSlot | None]) -> ModelSlot | None:
    """Several slots as one: busy if any is."""
    known = set(slots)
    return "busy" if "busy" in known else "free" if "free" in known else None


def _merge_survivors(found: Sequence[Survivors]) -> Survivors:
    pids: dict[int, None] = {}
    for survivors in found:
        if survivors == "unknown":
            return "unknown"
        pids.update(dict.fromkeys(survivors))
    return tuple(pids)


def end_of_proofs(proofs: Iterable[Proof], over_at: datetime | None) -> RunEnd:
    """The end of an execution with these proofs of its processes."""
    ends = [
        RunEnd(over_at, proof.method, proof.pids, proof.survivors) for proof in proofs
    ]
    return merge_ends([RunEnd(over_at), *ends])


def receipt_by_lease(
    row: RunRow, processes: Sequence[ProcessStarted]
) -> dict[str, Any]:
    """What an execution on a box that was lost keeps: what keeps its processes ends them before the lease does."""
    pids = tuple(process.pid for process in processes)
    ended = RunEnd(None, "lease", pids)
    return merge_ends([ended, *ends_before(row, None)]).to_json()


def receipt_after(
    row: RunRow, processes: Sequence[ProcessStarted], gone: Collection[ProcessStarted]
) -> dict[str, Any] | None:
    """What an execution that a crash cut off keeps of the processes that were left; None without any.

    Those that are `gone` are proven to be: somebody waited for them. What is looked for and not found
    may only be hidden, so it is no proof.
    """
    ends = [
        RunEnd(None, p.method, (p.pid,), () if p in gone else "unknown")
        for p in processes
    ]
    ends += ends_before(row, None)
    return merge_ends(ends).to_json() if ends else None


def ends_before(row: RunRow, over_at: datetime | None) -> list[RunEnd]:
    """What earlier executions of an open run may have left, as if it was over when it says.

    One that was preempted, or that a crash cut off, is over; what was not proven gone then is no
    more proven by the end of the next one.
    """
    kept = (row.outcome or {}).get("left")
    return [] if kept is None else [_end_of_json(kept, over_at)]


def end_of_row(run: TreeRun) -> RunEnd:
    """The end of a run as the store has it."""
    return _end_of_json(run.receipt or {}, run.ended_at)


def _end_of_json(kept: Mapping[str, Any], over_at: datetime | None) -> RunEnd:
    survivors = kept.get("survivors", ())
    return RunEnd(
        over_at=over_at,
        method=kept.get("method", "none"),
        pids=tuple(kept.get("pids", ())),
        survivors="unknown" if survivors == "unknown" else tuple(survivors),
        model_slot=kept.get("model_slot"),
    )


def make_receipt(
    run_id: str,
    outcome: Literal["cancelled", "already_terminal", "tombstoned"],
    requested_at: datetime,
    ends: Iterable[RunEnd],
    box: str = "",
) -> CancelReceipt:
    """The receipt for a run whose tree came to these ends; none of them for an id that is unknown.

    `box` executed the run itself.
    """
    end = merge_ends(ends)
    return CancelReceipt(
        run_id=run_id,
        outcome=outcome,
        requested_at=requested_at,
        gone_at=end.over_at if end.leaves_nothing else None,
        method=end.method,
        pids=end.pids,
        survivors=end.survivors,
        box=box,
        model_slot=end.model_slot,
    )
