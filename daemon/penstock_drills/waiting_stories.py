"""The stories of runs that wait: for another try, a moment, a schedule, or for who paused them."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import trio

from penstock.words.api import RearrangeRequest, RunRequest, ScheduleRequest
from penstock_drills.scripts import Op
from penstock_drills.simulator import Stage

#: Virtual seconds by which a run may start late where it has a slot.
PROMPT_SECONDS = 0.1


async def retries(stage: Stage) -> None:
    """Runs that fail and are executed again; one is cancelled between two executions, one has none left."""
    with stage.person("submitter"):
        again: Any = {"retries": 2, "backoff": 1.0}
        await stage.submit(["step", "s", 0.5], ["fail_until", 2], run_id="a", **again)
        await stage.submit(["exec", 1], ["fail"], run_id="b", **again)
        await stage.submit(run_id="c", after=("a",))
        await stage.submit(run_id="d", after=("b",))
        await stage.submit(["fail"], run_id="e", retries=9, backoff=20.0)
        # Its time is that of all its executions.
        await stage.submit(
            ["sleep", 1], ["fail"], run_id="f", retries=9, backoff=0.0, timeout=2.5
        )
        await trio.sleep(6)
        await stage.cancel("e", "enough")
    await stage.until_ended("a", "b", "c", "d", "e", "f")
    if stage.undisturbed:
        ends = {"a": ("completed", 2), "b": ("failed", 3), "e": ("cancelled", 1)}
        for run_id, expected in ends.items():
            view = await stage.core.reader.view(run_id)
            if (view.state, view.attempt) != expected:
                stage.broken.append(f"{run_id} is {view.state} after {view.attempt}")


async def moments(stage: Stage) -> None:
    """Runs that start no earlier, or are put aside; people change that while others come and go."""
    with stage.person("submitter"):
        await stage.submit(["sleep", 1], run_id="a", delay=2)
        await stage.submit(["sleep", 1], run_id="b", stashed=True)
        await stage.submit(["sleep", 1], run_id="c", delay=30)
        await stage.submit(run_id="d", stashed=True)
        # When the time of the first comes, all slots are taken.
        await stage.submit(["sleep", 3], run_id="e")
        await stage.submit(["sleep", 4], run_id="f")
        await trio.sleep(1)
        await _rearrange(stage, "b", delay=5)
        await _rearrange(stage, "c", delay=6)
        await _rearrange(stage, "a", move="last", priority="HIGH")
        await _rearrange(stage, "e", stashed=True)
    with stage.person("canceller"):
        await stage.cancel("d", "not wanted")
        await _rearrange(stage, "d", stashed=False)
    await stage.until_ended("a", "b", "c", "d", "e", "f")
    if stage.undisturbed:
        for run_id, seconds in {"a": 3.0, "b": 6.0, "c": 7.0}.items():
            await _check_prompt(stage, run_id, seconds)


async def _rearrange(stage: Stage, run_id: str, **words: Any) -> None:
    request = RearrangeRequest.model_validate(words)
    with stage.person(f"rearranges {run_id}"):
        await stage.core.line.rearrange(run_id, request)


async def _check_prompt(stage: Stage, run_id: str, seconds: float) -> None:
    """Whether it started so many virtual seconds after the story's beginning."""
    view = await stage.core.reader.view(run_id)
    assert view.started_at is not None
    late = (view.started_at - stage.core.started_at).total_seconds() - seconds
    if late > PROMPT_SECONDS:
        stage.broken.append(f"{run_id} was started {late} seconds late")


async def cut_short(stage: Stage) -> None:
    """The life before: killed while runs wait for a moment, for another try, and for a schedule."""
    await stage.submit(["sleep", 1], run_id="a", delay=2)
    await stage.submit(["fail_until", 2], run_id="b", retries=1, backoff=3.0)
    await stage.submit(["sleep", 1], run_id="c", stashed=True)
    await stage.submit(["exec", 9], run_id="d")
    await _set(stage, "tick", "10s", ["sleep", 1])
    await trio.sleep(0.5)
    await stage.core.suspension.pause("d")
    stage.kill()
    await trio.sleep_forever()


async def kept_moments(stage: Stage) -> None:
    """The life after a kill: each moment is kept, and what was put aside or paused stays so."""
    await stage.until_ended("a", "b")
    if stage.undisturbed:
        await _check_prompt(stage, "a", 1.5)
        for run_id, ended, stashed in (
            ("b", True, False),
            ("c", False, True),
            ("d", False, True),
        ):
            view = await stage.core.reader.view(run_id)
            if (view.ended, view.stashed) != (ended, stashed):
                stage.broken.append(f"after the kill {run_id} is {view.state}")
    with stage.person("submitter"):
        await _rearrange(stage, "c", stashed=False)
        await _rearrange(stage, "d", delay=1)
        await trio.sleep(9)
        await stage.core.schedules.remove("tick")
    await stage.until_ended("c", "d")


async def recurring(stage: Stage) -> None:
    """Schedules: one whose runs outlast its span, one that is changed, one that is removed."""
    begun = trio.current_time()
    with stage.person("submitter"):
        await _set(stage, "tick", "10s", ["sleep", 1])
        await _set(stage, "long", "11s", ["sleep", 14])
        await _set(stage, "gone", "12s", ["exec", 1])
        await _set(stage, "other", "1h", ["sleep", 1])
        await trio.sleep_until(begun + 14)
        await stage.core.schedules.remove("gone")
        await _set(stage, "other", "10s", ["log", "x"], replace=True)
        # In the moment of a due time.
        await trio.sleep_until(begun + 30)
        await stage.core.schedules.remove("tick")
    await trio.sleep_until(begun + 35)
    if stage.undisturbed:
        await _check_due_times(stage)


async def _set(
    stage: Stage, name: str, timing: str, *ops: Op, replace: bool = False
) -> None:
    run = RunRequest(kind="script", inputs={"ops": ops})
    request = ScheduleRequest(name=name, timing=timing, run=run, replace=replace)
    await stage.core.schedules.set(request, None)


async def _check_due_times(stage: Stage) -> None:
    """Each has its run, or was passed over."""
    [long, other] = await stage.core.schedules.rows()
    spans = {long.name: (11, 3), other.name: (10, 2)}
    for row in (long, other):
        span, times = spans[row.name]
        if row.due != row.made_at + timedelta(seconds=span * (times + 1)):
            stage.broken.append(f"{row.name} is due {row.due}")
    if long.skipped != 1:
        stage.broken.append(f"{long.name} was passed over {long.skipped} times")


async def pauses(stage: Stage) -> None:
    """Programs are paused; they go on, are cancelled, are left so. Meanwhile the queue is paused."""
    with stage.person("submitter"):
        # Its other branch is to wait while its program stands.
        child: Op = ["nest", [["exec", 2]], [["sleep", 1], ["spawn", "x", []]]]
        await stage.submit(child, run_id="a", timeout=4)
        await stage.submit(["exec", 90], run_id="b")
        await trio.sleep(0.5)
        await stage.core.suspension.pause("a")
        await stage.core.suspension.pause("b")
        # They keep their slots, so there is none for these, whose moment a claim is made for.
        await stage.submit(["sleep", 1], run_id="e")
        await stage.submit(run_id="f", delay=0.2)
        await trio.sleep(0.5)
        await stage.core.queue.pause(reason="a drill")
        await stage.submit(["sleep", 1], run_id="c")
        await trio.sleep(6)
        await stage.cancel("b", "enough")
        await trio.sleep(1)
        await stage.core.suspension.resume("a")
        await stage.core.queue.resume()
    with stage.person("second"):
        await stage.submit(["exec", 3], run_id="d", kind="victim")
        await trio.sleep(1)
        await stage.core.suspension.pause("d")
    await stage.until_ended("a", "b", "c", "e", "f")
    if stage.undisturbed:
        for run_id, state in {"a": "completed", "b": "cancelled"}.items():
            view = await stage.core.reader.view(run_id)
            if view.state != state:
                stage.broken.append(f"{run_id} is {view.state}: {view.error}")
