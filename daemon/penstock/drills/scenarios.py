"""The stories that drills tell with a fault at every point."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from penstock.drills.plays_daemon import (
    SLOW_STORE,
    admission,
    cancel_all,
    interrupted,
    repaired,
    slow_cancel,
    slow_stop,
    stop,
)
from penstock.drills.plays_runs import (
    artifacts,
    asks,
    dependencies,
    doubts,
    full_recorder,
    nested,
    preemption,
    processes,
    readers,
    stalled_readers,
    timeouts,
    tree,
)
from penstock.drills.stage import Stage


@dataclass(frozen=True, slots=True)
class Scenario:
    """A story, the settings of its core, and what happens in a life before it, if anything."""

    name: str
    play: Callable[[Stage], Awaitable[None]]
    settings: Mapping[str, Any] = field(default_factory=dict)
    prologue: Callable[[Stage], Awaitable[None]] | None = None
    #: Virtual seconds that a call of the store takes.
    delay: float = 0.0


_TIGHT = {"max_concurrent": 2, "frame_events": 4}

SCENARIOS: Mapping[str, Scenario] = {
    scenario.name: scenario
    for scenario in (
        Scenario("nested", nested, _TIGHT),
        Scenario("readers", readers, _TIGHT),
        Scenario("full recorder", full_recorder, {**_TIGHT, "recorder_capacity": 2}),
        Scenario("processes", processes, _TIGHT),
        Scenario(
            "artifacts",
            artifacts,
            {"max_concurrent": 3, "throttle_bytes": 64, "recorder_capacity": 1},
            delay=0.01,
        ),
        Scenario("slow stop", slow_stop, _TIGHT, delay=SLOW_STORE),
        Scenario("slow cancel", slow_cancel, _TIGHT, delay=SLOW_STORE),
        Scenario("asks", asks, _TIGHT),
        Scenario("doubts", doubts, _TIGHT),
        Scenario("tree", tree, _TIGHT),
        Scenario("narrow tree", tree, {"max_concurrent": 1}),
        Scenario("dependencies", dependencies, _TIGHT),
        Scenario("preemption", preemption, _TIGHT),
        Scenario("stop", stop, _TIGHT),
        Scenario("cancel all", cancel_all, _TIGHT),
        Scenario("admission", admission, {"max_concurrent": 1, "queue_capacity": 1}),
        Scenario("stalled readers", stalled_readers, {**_TIGHT, "ring_events": 8}),
        Scenario("timeouts", timeouts, {"max_concurrent": 3}),
        Scenario("repair", repaired, _TIGHT, interrupted),
    )
}
