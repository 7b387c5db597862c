"""What others did to the open runs since this daemon looked: read from where their facts begin.

Whatever changes a run records a fact of it, but for two columns: how many prerequisites are open, which the
ends of those tell of, and that a parked run wants its slot, which is the affair of who executes it. So the
facts above the head that was known say which runs to read anew, however long the line is. A commit that
did something else which no fact tells of says so (`Db.mark_untold`), and all is read anew.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from penstock.log.tables.db import Db
from penstock.log.tables.open_runs import OpenRuns, load_awaited
from penstock.log.tables.plans import TOUCHED_PLANS, plans_of
from penstock.log.tables.recent_ids import RecentIds
from penstock.log.tables.run_head import TOUCHED_RUNS, RunHead, heads_of
from penstock.words.events import DAEMON_STREAM
from penstock.words.lifecycle import OPEN_STATES, TERMINAL_STATES

#: Facts that are caught up with; beyond that it is no more work to read all runs that are open.
MOST_FACTS = 4096
#: Columns that may change without a fact of their run.
UNTOLD = frozenset({"open_prerequisites", "wants_slot"})

# What changes the table of pauses, in which boxes that are drained stand as well.
_PAUSING = frozenset(
    {"queue.paused", "queue.resumed", "box.drained", "box.resumed", "box.forgotten"}
)

_TOLD = "SELECT event_id, position, run, type FROM events WHERE position > ?"


@dataclass(slots=True)
class CaughtUp:
    """What the facts of others touched."""

    #: Keys of their runs; 0 is the daemon's own stream.
    keys: set[int] = field(default_factory=set)
    #: Whether the queue or a group was paused, or goes on.
    paused: bool = False


def catch_up(
    db: Db,
    known: int,
    heads: dict[str, RunHead],
    open_runs: OpenRuns,
    ids: RecentIds,
    lost: set[str],
) -> CaughtUp:
    """Bring what is remembered, as of the head `known`, to what the tables have."""
    told = CaughtUp()
    facts, runs, rows = db.ask_together(
        [(_TOLD, (known,)), (TOUCHED_RUNS, (known, known)), (TOUCHED_PLANS, (known,))]
    )
    for event_id, position, key, type_ in facts:
        ids.add(event_id, position)
        told.keys.add(key)
        if type_ == "ask.raised":
            open_runs.asking.add(key)
        elif type_ in _PAUSING:
            told.paused = True
    if 0 in told.keys:
        heads.pop(DAEMON_STREAM, None)
    touched = heads_of(runs, (*OPEN_STATES, *TERMINAL_STATES), lost)
    plans = plans_of(rows)
    for run_id in lost & heads.keys():
        open_runs.lose(heads.pop(run_id))
    waits = False
    for head in touched:
        if (old := heads.pop(head.run_id, None)) is not None and not old.ended:
            open_runs.lose(old)
        if head.ended:
            open_runs.awaited.discard(head.key)
            continue
        if head.key not in told.keys and old is not None:
            # A dependant, of which its own facts tell nothing: its plan is as it was.
            head.plan, head.place = old.plan, old.place
        if (plan := plans.get(head.key)) is not None:
            head.plan, head.place = plan, plan.turn
        heads[head.run_id] = head
        open_runs.add(head)
        waits = waits or head.open_prerequisites > 0
    if waits:
        open_runs.awaited = load_awaited(db)
    return told
