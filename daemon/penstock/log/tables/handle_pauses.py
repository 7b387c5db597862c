"""What starts nothing and takes nothing in: the queue, its groups, boxes; a line each in the table of pauses.

A transaction knows their names, so that no claim and no new run asks for them.
"""

from __future__ import annotations

from datetime import datetime

from penstock.log.results import Appended
from penstock.log.tables.rows import BOX_OF, DRAIN_OF, group_key, to_micros
from penstock.log.tables.transaction import Transaction
from penstock.log.writes import SetBox, SetDrain, SetPause
from penstock.words.errors import NotAvailable
from penstock.words.events import (
    BoxDrained,
    BoxResumed,
    QueueDrained,
    QueueOpened,
    QueuePaused,
    QueueResumed,
)
from penstock.words.recorded import Recorded
from penstock.words.sentences import drained_sentence


def check_drained(transaction: Transaction, group: str | None) -> None:
    """NotAvailable for a new run of what is drained, even if the daemon that asks has not heard of it yet."""
    for name in (None, group):
        if f"{DRAIN_OF}{group_key(name)}" in transaction.paused:
            raise NotAvailable(drained_sentence(name))


def set_pause(transaction: Transaction, write: SetPause) -> Appended:
    """Pause the queue or one group, or resume and open it; what is so already is no new fact."""
    name, facts = group_key(write.group), list[Recorded]()
    if write.paused and name not in transaction.paused:
        _hold(transaction, name, write.reason, write.at)
        paused = QueuePaused(group=write.group, reason=write.reason)
        facts.append(transaction.make(transaction.daemon(), paused, write.at))
    elif not write.paused and name in transaction.paused:
        _let_go(transaction, name)
        resumed = QueueResumed(group=write.group)
        facts.append(transaction.make(transaction.daemon(), resumed, write.at))
    if not write.paused:
        opened = set_drain(transaction, SetDrain(False, write.at, write.group))
        facts += opened.recorded
    return Appended(tuple(facts))


def set_drain(transaction: Transaction, write: SetDrain) -> Appended:
    """Have the queue or one group take no new runs, or open it; what is so already is no new fact."""
    name = f"{DRAIN_OF}{group_key(write.group)}"
    event: QueueDrained | QueueOpened
    if write.draining:
        event = QueueDrained(group=write.group, box=write.box)
    else:
        event = QueueOpened(group=write.group)
    return _set(transaction, name, write, write.box, event)


def set_box(transaction: Transaction, write: SetBox) -> Appended:
    """Drain or resume a box; what is so already is no new fact."""
    event = BoxDrained(box=write.box) if write.draining else BoxResumed(box=write.box)
    return _set(transaction, f"{BOX_OF}{write.box}", write, "", event)


def _set(
    transaction: Transaction,
    name: str,
    write: SetDrain | SetBox,
    reason: str,
    event: QueueDrained | QueueOpened | BoxDrained | BoxResumed,
) -> Appended:
    if (name in transaction.paused) == write.draining:
        return Appended()
    if write.draining:
        _hold(transaction, name, reason, write.at)
    else:
        _let_go(transaction, name)
    return Appended((transaction.make(transaction.daemon(), event, write.at),))


def _hold(transaction: Transaction, name: str, reason: str, at: datetime) -> None:
    """Have a line in the table of pauses."""
    transaction.writes += 1
    sql = "INSERT INTO pauses (name, reason, at) VALUES (?, ?, ?)"
    transaction.db.execute(sql, (name, reason, to_micros(at)))
    transaction.paused.add(name)


def _let_go(transaction: Transaction, name: str) -> None:
    """Have it there no more."""
    transaction.writes += 1
    transaction.db.execute("DELETE FROM pauses WHERE name = ?", (name,))
    transaction.paused.discard(name)
