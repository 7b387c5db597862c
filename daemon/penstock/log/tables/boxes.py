"""The table of boxes, on a log that several daemons write: who is there, and who is not any more."""

from __future__ import annotations

from collections.abc import Sequence

from pydantic_core import from_json

from penstock.log.results import Appended
from penstock.log.tables.rows import BOX_OF
from penstock.log.tables.transaction import Transaction
from penstock.log.writes import ForgetBox, LoseBox
from penstock.words.errors import Conflict, NotFound
from penstock.words.events import BoxForgotten, BoxLost
from penstock.words.placement import pinned_to

#: Runs of a box that are told by name.
MOST_NAMED = 5


def lose_box(transaction: Transaction, write: LoseBox) -> Appended:
    """Note that a lease is over, once: whoever had it writes nothing more, and is spoken for."""
    now = transaction.db.clock()
    found = transaction.query(
        "SELECT seen FROM boxes WHERE box = ? AND life = ? AND state = 'here' AND until <= ?",
        (write.box, write.life, now),
    ).fetchone()
    if found is None:
        return Appended()
    transaction.writes += 1
    sql = "UPDATE boxes SET state = 'lost' WHERE box = ?"
    transaction.db.execute(sql, (write.box,))
    silent = max(0, now - found[0]) / 1e6
    event = BoxLost(
        box=write.box, life=write.life, silent_seconds=round(silent, 1), by=write.by
    )
    return Appended((transaction.make(transaction.daemon(), event, write.at),))


def forget_box(transaction: Transaction, write: ForgetBox) -> Appended:
    """Have nobody told of a box any more that is gone, with what was said of it alone. NotFound, Conflict."""
    box, now = write.box, transaction.db.clock()
    sql = "SELECT state, until FROM boxes WHERE box = ?"
    found = transaction.query(sql, (box,)).fetchone()
    if found is None:
        raise NotFound(f"there is no box {box!r}")
    state, until = found
    if state == "here" and until > now:
        raise Conflict(
            f"the box {box} has a lease, for {(until - now) / 1e6:.0f} s more unless it is renewed;"
            " `penstock shutdown` there gives it back"
        )
    if run_ids := _left_to(transaction, box):
        raise Conflict(
            f"{_in_words(run_ids)} could go on at the box {box} alone: `penstock cancel` ends them, and"
            " `penstock retry` with `--on box=NAME` or `--anywhere` has them executed elsewhere"
        )
    transaction.writes += 1
    transaction.db.execute("DELETE FROM boxes WHERE box = ?", (box,))
    for table in ("pauses", "slots"):
        sql = f"DELETE FROM {table} WHERE name = ?"
        transaction.db.execute(sql, (f"{BOX_OF}{box}",))
    transaction.paused.discard(f"{BOX_OF}{box}")
    event = BoxForgotten(box=box, by=write.by)
    return Appended((transaction.make(transaction.daemon(), event, write.at),))


def _left_to(transaction: Transaction, box: str) -> list[str]:
    """Open runs that execute there by the log's word, or may execute nowhere else."""
    rows = transaction.query(
        "SELECT run_id, needs, host, life FROM runs WHERE ended_at IS NULL AND key > 0 ORDER BY key"
    ).fetchall()
    return [
        run_id
        for run_id, needs, host, life in rows
        if (life is not None and host == box)
        or (needs is not None and pinned_to(from_json(needs)) == box)
    ]


def _in_words(run_ids: Sequence[str]) -> str:
    """As `the run a`, or `the runs a, b and 3 more`."""
    named = ", ".join(run_ids[:MOST_NAMED])
    more = len(run_ids) - MOST_NAMED
    some = f"{named} and {more} more" if more > 0 else named
    return f"the run{'s' if len(run_ids) > 1 else ''} {some}"
