"""Numbered schedules: the whole core under Trio's deterministic scheduler and a virtual clock.

A number decides everything: what runs do, when people act, how long the store takes, what fails,
and in which order Trio lets tasks go on. Several stories share one loop, since starting a loop costs
as much as a story.
"""

from __future__ import annotations

import hashlib
from contextlib import nullcontext
from dataclasses import dataclass
from random import Random
from typing import Any

import trio
import trio.testing

from penstock.testing.virtual_time import deterministic
from penstock_drills.blank_logs import BlankLogs, open_blank_logs
from penstock_drills.laws import check_log, check_stopped, settle
from penstock_drills.simulator import Stage, open_stage
from penstock_drills.stories import MOMENTS, Story, draw_story

#: Stories of one number.
STORIES = 8
#: Virtual seconds in which all of them must be told; beyond it, something hangs.
NUMBER_SECONDS = 1800.0

# What must be the same when a number is told again.
_FACTS = (
    "SELECT position, run_id, events.sequence, type, body FROM events"
    " JOIN runs ON runs.key = events.run ORDER BY position"
)

# Only the modes of a store that keeps answering leave no doubt of what is recorded.
_STORELESS = frozenset({"lost answer", "outage", "broken"})


@dataclass(frozen=True, slots=True)
class Schedule:
    """What came of one number: the broken laws, and a digest of all its logs."""

    number: int
    stories: int
    facts: int
    broken: tuple[str, ...]
    digest: str


def run_schedule(
    number: int, stories: int = STORIES, logs: BlankLogs | None = None
) -> Schedule:
    """Tell the stories of this number; the same number tells the same, to the event."""
    with open_blank_logs() if logs is None else nullcontext(logs) as blank:
        with deterministic(number):
            clock = trio.testing.MockClock(autojump_threshold=0)
            return trio.run(_tell_all, number, stories, blank, clock=clock)


async def _tell_all(number: int, stories: int, blank: BlankLogs) -> Schedule:
    broken: list[str] = []
    digest = hashlib.sha256()
    logs: dict[int, list[tuple[Any, ...]]] = {}
    with trio.move_on_after(NUMBER_SECONDS) as limit:
        async with trio.open_nursery() as nursery:
            for index in range(stories):
                rng = Random(f"{number}.{index}")
                nursery.start_soon(_tell, index, rng, broken, logs, blank)
    if limit.cancelled_caught:
        broken.append("something hangs")
    for index in sorted(logs):
        digest.update(repr(logs[index]).encode())
    facts = sum(map(len, logs.values()))
    return Schedule(number, stories, facts, tuple(broken), digest.hexdigest())


async def _tell(
    index: int,
    rng: Random,
    broken: list[str],
    logs: dict[int, list[Any]],
    blank: BlankLogs,
) -> None:
    story = draw_story(rng)
    slow = rng.random() < 0.5
    delays = MOMENTS[:6] if slow else (0.0,)
    with open_stage(blank, delay=lambda: rng.choice(delays), **story.settings) as stage:
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(stage.break_hang, 2 * NUMBER_SECONDS)
                await _live(stage, story)
                nursery.cancel_scope.cancel(reason="the story is told")
            logs[index] = stage.db.execute(_FACTS).fetchall()
        finally:
            broken += [f"story {index}: {law}" for law in stage.broken]


async def _live(stage: Stage, story: Story) -> None:
    """The story's life, and a life after it if that was its end."""
    mode = story.fault.mode if story.fault else None
    partials_kept = mode not in {"outage", "broken"}
    played = await stage.live(story.play, story.fault)
    killed = stage.killed or mode in _STORELESS
    if killed:
        stage.processes.crash()
        stage.processes.alive.clear()
        stage.notes.written.clear()
    else:
        check_stopped(stage, partials_kept=partials_kept)
    if not played:
        check_log(stage)
        if not await stage.live(settle):
            stage.broken.append("the next life did not come to its end")
        check_stopped(stage, partials_kept=False)
    check_log(stage)
    if stage.processes.orphans and not played:
        stage.broken.append(f"orphans are left: {stage.processes.orphans}")
