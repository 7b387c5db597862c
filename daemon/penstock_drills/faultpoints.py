"""A story told once per point, with a fault exactly there; afterwards every law must hold.

The order in which Trio lets tasks go on is chosen by a seed: one schedule of a story has so many
points, and the fault that broke a law at one of them can be told again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial

import trio
import trio.testing

from penstock.testing.faulty_store import FaultMode, StoreFault
from penstock.testing.virtual_time import deterministic
from penstock_drills.blank_logs import BlankLogs, open_blank_logs
from penstock_drills.laws import check_log, check_stopped, settle
from penstock_drills.scenarios import Scenario
from penstock_drills.simulator import Stage, open_stage

#: Virtual seconds in which a whole story must be told; beyond it, something hangs.
STORY_SECONDS = 1800.0


def _cancel_run(stage: Stage, number: int) -> None:
    if execution := stage.choose_execution(number):
        execution.cancel("a drill")


def _abandon_run(stage: Stage, number: int) -> None:
    if execution := stage.choose_execution(number):
        execution.scope.cancel(reason="a drill")


#: What may happen at a checkpoint.
POINT_FAULTS: Mapping[str, Callable[[Stage, int], None]] = {
    "cancel a run": _cancel_run,
    "abandon a run": _abandon_run,
    "preempt a run": lambda stage, number: stage.preempt(number),
    "cut off the submitter": lambda stage, _: stage.cut_off("submitter"),
    "cut off the subscriber": lambda stage, _: stage.cut_off("subscriber"),
    "stop the daemon": lambda stage, _: stage.stop(),
    "kill the daemon": lambda stage, _: stage.kill(),
}
#: What may happen at a call of the store.
STORE_FAULTS: Mapping[str, FaultMode] = {
    "store fails once": "once",
    "store's answer is lost": "lost answer",
    "store fails for long": "outage",
    "store breaks": "broken",
}
#: After these nothing more may reach the log in this life.
STORELESS = frozenset(
    {"store breaks", "store's answer is lost", "store fails for long"}
)
FAULTS = (*POINT_FAULTS, *STORE_FAULTS)


@dataclass(eq=False)
class AtStep(trio.abc.Instrument):
    """Calls `fire` when the `at`-th task step from now on has just ended."""

    at: int
    fire: Callable[[], None]
    steps: int = 0

    def after_task_step(self, task: trio.lowlevel.Task) -> None:
        self.steps += 1
        if self.steps == self.at:
            self.fire()


@dataclass(frozen=True, slots=True)
class Told:
    """How one telling went. `reached`: the point exists; else the story was over before it."""

    scenario: str
    fault: str
    at: int
    seed: int
    reached: bool
    broken: tuple[str, ...]

    def __str__(self) -> str:
        """What tells it again, as options of `penstock drill faults`, and the broken laws."""
        again = f'--seed {self.seed} --story "{self.scenario}" --fault "{self.fault}"'
        return f"{again} --at {self.at}: {'; '.join(self.broken)}"


@dataclass(slots=True)
class _Telling:
    scenario: Scenario
    fault: str
    at: int
    reached: bool = False
    played: bool = False
    over: bool = False

    async def tell(self, stage: Stage) -> None:
        """The prologue, the story with its fault, and a life after it if that was its end."""
        partials_kept = STORE_FAULTS.get(self.fault) not in {"outage", "broken"}
        if self.scenario.prologue is not None:
            await stage.live(self.scenario.prologue)
            check_log(stage)
        await self._live_with_fault(stage)
        check_log(stage)
        # Without its store a daemon ends as if it were killed: the next life speaks for its runs.
        killed = stage.killed or self.fault in STORELESS
        if not killed:
            check_stopped(stage, partials_kept=partials_kept)
        if killed:
            stage.processes.crash()
            stage.processes.alive.clear()
            # What was written and not yet recorded died with the daemon.
            stage.notes.written.clear()
        if not self.played and not await stage.live(settle):
            stage.broken.append("the next life did not come to its end")
        check_log(stage)
        check_stopped(stage, partials_kept=False)
        if stage.processes.orphans:
            stage.broken.append(f"orphans are left: {stage.processes.orphans}")

    async def _live_with_fault(self, stage: Stage) -> None:
        if self.fault in STORE_FAULTS:
            fault = StoreFault(STORE_FAULTS[self.fault], self.at)
            self.played = await stage.live(self._play, fault)
            self.reached = fault.fired
            return
        steps = AtStep(self.at, partial(self._fire, stage))
        with _instrument(steps):
            self.played = await stage.live(self._play)

    def _fire(self, stage: Stage) -> None:
        # What happens to the probes is no longer the story.
        self.reached = not self.over
        if self.fault in POINT_FAULTS and self.reached:
            POINT_FAULTS[self.fault](stage, self.at)

    async def _play(self, stage: Stage) -> None:
        await self.scenario.play(stage)
        self.over = True
        await settle(stage)


@contextmanager
def _instrument(instrument: trio.abc.Instrument) -> Iterator[None]:
    trio.lowlevel.add_instrument(instrument)
    try:
        yield
    finally:
        trio.lowlevel.remove_instrument(instrument)


async def tell(
    scenario: Scenario, fault: str, at: int, seed: int, logs: BlankLogs | None = None
) -> Told:
    """Tell the story once with this fault; under a mock clock that jumps, ordered by `seed`."""
    delay = (lambda: scenario.delay) if scenario.delay else None
    with open_stage(logs, delay=delay, **scenario.settings) as stage:
        stage.abandons = fault == "abandon a run"
        stage.undisturbed = fault == "none"
        telling = _Telling(scenario, fault, at)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(stage.break_hang, 2 * STORY_SECONDS)
            with trio.move_on_after(STORY_SECONDS) as limit:
                await telling.tell(stage)
            nursery.cancel_scope.cancel(reason="the story is told")
        if limit.cancelled_caught:
            stage.broken.append("something hangs")
        broken = tuple(stage.broken)
        return Told(scenario.name, fault, at, seed, telling.reached, broken)


def tell_at(
    scenario: Scenario, fault: str, at: int, seed: int, logs: BlankLogs | None = None
) -> Told:
    """`tell` in a loop of its own; the same seed tells the same."""
    clock = trio.testing.MockClock(autojump_threshold=0)
    with deterministic(seed):
        return trio.run(tell, scenario, fault, at, seed, logs, clock=clock)


@dataclass(slots=True)
class Sweep:
    """Points of one scenario and fault, every `stride`-th from `first` on; 0: that one only."""

    scenario: Scenario
    fault: str
    seed: int
    first: int = 1
    stride: int = 1
    points: int = 0
    failures: list[Told] = field(default_factory=list)

    def run(self) -> Sweep:
        """Until the story is over before the point; at most a few failures are kept."""
        at = self.first
        with open_blank_logs() as logs:
            while True:
                told = tell_at(self.scenario, self.fault, at, self.seed, logs)
                if told.broken:
                    self.failures.append(told)
                self.points += told.reached
                if not (told.reached and self.stride) or len(self.failures) >= 3:
                    return self
                at += self.stride
