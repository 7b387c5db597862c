"""What others did to the open runs since this daemon looked: read from where their facts begin.

Whatever changes a run records a fact of it, but for two columns: how many prerequisites are open, which the
ends of those tell of, and that a parked run wants its slot, which is the affair of who executes it. So the
facts above the head that was known say which runs to read anew, however long the line is. A commit that
did something else which no fact tells of says so (`Db.mark_untold`), and all is read anew.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from penstock.log.tables.db import Db
from penstock.log.tables.open_runs import OpenRuns, load_awaited
from penstock.log.tables.plans import WaitPlan
from penstock.log.tables.recent_ids import RecentIds
from penstock.log.tables.run_head import HEAD_COLUMNS, RunHead, heads_of
from penstock.words.events import DAEMON_STREAM
from penstock.words.lifecycle import OPEN_STATES, TERMINAL_STATES

#: Facts that are caught up with; beyond that it is no more work to read all runs that are open.
MOST_FACTS = 4096
#: Columns that may change without a fact of their run.
UNTOLD = frozenset({"open_prerequisites", "wants_slot"})

# What changes the table of pauses, in which what is drained stands as well.
_PAUSING = (
    "queue.paused", "queue.resumed", "queue.drained", "queue.opened", "box.drained", "box.resumed", "box.forgotten",
)  # fmt: skip

# One row for each run with a fact among those, and for each that waits for such a one. Both bounds are
# given: where only the lower one is, PostgreSQL takes the facts between them for a third of all. It has no
# `max` of bytes.
_TOLD = f"""
WITH told AS MATERIALIZED (
    SELECT run, max(CASE WHEN run = 0 AND type IN {_PAUSING} THEN 1 ELSE 0 END) AS paused
    FROM events WHERE position > ? AND position <= ? GROUP BY run
),
touched AS MATERIALIZED (
    SELECT run FROM told
    UNION SELECT prerequisites.run FROM told CROSS JOIN prerequisites ON prerequisite = told.run
)
SELECT told.run, EXISTS (SELECT 1 FROM asks WHERE asks.run = told.run AND asks.state = 'open'), paused,
    (SELECT event_id FROM events ORDER BY event_id DESC LIMIT 1), plans.run, turn, not_before, stashed, {HEAD_COLUMNS}
FROM touched LEFT JOIN told ON told.run = touched.run LEFT JOIN plans ON plans.run = told.run
    LEFT JOIN runs ON runs.key = touched.run /* one by one */
"""


@dataclass(slots=True)
class CaughtUp:
    """What the facts of others touched."""

    #: Keys of their runs; 0 is the daemon's own stream.
    keys: set[int] = field(default_factory=set)
    #: Whether the queue or a group was paused, or goes on.
    paused: bool = False
    #: Those that have an open question.
    asking: set[int] = field(default_factory=set)
    #: What `heads_of` takes: of them, and of runs that wait for one of them.
    rows: list[tuple[Any, ...]] = field(default_factory=list)
    plans: dict[int, WaitPlan] = field(default_factory=dict)
    #: The highest id that any fact has.
    highest: bytes = b""


def catch_up(
    db: Db,
    known: int,
    now: int,
    heads: dict[str, RunHead],
    open_runs: OpenRuns,
    ids: RecentIds,
    lost: set[str],
) -> CaughtUp:
    """Bring what is remembered, as of the head `known`, to what the tables have as of the head `now`."""
    told = _read(db, known, now)
    ids.pass_over(told.highest)
    open_runs.asking |= told.asking
    if 0 in told.keys:
        heads.pop(DAEMON_STREAM, None)
    touched = heads_of(told.rows, (*OPEN_STATES, *TERMINAL_STATES), lost)
    for run_id in lost & heads.keys():
        open_runs.lose(heads.pop(run_id))
    waits = False
    for head in touched:
        if (old := heads.pop(head.run_id, None)) is not None and not old.ended:
            open_runs.lose(old)
        if head.ended:
            open_runs.awaited.discard(head.key)
            continue
        _keep_plan(head, told, old)
        heads[head.run_id] = head
        open_runs.add(head)
        waits = waits or head.open_prerequisites > 0
    if waits:
        open_runs.awaited = load_awaited(db)
    return told


def _read(db: Db, known: int, now: int) -> CaughtUp:
    told = CaughtUp()
    if known == now:
        return told
    for run, asks, paused, highest, plan, turn, at, aside, *columns in db.execute(
        _TOLD, (known, now)
    ):
        told.highest = highest
        if run is not None:
            told.keys.add(run)
            told.paused = told.paused or bool(paused)
        if asks:
            told.asking.add(run)
        if plan is not None:
            told.plans[plan] = WaitPlan(turn, at, bool(aside))
        # The daemon's own stream is no run, and one that is gone has no row.
        if columns[0]:
            told.rows.append(tuple(columns))
    return told


def _keep_plan(head: RunHead, told: CaughtUp, old: RunHead | None) -> None:
    """How it waits in line, as it was read, or was."""
    if head.key not in told.keys and old is not None:
        # A dependant, of which its own facts tell nothing: its plan is as it was.
        head.plan, head.place = old.plan, old.place
    if (plan := told.plans.get(head.key)) is not None:
        head.plan, head.place = plan, plan.turn
