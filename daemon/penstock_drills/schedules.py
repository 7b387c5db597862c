"""Numbered schedules: the whole core under Trio's deterministic scheduler and a virtual clock.

A number decides everything: what runs do, when people act, how long the store takes, what fails,
and in which order Trio lets tasks go on. It draws stories; several of them share one loop, since
starting a loop costs as much as a story.
"""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable
from contextlib import nullcontext
from dataclasses import dataclass, replace
from functools import partial
from random import Random
from typing import Any

import trio
import trio.testing

from penstock.testing.faulty_store import FaultMode, StoreFault
from penstock.testing.virtual_time import deterministic
from penstock.words.api import RearrangeRequest, RunRequest, ScheduleRequest
from penstock_drills.blank_logs import BlankLogs, open_blank_logs
from penstock_drills.laws import check_log, check_stopped, settle
from penstock_drills.scripts import Op
from penstock_drills.simulator import Stage, open_stage

#: Virtual seconds at which things happen; several at once are what races are made of.
MOMENTS = (0.0, 0.0, 0.001, 0.01, 0.01, 0.1, 0.5, 1.0)
#: Virtual seconds after which a story is ended, whatever still runs.
STORY_ENDS = 8.0
#: The same where there are schedules, whose shortest span is ten seconds.
RECURRING_ENDS = 25.0
#: Of how many stories one has runs that wait: for a moment, another try, a schedule, a person.
WAITING_SHARE = 0.4
#: The last call of the store at which a story may have its fault.
LAST_FAULTY_CALL = 40

_FAULT_MODES: tuple[FaultMode, ...] = (
    "once",
    "once",
    "lost answer",
    "outage",
    "broken",
)

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
class Story:
    """One schedule: the settings of its core, what is done in it, and how its life ends."""

    settings: dict[str, Any]
    actors: tuple[Callable[[Stage], Awaitable[None]], ...]
    fault: StoreFault | None
    end: str
    end_at: float
    #: `STORY_ENDS`, or `RECURRING_ENDS`.
    lasts: float = STORY_ENDS

    async def play(self, stage: Stage) -> None:
        """Everybody acts at once; then the life ends, or every law is checked in it."""
        with trio.move_on_after(self.lasts):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._end, stage)
                for actor in self.actors:
                    nursery.start_soon(actor, stage)
        await settle(stage)

    async def _end(self, stage: Stage) -> None:
        await trio.sleep(self.end_at)
        if self.end == "kill":
            stage.kill()
        elif self.end == "stop":
            stage.stop()


def draw_story(rng: Random) -> Story:
    """The next story of this generator."""
    run_ids = [f"r{number}" for number in range(rng.randint(1, 4))]
    actors: list[Callable[[Stage], Awaitable[None]]] = []
    for number, run_id in enumerate(run_ids):
        actors.append(_submitter(rng, run_id, run_ids[:number]))
        if rng.random() < 0.35:
            actors.append(partial(_cancel, run_id=run_id, at=rng.choice(MOMENTS)))
        if rng.random() < 0.3:
            actors.append(partial(_answer, run_id=run_id, at=rng.choice(MOMENTS)))
        if rng.random() < 0.3:
            actors.append(partial(_preempt, number=number, at=rng.choice(MOMENTS)))
    readers = range(rng.randint(0, 2))
    actors.extend([_reader(rng, number, run_ids) for number in readers])
    fault = None
    if rng.random() < 0.15:
        mode = rng.choice(_FAULT_MODES)
        fault = StoreFault(mode, rng.randint(3, LAST_FAULTY_CALL))
    end = rng.choice(("", "", "", "stop", "kill"))
    return Story(_settings(rng), tuple(actors), fault, end, rng.choice(MOMENTS))


def with_waits(story: Story, rng: Random) -> Story:
    """The story with runs that wait, and people who make them. Nothing that it had is otherwise."""
    if rng.random() > WAITING_SHARE:
        return story
    actors: list[Callable[[Stage], Awaitable[None]]] = []
    for number in range(rng.randint(1, 3)):
        run_id = f"w{number}"
        actors.append(_waiter(rng, run_id))
        actors += [
            partial(act, run_id=run_id, at=rng.choice(MOMENTS))
            for act in (_pause, _go_on, _enqueue, _cancel, _pause_queue)
            if rng.random() < 0.3
        ]
    lasts = story.lasts
    if rng.random() < 0.3:
        lasts = RECURRING_ENDS
        at = rng.choice(MOMENTS)
        actors.append(partial(_recur, seconds=rng.choice((1.0, 15.0)), at=at))
    return replace(story, actors=(*story.actors, *actors), lasts=lasts)


def _waiter(rng: Random, run_id: str) -> Any:
    options: dict[str, Any] = {
        "kind": rng.choice(("script", "victim")),
        "priority": rng.choice(("CRITICAL", "MEDIUM", "BACKGROUND")),
        "on_restart": rng.choice((None, "fail", "ask")),
    }
    if rng.random() < 0.3:
        options["stashed"] = True
    elif rng.random() < 0.4:
        options["delay"] = rng.choice(MOMENTS)
    if rng.random() < 0.5:
        options |= {"retries": rng.randint(1, 2), "backoff": rng.choice(MOMENTS)}
    if rng.random() < 0.2:
        options["timeout"] = rng.choice((0.01, 0.5))
    end = rng.choice((["fail"], ["fail_until", 2], ["log", "x"]))
    return partial(
        _submit,
        ops=[["exec", rng.choice(MOMENTS)], end],
        run_id=run_id,
        at=rng.choice(MOMENTS),
        options=options,
    )


def _settings(rng: Random) -> dict[str, Any]:
    return {
        "max_concurrent": rng.randint(1, 3),
        "queue_capacity": rng.randint(1, 4),
        "recorder_capacity": rng.randint(1, 4),
        "ring_events": rng.choice((1, 4, 16)),
        "frame_events": rng.choice((1, 3, 50)),
        "throttle_bytes": rng.choice((4, 64)),
        "output_head_bytes": rng.choice((4, 2 << 20)),
        "output_tail_bytes": rng.choice((6, 6 << 20)),
        "max_parked_asks": rng.choice((1, 100)),
    }


def _submitter(rng: Random, run_id: str, earlier: list[str]) -> Any:
    options: dict[str, Any] = {
        "kind": rng.choice(("script", "script", "victim")),
        "priority": rng.choice(("CRITICAL", "MEDIUM", "BACKGROUND")),
        "on_restart": rng.choice((None, None, "fail", "ask")),
    }
    if rng.random() < 0.2:
        options["timeout"] = rng.choice((0, 0.01, 0.5))
    if earlier and rng.random() < 0.3:
        options["after"] = (rng.choice(earlier),)
    return partial(
        _submit,
        ops=draw_ops(rng),
        run_id=run_id,
        at=rng.choice(MOMENTS),
        options=options,
    )


def draw_ops(rng: Random, depth: int = 0) -> list[Op]:
    """What a run does; nested at most twice."""
    return [_draw_op(rng, depth, number) for number in range(rng.randint(0, 3))]


def _draw_op(rng: Random, depth: int, number: int) -> Op:
    seconds = rng.choice(MOMENTS)
    # Names are unique within a run, whatever its nesting.
    name = f"{depth}.{number}.{rng.randrange(10**6)}"
    choices: list[Callable[[], Op]] = [
        lambda: ["sleep", seconds],
        lambda: ["log", name],
        lambda: ["step", name, seconds],
        lambda: ["ask", "q" if not depth and not number else name,
                 rng.choice((None, "no")), rng.choice((0.01, 0.5))],
        lambda: ["exec", seconds],
        lambda: ["artifact", name, ["a" * rng.randint(1, 9)] * 2, seconds / 10],
        lambda: ["flood", 2, 2],
        lambda: ["fail"],
    ]  # fmt: skip
    if depth < 2:
        choices += [
            lambda: ["nest", draw_ops(rng, depth + 1), draw_ops(rng, depth + 1)],
            lambda: ["spawn", name, draw_ops(rng, depth + 1)],
        ]
    return rng.choice(choices)()


def _reader(rng: Random, number: int, run_ids: list[str]) -> Any:
    return partial(
        _read,
        name=f"reader {number}",
        run_id=rng.choice((None, *run_ids)),
        overflow=rng.choice(("catch_up", "drop_oldest", "disconnect")),
        pause=rng.choice(MOMENTS),
        at=rng.choice(MOMENTS),
        leaves=rng.choice((0.1, 1.0, STORY_ENDS)),
    )


async def _submit(
    stage: Stage, *, ops: list[Op], run_id: str, at: float, options: dict[str, Any]
) -> None:
    await trio.sleep(at)
    with stage.person(f"submits {run_id}"):
        await stage.submit(*ops, run_id=run_id, **options)


async def _cancel(stage: Stage, *, run_id: str, at: float) -> None:
    await trio.sleep(at)
    with stage.person(f"cancels {run_id}"):
        await stage.cancel(run_id, "a drill")


async def _answer(stage: Stage, *, run_id: str, at: float) -> None:
    await trio.sleep(at)
    with stage.person(f"answers {run_id}"):
        fact = await stage.core.control.answer(run_id, "q", "yes", "a person")
        stage.notes.told(fact)


async def _preempt(stage: Stage, *, number: int, at: float) -> None:
    await trio.sleep(at)
    stage.preempt(number)


async def _pause(stage: Stage, *, run_id: str, at: float) -> None:
    await trio.sleep(at)
    with stage.person(f"pauses {run_id}"):
        await stage.core.suspension.pause(run_id)


async def _go_on(stage: Stage, *, run_id: str, at: float) -> None:
    await trio.sleep(2 * at)
    with stage.person(f"resumes {run_id}"):
        await stage.core.suspension.resume(run_id)


async def _enqueue(stage: Stage, *, run_id: str, at: float) -> None:
    await trio.sleep(2 * at)
    request = RearrangeRequest(stashed=False, move="first")
    with stage.person(f"enqueues {run_id}"):
        await stage.core.line.rearrange(run_id, request)


async def _pause_queue(stage: Stage, *, run_id: str, at: float) -> None:
    """Pause the queue for as long as it was left alone."""
    await trio.sleep(at)
    with stage.person(f"pauses the queue for {run_id}"):
        await stage.core.queue.pause()
        await trio.sleep(at)
        await stage.core.queue.resume()


async def _recur(stage: Stage, *, seconds: float, at: float) -> None:
    """Set a schedule whose runs take so long, and remove it before the story's end."""
    await trio.sleep(at)
    run = RunRequest(kind="script", inputs={"ops": [["sleep", seconds]]})
    with stage.person("sets a schedule"):
        request = ScheduleRequest(name="tick", timing="10s", run=run)
        await stage.core.schedules.set(request, None)
        await trio.sleep(22)
        await stage.core.schedules.remove("tick")


async def _read(
    stage: Stage,
    *,
    name: str,
    run_id: str | None,
    overflow: Any,
    pause: float,
    at: float,
    leaves: float,
) -> None:
    await trio.sleep(at)
    with trio.move_on_after(leaves), stage.person(name):
        await stage.watch(run_id, overflow=overflow, pause=pause)


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
                nursery.start_soon(_tell, number, index, rng, broken, logs, blank)
    if limit.cancelled_caught:
        broken.append("something hangs")
    for index in sorted(logs):
        digest.update(repr(logs[index]).encode())
    facts = sum(map(len, logs.values()))
    return Schedule(number, stories, facts, tuple(broken), digest.hexdigest())


async def _tell(
    number: int,
    index: int,
    rng: Random,
    broken: list[str],
    logs: dict[int, list[Any]],
    blank: BlankLogs,
) -> None:
    # Of a generator of its own: what a number tells of all else is as it always was.
    story = with_waits(draw_story(rng), Random(f"{number}.{index}.waits"))
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
