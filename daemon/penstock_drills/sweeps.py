"""The campaigns of `penstock drill faults` and `penstock drill schedules`."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count, product
from pathlib import Path
from random import Random

from penstock_drills.blank_logs import open_blank_logs
from penstock_drills.campaign import Tally, over_processes, save_tally
from penstock_drills.faultpoints import FAULTS, Sweep
from penstock_drills.scenarios import SCENARIOS
from penstock_drills.schedules import STORIES, run_schedule

#: Numbers that one process tells before it reports.
NUMBERS_AT_ONCE = 5


@dataclass(frozen=True, slots=True)
class Swept:
    """One scenario with one fault at its points."""

    scenario: str
    fault: str
    points: int
    failures: tuple[str, ...]


def sweep(item: tuple[str, str, int, int, int]) -> Swept:
    """All points of (scenario, fault, seed, first point, stride)."""
    scenario, fault, seed, first, stride = item
    swept = Sweep(SCENARIOS[scenario], fault, seed, first, stride).run()
    return Swept(scenario, fault, swept.points, tuple(map(str, swept.failures)))


@dataclass(frozen=True, slots=True)
class Points:
    """Which points of which stories are wanted; None: all of them, or every `stride`-th point."""

    story: str | None = None
    fault: str | None = None
    at: int | None = None
    stride: int = 1

    def sweeps(self, seed: int) -> Iterator[tuple[str, str, int, int, int]]:
        """What `sweep` takes, for each story with each fault; the seed chooses the first point."""
        for number, (story, fault) in enumerate(product(SCENARIOS, FAULTS)):
            if self.story not in {None, story} or self.fault not in {None, fault}:
                continue
            if self.at is None:
                first = 1 + (seed + number) % self.stride
                yield story, fault, seed, first, self.stride
            else:
                yield story, fault, seed, self.at, 0


def drill_faults(
    tally: Tally,
    points: Points,
    *,
    jobs: int,
    seconds: float | None,
    state: Path | None,
) -> None:
    """The wanted points of the schedules that the tally's seed chooses.

    What the tally has finished is not done again.
    """
    began = time.monotonic()
    finished = set(tally.finished)
    sweeps = [
        item
        for item in points.sweeps(tally.seed)
        if f"{item[0]}, {item[1]}" not in finished
    ]
    # A drill that is cut short has tried something of everything.
    Random(tally.seed).shuffle(sweeps)
    before = tally.seconds
    for swept in over_processes(sweep, iter(sweeps), jobs=jobs, seconds=seconds):
        tally.add(swept.scenario, swept.points, swept.failures)
        tally.finished.append(f"{swept.scenario}, {swept.fault}")
        tally.seconds = before + time.monotonic() - began
        save_tally(state, tally)


@dataclass(frozen=True, slots=True)
class Numbers:
    """What came of some numbers."""

    first: int
    stories: int
    facts: int
    failures: tuple[str, ...]


def tell_numbers(first: int) -> Numbers:
    """NUMBERS_AT_ONCE numbers from this one on."""
    stories, facts = 0, 0
    failures: list[str] = []
    with open_blank_logs() as logs:
        for number in range(first, first + NUMBERS_AT_ONCE):
            told = run_schedule(number, logs=logs)
            stories += told.stories
            facts += told.facts
            if told.broken:
                failures.append(f"--seed {number}: {'; '.join(told.broken)}")
    return Numbers(first, stories, facts, tuple(failures))


def drill_schedules(
    tally: Tally,
    *,
    schedules: int | None,
    jobs: int,
    seconds: float | None,
    state: Path | None,
) -> None:
    """Stories from the tally's next number on: so many in all, or for so many seconds more."""
    began = time.monotonic()
    before, done = tally.seconds, set(tally.finished)
    for told in over_processes(
        tell_numbers, _firsts(tally, schedules), jobs=jobs, seconds=seconds
    ):
        tally.add("schedules", told.stories, told.failures)
        # Numbers are reported out of order; those beyond the first gap are named.
        done.add(str(told.first))
        while str(tally.next) in done:
            done.discard(str(tally.next))
            tally.next += NUMBERS_AT_ONCE
        tally.finished = sorted(done)
        tally.seconds = before + time.monotonic() - began
        save_tally(state, tally)


def _firsts(tally: Tally, schedules: int | None) -> Iterator[int]:
    left = None if schedules is None else schedules - tally.total
    known = set(tally.finished)
    for first in count(tally.next, NUMBERS_AT_ONCE):
        if left is not None and left <= 0:
            return
        if str(first) not in known:
            yield first
            left = None if left is None else left - NUMBERS_AT_ONCE * STORIES
