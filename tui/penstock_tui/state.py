"""What the dashboard knows: a plain model fed with what was heard, without a loop, a socket or a widget.

The screen reads it some twenty times a second, so `feed` may be called thousands of times between
two pictures and must be cheap.
"""

from __future__ import annotations

import copy
from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Literal

from penstock.client.log_reader import (
    EpochChanged,
    Events,
    Greeted,
    Heard,
    Parting,
    Ready,
    Skipped,
    WentBack,
)
from penstock.log.projections import AskView, RunView
from penstock.words.events import DAEMON_STREAM, FailuresDismissed
from penstock.words.lifecycle import EXECUTING_STATES
from penstock.words.recorded import Recorded
from penstock.words.run_id import GENERATED, NAME_LABEL
from penstock_tui.alerts import Alert, alert_of

Phase = Literal["connecting", "catching up", "live", "lost", "refused", "replay"]

#: Ended runs kept on the screen; older ones are a filter on the daemon's side away.
MOST_ENDED = 1000
#: Alerts and events one can scroll back through.
MOST_ALERTS = 500
MOST_TAIL = 500
#: Facts kept for an open run screen between two of its pictures.
MOST_WATCHED = 20_000
#: Seconds of throughput shown.
HISTORY_SECONDS = 120

_FAILURES = frozenset({"test.failed", "step.failed"})
_SUCCESSES = frozenset({"test.passed", "step.completed", "correction.completed"})


@dataclass(slots=True)
class ShownRun:
    """One run: the daemon's own fold, and what only a person at a screen cares about."""

    view: RunView
    #: The newest thing it reported was a failure.
    failing: bool = False
    #: Somebody has looked at its end.
    seen: bool = False
    #: By which people name it; no fact tells it, so 0 until it was asked for.
    number: int = 0

    def copy(self) -> ShownRun:
        """The same, for another position: a view's values are replaced, these four are added to."""
        view = copy.copy(self.view)
        for name in ("asks", "steps", "artifacts", "milestones"):
            setattr(view, name, copy.copy(getattr(view, name)))
        return replace(self, view=view)

    @property
    def asks(self) -> bool:
        """Whether somebody must answer it."""
        return self.open_ask is not None

    @property
    def open_ask(self) -> AskView | None:
        """The question that is shown, and answered by a key: the first that is open."""
        if self.view.ended:
            return None
        return next((ask for ask in self.view.asks.values() if ask.open), None)


def name_of(run: ShownRun) -> str:
    """What people call it: its number and its name, or the id that somebody has chosen."""
    view = run.view
    own = view.labels.get(NAME_LABEL)
    parent = view.parent_id or ""
    if own is None and GENERATED.fullmatch(parent):
        own = view.run_id.removeprefix(f"{parent}.")
    if own is None and not GENERATED.fullmatch(view.run_id):
        return view.run_id
    number = str(run.number or "")
    return f"{number} {own or ''}".strip() or view.run_id


@dataclass(slots=True)
class DashboardState:
    """Everything on the screen. `dirty` names the runs that changed since it was last cleared."""

    phase: Phase = "connecting"
    #: Why it is lost or refused, in a sentence.
    problem: str = ""
    daemon: str = ""
    epoch: str = ""
    life: str = ""
    head: int = 0
    floor: int = 0
    position: int = 0
    #: Facts that were not sent to us.
    missed: int = 0
    #: Seconds between a fact and our seeing it: the worst of the last second.
    lag: float = 0.0
    runs: dict[str, ShownRun] = field(default_factory=dict)
    dirty: set[str] = field(default_factory=set)
    #: Runs whose facts have a hole here; their view must be asked for.
    broken: set[str] = field(default_factory=set)
    #: Runs that were heard of by their facts alone; their numbers are to be asked for.
    unnumbered: set[str] = field(default_factory=set)
    alerts: deque[Alert] = field(default_factory=lambda: deque(maxlen=MOST_ALERTS))
    alert_count: int = 0
    tail: deque[Recorded] = field(default_factory=lambda: deque(maxlen=MOST_TAIL))
    tail_count: int = 0
    watched: dict[str, list[deque[Recorded]]] = field(default_factory=dict)
    history: deque[int] = field(
        default_factory=lambda: deque([0] * 60, maxlen=HISTORY_SECONDS)
    )
    #: Answers of GET /queue, /clients, /health and /boxes, newest of each.
    queue: Mapping[str, Any] = field(default_factory=dict)
    clients: list[Mapping[str, Any]] = field(default_factory=list)
    health: Mapping[str, Any] = field(default_factory=dict)
    #: Those that share the log, by name; of a log of one daemon its own, of an older daemon none.
    boxes: list[Mapping[str, Any]] = field(default_factory=list)
    #: When that was, by the monotonic clock.
    health_at: float = 0.0
    #: Grows with everything that changes the picture.
    version: int = 0
    #: Runs that there may be before ended ones are looked for.
    _room: int = MOST_ENDED * 2
    _second: int = 0
    _counted: int = 0
    _worst: float = 0.0

    def feed(self, heard: Heard, now: datetime) -> None:
        """Take what a reader of the log heard."""
        self.version += 1
        match heard:
            case Events(envelopes=envelopes):
                for data in envelopes:
                    self.apply(Recorded.from_wire(data))
                if self.phase == "live":
                    at = datetime.fromisoformat(envelopes[-1]["at"])
                    self._worst = max(self._worst, (now - at).total_seconds())
            case Greeted():
                self.greet(heard)
                self.phase = "catching up"
            case EpochChanged() | WentBack():
                self.forget()
            case Skipped(first=first, last=last):
                self.miss(first, last)
            case Ready():
                self.phase = "live"
            case Parting(reason=reason):
                self.problem = reason

    def greet(self, greeting: Greeted) -> None:
        """There is a daemon, and it has this log."""
        self.daemon, self.epoch = greeting.daemon, greeting.epoch
        self.life = greeting.life
        self.head, self.floor = greeting.head, greeting.floor
        self.problem = ""

    def forget(self) -> None:
        """It is another log: nothing of what is shown is true any more."""
        self.runs.clear()
        self.alerts.clear()
        self.tail.clear()
        self.broken.clear()
        self.unnumbered.clear()
        for waiting in self.watched.values():
            for facts in waiting:
                facts.clear()
        self.position = self.missed = 0
        self.epoch = ""
        self._room = MOST_ENDED * 2
        self.version += 1

    def lose(self, problem: str, *, refused: bool = False) -> None:
        """The connection is gone; what is shown stays, and is said to be old."""
        self.phase = "refused" if refused else "lost"
        self.problem = problem
        self.version += 1

    def miss(self, first: int, last: int) -> None:
        """The facts from `first` to `last` will not come. Runs that had some are found broken later."""
        first = max(first, self.position + 1)
        if last >= first:
            self.missed += last - first + 1
            self.position = last
        self.version += 1

    def apply(self, fact: Recorded) -> None:
        """Take the next fact. A copy of a log may hold one twice, and have holes of its own."""
        if fact.position <= self.position:
            return
        if self.position and fact.position != self.position + 1:
            self.missed += fact.position - self.position - 1
        self.position = fact.position
        self.head = max(self.head, fact.position)
        self._counted += self.phase == "live"
        self.tail.append(fact)
        self.tail_count += 1
        if fact.run_id != DAEMON_STREAM:
            self._fold(fact)
        elif isinstance(event := fact.event, FailuresDismissed):
            self.dismiss(event.runs)
        if alert := alert_of(fact):
            self.alerts.append(alert)
            self.alert_count += 1

    def _fold(self, fact: Recorded) -> None:
        for facts in self.watched.get(fact.run_id, ()):
            facts.append(fact)
        run = self.runs.get(fact.run_id)
        if run is None:
            run = self.runs[fact.run_id] = ShownRun(RunView(fact.run_id))
            self.unnumbered.add(fact.run_id)
            if self.phase == "replay":
                # A copy may begin in the middle, and there is nobody to ask for what was before.
                run.view.sequence = fact.sequence - 1
            self._drop_oldest_ended()
        if fact.sequence <= run.view.sequence:
            return  # the list that was asked for at the start was newer than the stream
        if fact.sequence != run.view.sequence + 1:
            self.broken.add(fact.run_id)
            return
        run.view.apply(fact)
        if fact.type in _FAILURES:
            run.failing = True
        elif fact.type in _SUCCESSES:
            run.failing = False
        self.dirty.add(fact.run_id)

    def seed(self, rows: Iterable[Mapping[str, Any]]) -> None:
        """Take runs as GET /runs or GET /runs/ID tell them, unless more is known already.

        A list does not tell all of a run, so those that do something are to be asked for.
        """
        for row in rows:
            known = self.runs.get(row["run_id"])
            self._number(known, row)
            if known and known.view.sequence >= row["sequence"] and known.view.last_at:
                self.broken.discard(row["run_id"])
                continue
            view = RunView.from_json({**_NOT_IN_LISTS, **row})
            if known is None:
                number = int(row.get("number") or 0)
                self.runs[view.run_id] = ShownRun(view, number=number)
            else:
                known.view = view
            if view.last_at is None and view.state in EXECUTING_STATES:
                self.broken.add(view.run_id)
            else:
                self.broken.discard(view.run_id)
            self.dirty.add(view.run_id)
        self.version += 1

    def _number(self, run: ShownRun | None, row: Mapping[str, Any]) -> None:
        """Take a run's number, if it has none yet."""
        if run is not None and not run.number and row.get("number"):
            run.number = int(row["number"])
            self.unnumbered.discard(run.view.run_id)
            self.dirty.add(run.view.run_id)

    def dismiss(self, run_ids: Iterable[str]) -> list[str]:
        """Somebody has seen how these ended: those of them that are shown, and were not seen yet."""
        new = [
            run_id
            for run_id in run_ids
            if (run := self.runs.get(run_id)) and run.view.ended and not run.seen
        ]
        for run_id in new:
            self.runs[run_id].seen = True
            self.dirty.add(run_id)
        self.version += bool(new)
        return new

    def _drop_oldest_ended(self) -> None:
        if len(self.runs) <= self._room:
            return
        ended = [run_id for run_id, run in self.runs.items() if run.view.ended]
        for run_id in ended[: len(ended) - MOST_ENDED]:
            del self.runs[run_id]
        # Looked for again when as many are new: with a long line each look is at all of it.
        self._room = len(self.runs) + MOST_ENDED

    def second(self, second: int) -> None:
        """A second has passed: what was counted becomes a bar of the throughput."""
        if second == self._second:
            return
        if self._second:
            idle = min(second - self._second - 1, HISTORY_SECONDS)
            self.history.append(self._counted)
            self.history.extend([0] * idle)
        self._second, self._counted = second, 0
        self.lag, self._worst = self._worst, 0.0
        self.version += 1

    def inputs_of(self, run_id: str) -> Mapping[str, Any]:
        """What a run was asked for; nothing if it is not known here."""
        run = self.runs.get(run_id)
        return {} if run is None else run.view.inputs

    def copy(self) -> DashboardState:
        """The same, and what happens to one is not seen in the other. Facts are frozen, and shared."""
        other = copy.copy(self)
        other.runs = {run_id: run.copy() for run_id, run in self.runs.items()}
        for name in (
            "dirty",
            "broken",
            "unnumbered",
            "alerts",
            "tail",
            "watched",
            "history",
        ):
            setattr(other, name, copy.copy(getattr(self, name)))
        return other

    def watch(self, run_id: str) -> deque[Recorded]:
        """From now on the facts of this run, for one who empties it."""
        facts = deque[Recorded](maxlen=MOST_WATCHED)
        self.watched.setdefault(run_id, []).append(facts)
        return facts

    def unwatch(self, run_id: str, facts: deque[Recorded]) -> None:
        """Keep no more for this one."""
        waiting = [kept for kept in self.watched.pop(run_id, []) if kept is not facts]
        if waiting:
            self.watched[run_id] = waiting


_NOT_IN_LISTS: Mapping[str, Any] = {
    "asks": (),
    "artifacts": (),
    "milestones": (),
    "last_at": None,
    "after": (),
    "created_at": None,
    "started_at": None,
    "ended_at": None,
}
