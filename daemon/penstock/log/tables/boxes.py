"""The table of boxes, on a log that several daemons write: who is there, and who is not any more."""

from __future__ import annotations

from penstock.log.tables.transaction import Transaction
from penstock.log.writes import Appended, LoseBox
from penstock.words.events import BoxLost


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
