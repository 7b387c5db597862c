"""Boot repair: what becomes of the runs that the last life of the daemon left executing.

It runs before anything is accepted or claimed. Every run found running or waiting under another
life is released or ended, under the fence of the owner it had, so that repair uses the same
decisions as everybody else. Of other boxes it takes only what they have no valid lease for, and so does
who takes over later; whoever else does the same is refused by that fence.
"""

from __future__ import annotations

from collections.abc import (
    Awaitable,
    Callable,
    Collection,
    Iterable,
    Mapping,
    Sequence,
)
from dataclasses import dataclass, field
from datetime import datetime
from itertools import chain
from typing import Any, Literal, cast

import trio

from penstock.log.kept import RunRow
from penstock.log.new_events import new_event
from penstock.log.projections import RunView
from penstock.log.recorder import Recorder
from penstock.log.results import Concluded
from penstock.log.store import Store
from penstock.log.writes import Complete, Release, RequestCancel, Write
from penstock.runs.receipts import receipt_after, receipt_by_lease
from penstock.words.errors import Fenced, StoreUnavailable, Terminal
from penstock.words.events import TERMINAL_TYPES, ProcessStarted
from penstock.words.lifecycle import EXECUTING_STATES, Ending, OnRestart, conclude

Verdict = Literal["cancel", "crashed", "requeue", "fail", "ask", "leave"]

#: Ends processes of a previous life: given their facts and the run ids, tells the pids ended.
EndOrphans = Callable[
    [Iterable[ProcessStarted], Collection[str]], Awaitable[Sequence[int]]
]


#: Which of these processes are proven to be gone, with all that came of them.
ProvenGone = Callable[
    [Collection[ProcessStarted]], Awaitable[frozenset[ProcessStarted]]
]


async def none_proven(
    _started: Collection[ProcessStarted],
) -> frozenset[ProcessStarted]:
    """Nobody could wait for them."""
    await trio.lowlevel.checkpoint()
    return frozenset()


async def none_ended(
    _started: Iterable[ProcessStarted], _run_ids: Collection[str]
) -> Sequence[int]:
    """None of them is on this box."""
    await trio.lowlevel.checkpoint()
    return ()


@dataclass(slots=True)
class Repaired:
    """What boot repair did, as `daemon.started` tells it: run ids, and pids ended."""

    requeued: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    cancelled: list[str] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)
    ended_pids: list[int] = field(default_factory=list)
    #: Why a run of a box that was lost is left as it is; who looks again tries it again.
    left: StoreUnavailable | None = None


def verdict_on(
    row: RunRow, life: str, max_attempts: int, *, crashes: int = 0
) -> Verdict:
    """What becomes of one open run (design, law 5), which crashes have cut off before."""
    if row.state not in EXECUTING_STATES or row.life is None or row.life == life:
        return "leave"
    if row.cancel_requested is not None:
        return "cancel"
    if row.on_restart == "requeue" and crashes + 1 >= max_attempts:
        return "crashed"
    return row.on_restart


async def repair(
    rows: Collection[RunRow],
    views: Mapping[str, RunView],
    *,
    store: Store,
    recorder: Recorder,
    life: str,
    max_attempts: int,
    now: Callable[[], datetime],
    end_orphans: EndOrphans,
    proven_gone: ProvenGone = none_proven,
    by_lease: Collection[str] = (),
) -> Repaired:
    """End the processes of the previous life, then give every interrupted run what it gets.

    Runs `by_lease` are those of boxes that were lost, whose processes are none of this box. What a server
    that answers does not take of one of them holds up nothing else.
    """
    done = Repaired()
    crashes = {row.run_id: views[row.run_id].crashes for row in rows}
    verdicts = [
        (row, verdict_on(row, life, max_attempts, crashes=crashes[row.run_id]))
        for row in rows
    ]
    broken = [(row, verdict) for row, verdict in verdicts if verdict != "leave"]
    if not broken:
        return done
    started = {row.run_id: await processes_of(store, row) for row, _ in broken}
    here = [run_id for run_id in started if run_id not in by_lease]
    every = list(chain.from_iterable(started[run_id] for run_id in here))
    if here:
        done.ended_pids.extend(await end_orphans(every, here))
    gone = await proven_gone(every) if every else frozenset[ProcessStarted]()
    for row, verdict in broken:
        programs, times = started[row.run_id], crashes[row.run_id] + 1
        lost = row.run_id in by_lease
        if lost:
            receipt: dict[str, Any] | None = receipt_by_lease(row, programs)
        else:
            receipt = receipt_after(row, programs, gone)
        decision = _decision(row, verdict, now(), receipt, times)
        if await _record(recorder, decision, done, lost=lost):
            _told_as(done, verdict).append(row.run_id)
    return done


async def _record(
    recorder: Recorder, decision: Complete | Release, done: Repaired, *, lost: bool
) -> bool:
    """Whether that came of it: of a box that was lost, what a server that answers does not take is left."""
    try:
        await recorder.record(decision, apart=lost)
    except (Fenced, Terminal):
        # Another daemon was there before us.
        return False
    except StoreUnavailable as error:
        if not lost or not error.facts.get("code"):
            raise
        done.left = error
        return False
    return True


async def end_all(
    store: Store,
    *,
    now: Callable[[], datetime],
    end_orphans: EndOrphans,
    proven_gone: ProvenGone = none_proven,
) -> None:
    """End whatever is open in a log that no daemon will go on with, by the rules of boot repair.

    The caller keeps daemons away. Nothing waits for a life to come: what boot repair would repeat
    or ask about fails, and what never began is cancelled.
    """
    rows = await store.open_runs()
    if not rows:
        return
    held = [row for row in rows if row.life is not None]
    started = {row.run_id: await processes_of(store, row) for row in held}
    every = list(chain.from_iterable(started.values()))
    await end_orphans(every, [row.run_id for row in rows])
    gone = await proven_gone(every) if every else frozenset[ProcessStarted]()
    at = now()
    ends: list[Write[Concluded]] = [
        _decision(
            row,
            "fail" if row.cancel_requested is None else "cancel",
            at,
            receipt_after(row, started[row.run_id], gone),
        )
        for row in held
    ]
    await store.commit(
        [*ends, RequestCancel("", "its daemon is gone", at, all_open=True)]
    )


async def processes_of(store: Store, row: RunRow) -> list[ProcessStarted]:
    """The run's programs that were not seen to end."""
    wanted = frozenset({"process.started", "process.exited"})
    running: dict[int, ProcessStarted] = {}
    after = 0
    while facts := await store.read(row.run_id, after, types=wanted):
        after = facts[-1].position
        for fact in facts:
            event: Any = fact.event
            if isinstance(event, ProcessStarted):
                running[event.pid] = event
            elif fact.type == "process.exited":
                running.pop(getattr(event, "pid", 0), None)
    return list(running.values())


def _decision(
    row: RunRow,
    verdict: Verdict,
    now: datetime,
    receipt: dict[str, Any] | None,
    crashes: int = 1,
) -> Complete | Release:
    on_restart = "fail" if verdict in {"cancel", "crashed"} else verdict
    ending = Ending(
        cancel_requested=row.cancel_requested,
        crashed=cast("OnRestart", on_restart),
        crashes=crashes if verdict == "crashed" else 1,
        receipt=receipt,
    )
    made = new_event(row.run_id, conclude(ending), now=now)
    if made.type in TERMINAL_TYPES:
        return Complete(row.fence, made, receipt=receipt)
    return Release(row.fence, made, receipt=receipt)


def _told_as(done: Repaired, verdict: Verdict) -> list[str]:
    return {
        "requeue": done.requeued,
        "ask": done.asked,
        "cancel": done.cancelled,
    }.get(verdict, done.failed)
