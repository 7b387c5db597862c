"""What is counted between two looks at `/metrics`: plain numbers, added to in the follower's step.

Nothing here knows a metrics library; what levels are now is read off statistics when asked.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from penstock.log.projections import RunView
from penstock.runs.core import Core
from penstock.words.events import TERMINAL_TYPES, ModelUsed, RunRequeued
from penstock.words.lifecycle import CANCELLED
from penstock.words.priority import Priority
from penstock.words.recorded import Recorded

#: Upper bounds of a commit, in seconds: one fsync on good to bad disks.
COMMIT_BOUNDS = (
    0.0005,
    0.001,
    0.0025,
    0.005,
    0.01,
    0.025,
    0.05,
    0.1,
    0.25,
    0.5,
    1.0,
    2.5,
)
#: Decisions in one commit, up to the recorder's capacity.
BATCH_BOUNDS = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000)
#: Seconds in line and seconds of a run: from at once to a day.
RUN_BOUNDS = (
    0.01,
    0.1,
    0.5,
    1.0,
    5.0,
    15.0,
    60.0,
    300.0,
    900.0,
    3600.0,
    14400.0,
    86400.0,
)
#: Seconds until the answer to a request begins: most are answered from memory, some wait for a run.
ANSWER_BOUNDS = (0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 30.0)
#: Seconds from a cancel to its end; the promise is 5.
CANCEL_BOUNDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 3.0, 5.0, 10.0)


class LoopReading(Protocol):
    """How late the loop was, in seconds, and how often it stood still."""

    @property
    def lag(self) -> float: ...
    @property
    def stalls(self) -> int: ...
    @property
    def longest_stall(self) -> float: ...


ReadLoop = Callable[[], LoopReading]


@dataclass(eq=False, slots=True)
class Distribution:
    """How many values lay below each bound; the last count has no bound."""

    bounds: tuple[float, ...]
    counts: list[int] = field(default_factory=list)
    total: float = 0.0

    def __post_init__(self) -> None:
        self.counts = [0] * (len(self.bounds) + 1)

    def add(self, value: float) -> None:
        self.counts[bisect_left(self.bounds, value)] += 1
        self.total += value


@dataclass(eq=False, slots=True)
class ModelTally:
    """What was asked of one model."""

    requests: int = 0
    tokens_in: int = 0
    tokens_out: int = 0
    #: In the currency of the configured prices.
    cost: float = 0.0
    seconds: float = 0.0

    def add(self, used: ModelUsed) -> None:
        self.requests += 1
        self.tokens_in += used.tokens_in
        self.tokens_out += used.tokens_out
        self.cost += used.cost
        self.seconds += used.seconds


@dataclass(eq=False, slots=True)
class Meter:
    """Of one daemon, since its start. Belongs to the loop."""

    commit_seconds: Distribution = field(
        default_factory=lambda: Distribution(COMMIT_BOUNDS)
    )
    commit_decisions: Distribution = field(
        default_factory=lambda: Distribution(BATCH_BOUNDS)
    )
    cancel_seconds: Distribution = field(
        default_factory=lambda: Distribution(CANCEL_BOUNDS)
    )
    #: By priority: from submit to the first start.
    wait_seconds: dict[str, Distribution] = field(
        default_factory=lambda: {p.name: Distribution(RUN_BOUNDS) for p in Priority}
    )
    #: By kind: from the first start to the end, whatever lay between.
    run_seconds: dict[str, Distribution] = field(default_factory=dict)
    #: By kind and state.
    ended: Counter[tuple[str, str]] = field(default_factory=Counter)
    #: By reason.
    requeues: Counter[str] = field(default_factory=Counter)
    preemptions: int = 0
    #: By model.
    models: dict[str, ModelTally] = field(default_factory=dict)
    #: By method, route and status.
    requests: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    #: By route: until the answer began.
    answer_seconds: dict[str, Distribution] = field(default_factory=dict)
    #: By tool and outcome.
    mcp_calls: Counter[tuple[str, str]] = field(default_factory=Counter)
    #: When open runs were asked to end.
    _cancelled_at: dict[str, datetime] = field(default_factory=dict)

    def committed(self, decisions: int, seconds: float) -> None:
        """A batch is on disk and its outcomes are applied."""
        self.commit_decisions.add(decisions)
        self.commit_seconds.add(seconds)

    def answered(self, method: str, route: str, status: int, seconds: float) -> None:
        """The answer to a request over HTTP has begun."""
        self.requests[method, route, str(status)] += 1
        tally = self.answer_seconds.get(route)
        if tally is None:
            tally = self.answer_seconds[route] = Distribution(ANSWER_BOUNDS)
        tally.add(seconds)

    def called(self, tool: str, outcome: str) -> None:
        """A tool was called over MCP."""
        self.mcp_calls[tool, outcome] += 1

    def noted(self, fact: Recorded, view: RunView) -> None:
        """Something happened to a run; the view has the fact in it."""
        if fact.type == "model.used":
            event = fact.event
            if isinstance(event, ModelUsed):
                self.models.setdefault(event.model, ModelTally()).add(event)
        elif fact.type == "run.started" and view.created_at is not None:
            waited = (fact.at - view.created_at).total_seconds()
            self.wait_seconds[Priority(view.priority).name].add(max(waited, 0.0))
        elif fact.type == "run.cancel_requested":
            self._cancelled_at[fact.run_id] = fact.at
        elif fact.type == "run.preempted":
            self.preemptions += 1
        elif fact.type == "run.requeued":
            event = fact.event
            if isinstance(event, RunRequeued):
                self.requeues[event.reason] += 1
        elif fact.type in TERMINAL_TYPES:
            self._ended(fact, view)

    def _ended(self, fact: Recorded, view: RunView) -> None:
        self.ended[view.kind, str(view.state)] += 1
        if view.started_at is not None:
            tally = self.run_seconds.get(view.kind)
            if tally is None:
                tally = self.run_seconds[view.kind] = Distribution(RUN_BOUNDS)
            tally.add(max((fact.at - view.started_at).total_seconds(), 0.0))
        asked_at = self._cancelled_at.pop(fact.run_id, None)
        if asked_at is not None and view.state == CANCELLED:
            self.cancel_seconds.add(max((fact.at - asked_at).total_seconds(), 0.0))


def attach_meter(core: Core) -> Meter:
    """A meter that counts what this core does from now on."""
    meter = Meter()
    core.recorder.on_commit = meter.committed

    def note(fact: Recorded, view: RunView) -> None:
        if core.table.is_ours(view):
            meter.noted(fact, view)

    core.table.followers.append(note)
    return meter
