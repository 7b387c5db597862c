"""What telling of a run's waits and of its end needs, noted from its facts as they pass."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from penstock.cli.render import FactWriter
from penstock.words.lifecycle import (
    PARKED_STATES,
    QUEUED_STATES,
    SLOT_STATES,
    TRANSITIONS,
    State,
)
from penstock.words.printed import ShownFact
from penstock.words.run_exit import RunExit, exit_of_fact, read_exit
from penstock.words.run_id import AGENT_LABEL, NAME_LABEL
from penstock.words.terminal_types import TERMINAL_TYPES

#: States in which a person may want to know why the run does nothing.
WAITING_STATES = frozenset({*QUEUED_STATES, *PARKED_STATES})
#: Where an event leads, from wherever.
_AFTER: Mapping[str, State] = {
    type_: state for row in TRANSITIONS.values() for type_, state in row.items()
}


@dataclass
class RunNotes:
    """Passes a run's facts on to `writer`, and notes what matters. Facts may come twice."""

    run_id: str
    kind: str
    state: State
    writer: FactWriter
    name: str = ""
    began: datetime | None = None
    #: The fact that ended the run, once it has passed.
    end: ShownFact | None = None
    #: How it had ended before, where it had: the fact may lie before those that pass.
    known_exit: RunExit | None = None
    #: How often the run has gone to another state.
    moves: int = 0
    #: The newest part of the whole that is done, where it says so.
    progress: float | None = None
    #: What it asks, by name, and has no answer yet.
    asks: dict[str, str] = field(default_factory=dict)
    #: Whether one of these stands on this terminal, so that nobody need be told that it waits for it.
    asked_here: bool = False
    #: Told when the run is somewhere else.
    watcher: Callable[[RunNotes], None] | None = None
    #: What was counted up to `_known`, and what each fact after it adds.
    _known: int = 0
    _left: dict[int, int] = field(default_factory=dict)

    @classmethod
    def of_view(
        cls, run_id: str, view: Mapping[str, Any], writer: FactWriter
    ) -> RunNotes:
        """Begin with a run as `GET /runs/ID` tells it."""
        began = view.get("started_at")
        return cls(
            run_id,
            view["kind"],
            view["state"],
            writer,
            name=_called(view.get("labels", {})),
            began=datetime.fromisoformat(began) if began else None,
            known_exit=read_exit(view),
            _known=view.get("sequence", 0),
            _left={0: view.get("leftover", 0)},
        )

    @property
    def waits(self) -> bool:
        """Whether the run stands in line or waits for something."""
        return self.state in WAITING_STATES

    @property
    def leftover(self) -> int:
        """Processes that its programs left behind; they were ended."""
        return sum(self._left.values())

    @property
    def exit(self) -> RunExit | None:
        """How the run ended, if it has."""
        if self.end is None:
            return self.known_exit
        return exit_of_fact(self.kind, self.end)

    def write(self, facts: Iterable[ShownFact]) -> None:
        """See `FactWriter`."""
        facts = tuple(facts)
        for fact in facts:
            self._note(fact)
        if self.watcher is not None:
            self.watcher(self)
        self.writer.write(facts)

    def end_line(self) -> None:
        """See `FactWriter`."""
        self.writer.end_line()

    def _note(self, fact: ShownFact) -> None:
        event: Any = fact.event
        if fact.type in TERMINAL_TYPES:
            self.end = fact
            self.asks.clear()
        elif fact.type == "run.queued":
            self.name = self.name or _called(getattr(event, "labels", {}))
        elif fact.type == "ask.raised":
            self.asks[event.name] = event.question
        elif fact.type in ("ask.answered", "ask.withdrawn"):
            self.asks.pop(event.name, None)
        elif fact.type == "progress":
            self.progress = getattr(event, "fraction", None)
        elif fact.type == "process.exited" and fact.sequence > self._known:
            self._left[fact.sequence] = getattr(event, "leftover", 0)
        state = _AFTER.get(fact.type, self.state)
        if state in SLOT_STATES and self.began is None:
            self.began = fact.at
        if state != self.state:
            self.state, self.moves = state, self.moves + 1


def _called(labels: Mapping[str, str]) -> str:
    """What people call a run of these labels; "" for one that has no name."""
    return labels.get(NAME_LABEL) or labels.get(AGENT_LABEL, "")
