"""Which facts a person should notice, and in which words."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from penstock.words import events as e
from penstock.words.recorded import Recorded
from penstock_tui.wording import plain


@dataclass(frozen=True, slots=True)
class Alert:
    """One line of the alerts panel; `tone` is error, warning, success or dim."""

    at: datetime
    text: str
    tone: str
    run_id: str | None = None


def alert_of(fact: Recorded) -> Alert | None:
    """The alert a fact deserves, if any. Only these types are parsed."""
    if fact.type not in _TYPES:
        return None
    said = _words(fact.run_id, fact.event)
    if said is None:
        return None
    run_id = None if fact.run_id == e.DAEMON_STREAM else fact.run_id
    return Alert(fact.at, plain(said[0]), said[1], run_id)


_TYPES = frozenset({
    "backpressure.raised", "backpressure.cleared", "subscriber.lagged", "ask.raised", "run.failed",
    "queue.paused", "queue.resumed", "daemon.started", "daemon.stopping", "log.truncated",
})  # fmt: skip


def _words(run_id: str, event: e.AnyEvent) -> tuple[str, str] | None:
    match event:
        case e.BackpressureRaised(level="critical"):
            return f"{event.gauge} full: {event.used}/{event.capacity}", "error"
        case e.BackpressureRaised():
            return f"{event.gauge} {event.used}/{event.capacity}, above 80 %", "warning"
        case e.BackpressureCleared():
            return f"{event.gauge} back at {event.used}/{event.capacity}", "success"
        case e.SubscriberLagged():
            return f"client {event.subscriber} dropped {event.dropped} events", "error"
        case e.AskRaised():
            return f"{run_id} asks: {event.question}  (a to answer)", "warning"
        case e.RunFailed():
            return f"{run_id} failed: {event.error or event.reason}", "error"
        case e.LogTruncated():
            return (
                f"{run_id}: output too long, {event.dropped_bytes} bytes not kept",
                "dim",
            )
        case _:
            return _daemon_words(event)


def _daemon_words(event: e.AnyEvent) -> tuple[str, str] | None:
    match event:
        case e.QueuePaused():
            return f"{_queue(event.group)} paused {event.reason}".rstrip(), "warning"
        case e.QueueResumed():
            return f"{_queue(event.group)} resumed", "success"
        case e.DaemonStopping():
            return f"daemon stops {event.reason}".rstrip(), "warning"
        case e.DaemonStarted():
            found = {
                "requeued": event.requeued,
                "failed": event.failed,
                "cancelled": event.cancelled,
                "asked about": event.asked,
            }
            repaired = ", ".join(
                f"{len(ids)} {word}" for word, ids in found.items() if ids
            )
            return f"daemon {event.version} started" + (
                f": {repaired}" if repaired else ""
            ), "dim"
        case _:
            return None


def _queue(group: str | None) -> str:
    return "queue" if group is None else f"group {group}"
