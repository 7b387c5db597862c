"""The durable questions of runs, as tables keep them."""

from __future__ import annotations

from datetime import datetime

from pydantic_core import from_json

from penstock.record.decisions import Answer
from penstock.record.drafts import Draft
from penstock.record.entry import Entry
from penstock.record.ledger import Ledger
from penstock.record.rows import to_json, to_micros
from penstock.words.errors import AlreadyAnswered, AskNotFound, Conflict, Refused
from penstock.words.events import AskRaised, parse_event


def check_ask(ledger: Ledger, entry: Entry, draft: Draft) -> AskRaised:
    """The question in a draft; Conflict if the run asked it before."""
    ask = parse_event(from_json(draft.body))
    if not isinstance(ask, AskRaised):
        raise Refused("event", "is no valid ask.raised")
    sql = "SELECT 1 FROM asks WHERE run = ? AND name = ?"
    if ledger.db.execute(sql, (entry.key, ask.name)).fetchone():
        raise Conflict(f"the run has asked {ask.name!r} before", run_id=entry.run_id)
    return ask


def open_ask(ledger: Ledger, entry: Entry, ask: AskRaised, at: datetime) -> None:
    """Open the question; one asked anew after each restart replaces its answered self."""
    expires = to_micros(ask.expires_at) if ask.expires_at else None
    ledger.writes += 1
    ledger.db.execute(
        "INSERT OR REPLACE INTO asks VALUES (?, ?, ?, ?, ?, ?, 'open', NULL, NULL, ?)",
        (
            entry.key,
            ask.name,
            ask.question,
            to_json(ask.choices),
            ask.default,
            expires,
            to_micros(at),
        ),
    )


def check_answer(ledger: Ledger, entry: Entry, d: Answer) -> None:
    """AskNotFound, AlreadyAnswered, or Refused for an answer outside the choices."""
    sql = "SELECT state, choices FROM asks WHERE run = ? AND name = ?"
    found = ledger.db.execute(sql, (entry.key, d.name)).fetchone()
    if found is None:
        raise AskNotFound(f"the run {d.run_id} has asked nothing named {d.name!r}")
    if found[0] != "open":
        raise AlreadyAnswered(run_id=d.run_id, name=d.name)
    choices = from_json(found[1])
    if choices and d.answer not in choices:
        raise Refused("answer", f"must be one of {', '.join(choices)}", choices=choices)


def save_answer(ledger: Ledger, entry: Entry, d: Answer) -> None:
    """Keep the one answer."""
    ledger.writes += 1
    ledger.db.execute(
        "UPDATE asks SET state = 'answered', answer = ?, answered_by = ? WHERE run = ? AND name = ?",
        (d.answer, d.by, entry.key, d.name),
    )


def close_asks(ledger: Ledger, entry: Entry) -> None:
    """Nobody needs an answer any more."""
    sql = "UPDATE asks SET state = 'closed' WHERE run = ? AND state = 'open'"
    ledger.db.execute(sql, (entry.key,))
