"""The questions of runs, as they are put, answered once, and closed with their run."""

from __future__ import annotations

from datetime import datetime

from pydantic_core import from_json

from penstock.log.new_events import NewEvent
from penstock.log.tables.rows import to_json, to_micros
from penstock.log.tables.run_head import RunHead
from penstock.log.tables.transaction import Transaction
from penstock.log.writes import Answer
from penstock.words.errors import AlreadyAnswered, AskNotFound, Conflict, Refused
from penstock.words.events import AskRaised, AskWithdrawn, parse_event
from penstock.words.lifecycle import PARKED_STATES
from penstock.words.wait_reason import OWN_ASKS, Waiting, read_reason


def check_ask(
    transaction: Transaction, head: RunHead, new_event: NewEvent
) -> AskRaised:
    """The question in a new event; Conflict if the run asked it before, Refused for a name of ours."""
    ask = parse_event(from_json(new_event.body))
    if not isinstance(ask, AskRaised):
        raise Refused("event", "is no valid ask.raised")
    if ask.name.startswith(OWN_ASKS):
        raise Refused(
            "name", f"{OWN_ASKS!r} begins the names of the daemon's questions"
        )
    sql = "SELECT 1 FROM asks WHERE run = ? AND name = ?"
    if transaction.db.execute(sql, (head.key, ask.name)).fetchone():
        raise Conflict(f"the run has asked {ask.name!r} before", run_id=head.run_id)
    return ask


_OPEN = (
    "INSERT INTO asks (run, name, question, choices, default_answer, expires_at, state, answer,"
    " answered_by, raised_at) VALUES (?, ?, ?, ?, ?, ?, 'open', NULL, NULL, ?)"
    " ON CONFLICT (run, name) DO UPDATE SET question = excluded.question,"
    " choices = excluded.choices, default_answer = excluded.default_answer,"
    " expires_at = excluded.expires_at, state = 'open', answer = NULL, answered_by = NULL,"
    " raised_at = excluded.raised_at"
)


def open_ask(
    transaction: Transaction, head: RunHead, ask: AskRaised, at: datetime
) -> None:
    """Open the question; one asked anew after each restart replaces its answered self."""
    expires = to_micros(ask.expires_at) if ask.expires_at else None
    transaction.writes += 1
    transaction.open.asking.add(head.key)
    transaction.db.execute(
        _OPEN,
        (
            head.key,
            ask.name,
            ask.question,
            to_json(ask.choices),
            ask.default,
            expires,
            to_micros(at),
        ),
    )


def check_answer(transaction: Transaction, head: RunHead, write: Answer) -> None:
    """AskNotFound, AlreadyAnswered, or Refused for an answer outside the choices."""
    sql = "SELECT state, choices FROM asks WHERE run = ? AND name = ?"
    found = transaction.db.execute(sql, (head.key, write.name)).fetchone()
    if found is None:
        raise AskNotFound(
            f"the run {write.run_id} has asked nothing named {write.name!r}"
        )
    if found[0] == "withdrawn":
        why = f"the run {write.run_id} took its question {write.name!r} back"
        raise AlreadyAnswered(why, run_id=write.run_id, name=write.name)
    if found[0] != "open":
        raise AlreadyAnswered(run_id=write.run_id, name=write.name)
    choices = from_json(found[1])
    if choices and write.answer not in choices:
        raise Refused("answer", f"must be one of {', '.join(choices)}", choices=choices)


def decides_restart(transaction: Transaction, head: RunHead, name: str) -> bool:
    """Whether this question is the daemon's own, about a run that nobody executes."""
    if head.executing or head.state not in PARKED_STATES:
        return False
    sql = "SELECT reason FROM runs WHERE key = ?"
    (reason,) = transaction.query(sql, (head.key,)).fetchone()
    return read_reason(reason) == Waiting("restart", name)


def save_answer(transaction: Transaction, head: RunHead, write: Answer) -> None:
    """Keep the one answer."""
    transaction.writes += 1
    transaction.db.execute(
        "UPDATE asks SET state = 'answered', answer = ?, answered_by = ? WHERE run = ? AND name = ?",
        (write.answer, write.by, head.key, write.name),
    )


def check_withdrawal(
    transaction: Transaction, head: RunHead, new_event: NewEvent
) -> AskWithdrawn:
    """The question that a new event takes back; AskNotFound, or AlreadyAnswered if it is not open."""
    withdrawn = parse_event(from_json(new_event.body))
    if not isinstance(withdrawn, AskWithdrawn):
        raise Refused("event", "is no valid ask.withdrawn")
    sql = "SELECT state FROM asks WHERE run = ? AND name = ?"
    found = transaction.db.execute(sql, (head.key, withdrawn.name)).fetchone()
    # The daemon's own questions are its own to end.
    if found is None or withdrawn.name.startswith(OWN_ASKS):
        raise AskNotFound(f"the run has asked nothing named {withdrawn.name!r}")
    if found[0] != "open":
        raise AlreadyAnswered(run_id=head.run_id, name=withdrawn.name)
    return withdrawn


def withdraw_ask(
    transaction: Transaction, head: RunHead, withdrawn: AskWithdrawn
) -> None:
    """From now on it takes no answer."""
    transaction.writes += 1
    sql = "UPDATE asks SET state = 'withdrawn' WHERE run = ? AND name = ?"
    transaction.db.execute(sql, (head.key, withdrawn.name))


def close_asks(transaction: Transaction, head: RunHead) -> None:
    """Nobody needs an answer any more; most runs have asked nothing."""
    if head.key not in transaction.open.asking:
        return
    transaction.open.asking.discard(head.key)
    sql = "UPDATE asks SET state = 'closed' WHERE run = ? AND state = 'open'"
    transaction.db.execute(sql, (head.key,))
