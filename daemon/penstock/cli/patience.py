"""Why a run waits, told on stderr once it has waited for a second, and again when the reason changes.

Of one that executes it is told when its end would not come out: its log takes nothing, or its box is silent.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Protocol, TypeVar

from penstock.cli.notes import WAITING_STATES, RunNotes
from penstock.cli.output import say
from penstock.words.backoff import backoff
from penstock.words.errors import PenstockError
from penstock.words.sentences import clause

T = TypeVar("T")

#: Seconds of waiting of which nobody needs to be told.
TOLD_AFTER_SECONDS = 1.0
#: Seconds between two questions to the daemon, doubled up to this: reasons change without a fact of
#: the run, and a thousand commands may wait at a time.
LONGEST_PAUSE_SECONDS = 16.0
#: The same of a run that executes, of which there is nothing to tell but that nobody hears of it.
LONGEST_QUIET_SECONDS = 60.0
#: First and longest pause.
_WAITS = TOLD_AFTER_SECONDS, LONGEST_PAUSE_SECONDS
_EXECUTES = LONGEST_PAUSE_SECONDS, LONGEST_QUIET_SECONDS
#: The codes of those reasons.
UNHEARD = frozenset({"log", "box"})
#: A time that runs in a reason, which is none of its own: `silent for 50 s`, `starts in 2 min`.
_RUNNING_TIME = re.compile(r"\b\d+ (?:s|min|h|days)\b")
#: Children asked about below one another; a tree of runs is hardly deeper.
MOST_BELOW = 8


class Explains(Protocol):
    """Whom a person could ask `penstock why`: a daemon."""

    def why(self, run_id: str) -> dict[str, Any]: ...


class Telling:
    """Tells why a run waits, whenever it is `due`; nothing where nobody can be asked."""

    def __init__(
        self,
        client: Explains | None,
        notes: RunNotes,
        *,
        quiet: bool,
        prefix: str = "",
    ) -> None:
        self._client = None if quiet else client
        self._notes, self._prefix = notes, prefix
        self._told = ""
        self._moves = notes.moves
        self._looks = 0
        self._next: float | None = None

    def due(self, now: float) -> float | None:
        """When to call `tell` by this clock; None while there is nothing to tell."""
        if (
            self._client is None
            or self._notes.exit is not None
            or self._notes.asked_here
        ):
            self._next = None
        elif self._next is None or self._moves != self._notes.moves:
            self._looks, self._next = 0, now + self._pause()
        self._moves = self._notes.moves
        return self._next

    def tell(self, now: float) -> None:
        """Ask, and say it if it is another reason than before; nothing if it is not due."""
        due = self.due(now)
        if self._client is None or due is None or now < due:
            return
        self._looks += 1
        self._next = now + self._pause()
        why = _ask(self._client, self._notes.run_id)
        reason = _RUNNING_TIME.sub("", why)
        before, self._told = self._told, reason
        if reason not in {"", before}:
            self._notes.end_line()
            say(f"{self._prefix}{why}")

    def _pause(self) -> float:
        first, longest = _WAITS if self._notes.waits else _EXECUTES
        return backoff(self._looks + 1, first, longest)


def tell_submitting(
    submit: Callable[[], T],
    *,
    quiet: bool,
    timer: Callable[..., threading.Timer] = threading.Timer,
) -> T:
    """The answer to a submit, which may wait for room in the queue."""
    if quiet:
        return submit()

    def tell() -> None:
        # Nobody may be there to read it.
        with suppress(OSError):
            say("not queued yet: waits for room in the queue")

    patience = timer(TOLD_AFTER_SECONDS, tell)
    patience.daemon = True
    patience.start()
    try:
        return submit()
    finally:
        patience.cancel()


def _ask(client: Explains, run_id: str) -> str:
    """Why the run waits, or the child it waits for; "" if it does not, or nobody can tell now."""
    asked = run_id
    try:
        for _ in range(MOST_BELOW):
            told = client.why(asked)
            child = _child_of(told)
            if child is None:
                break
            asked = child
    except PenstockError:
        # Whoever follows the run meets the same, and says it.
        return ""
    if told["state"] not in WAITING_STATES:
        # It does what it is to do, or has ended, unless nobody can be told of it.
        kept = [reason for reason in told["reasons"] if reason["code"] in UNHEARD]
        if not kept:
            return ""
        told = {**told, "reasons": kept}
    return reason_line(told, child=asked != run_id)


def reason_line(told: dict[str, Any], *, child: bool = False) -> str:
    """`queued: the queue is paused (lunch)`."""
    causes = "; ".join(clause(reason["text"]) for reason in told["reasons"])
    whose = f"its child {told['run_id']} is " if child else ""
    return f"{whose}{told['state']}: {causes}"


def _child_of(told: dict[str, Any]) -> str | None:
    waits_for = (r["runs"] for r in told["reasons"] if r["code"] == "child")
    return next((runs[0] for runs in waits_for if runs), None)
