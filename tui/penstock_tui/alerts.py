"""Which facts a person should notice, and in which words."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from penstock.words import events as e
from penstock.words.recorded import Recorded
from penstock.words.sentences import sentence_of
from penstock_tui.wording import plain

#: How loud each of them is; no other fact is an alert.
_TONES: Mapping[str, str] = {
    "box.lost": "error",
    "box.forgotten": "dim",
    "box.drained": "warning",
    "box.resumed": "success",
    "backpressure.raised": "warning",
    "backpressure.cleared": "success",
    "subscriber.lagged": "error",
    "ask.raised": "warning",
    "run.failed": "error",
    "queue.paused": "warning",
    "queue.resumed": "success",
    "queue.drained": "warning",
    "queue.opened": "success",
    "daemon.started": "dim",
    "daemon.stopping": "warning",
    "log.truncated": "dim",
}


@dataclass(frozen=True, slots=True)
class Alert:
    """One line of the alerts panel; `tone` is error, warning, success or dim."""

    at: datetime
    text: str
    tone: str
    run_id: str | None = None


def alert_of(fact: Recorded) -> Alert | None:
    """The alert a fact deserves, if any. Only these types are parsed."""
    tone = _TONES.get(fact.type)
    if tone is None or isinstance(event := fact.event, e.UnknownEvent):
        return None
    said = sentence_of(fact) or ""
    run_id = None if fact.run_id == e.DAEMON_STREAM else fact.run_id
    if isinstance(event, e.BackpressureRaised) and event.level == "critical":
        tone = "error"
    elif isinstance(event, e.AskRaised):
        # There is a key for it here; the question's name is for who answers without one.
        said = f"{run_id} asks: {event.question}  (a to answer)"
    elif isinstance(event, e.LogTruncated):
        said = f"{run_id}: {said}"
    elif run_id is not None:
        said = f"{run_id} {said}"
    return Alert(fact.at, plain(said), tone, run_id)
