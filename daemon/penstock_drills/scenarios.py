"""The stories that drills tell with a fault at every point."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import trio

from penstock.words.wait_reason import RESTART_ASK
from penstock_drills.simulator import Stage
from penstock_drills.waiting_stories import (
    cut_short,
    kept_moments,
    moments,
    pauses,
    recurring,
    retries,
)


async def nested(stage: Stage) -> None:
    """Nurseries inside the pipeline; one branch fails while another sleeps."""
    with stage.person("submitter"):
        await stage.submit(
            ["nest", [["sleep", 1], ["log", "a"]], [["nest", [["step", "s", 1]]]]],
            run_id="a",
        )
        await stage.submit(
            ["nest", [["sleep", 5]], [["sleep", 1], ["fail"]]], run_id="b"
        )
        await stage.submit(["nest", [["exit"]], [["sleep", 3]]], run_id="c")
        await stage.submit(["nest", [["spoil", 2]], [["sleep", 3]]], run_id="d")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(_read_slowly, stage, "catch_up", "a")
        with stage.person("late submitter"):
            await trio.sleep(1.5)
            await stage.submit(["sleep", 1], run_id="e")
        await stage.until_ended("a", "b", "c", "d", "e")
        nursery.cancel_scope.cancel(reason="the story is told")


async def readers(stage: Stage) -> None:
    """Readers before, during and after a run; each is told the whole story, and that it is over."""
    async with trio.open_nursery() as nursery:
        for number, seconds in enumerate((0.0, 0.001, 1.0, 1.001, 3.0)):
            nursery.start_soon(_read_whole, stage, number, seconds)
        with stage.person("submitter"):
            await stage.submit(["log", "x"], ["sleep", 1], ["flood", 2, 3], run_id="a")
        await stage.until_ended("a")


async def _read_whole(stage: Stage, number: int, seconds: float) -> None:
    await trio.sleep(seconds)
    with stage.person("subscriber" if number == 1 else f"reader {number}"):
        with trio.move_on_after(60) as limit:
            await stage.watch("a")
        known = stage.accepted("a") and not stage.doubtful
        if limit.cancelled_caught and known:
            stage.broken.append("a reader was not told that the run had ended")


async def full_recorder(stage: Stage) -> None:
    """More tasks emit than the recorder takes; a cancel comes while they wait."""
    with stage.person("submitter"):
        await stage.submit(["flood", 4, 2], run_id="a")
        await stage.submit(["flood", 3, 1], ["fail"], run_id="b")
        await trio.sleep(0.02)
        await stage.cancel("a", "enough")
    await stage.until_ended("a", "b")


async def rolling_output(stage: Stage) -> None:
    """Runs print more than is kept of it, while somebody reads slowly and a program speaks too."""
    async with trio.open_nursery() as nursery:
        nursery.start_soon(_read_slowly, stage, "catch_up", "a")
        with stage.person("submitter"):
            await stage.submit(["flood", 2, 8], ["sleep", 1], ["log", "z"], run_id="a")
            await stage.submit(["exec", 1], ["exec", 1], ["flood", 1, 6], run_id="b")
        await stage.until_ended("a", "b")
        nursery.cancel_scope.cancel(reason="the story is told")


async def processes(stage: Stage) -> None:
    """Processes side by side, and one that is cancelled."""
    with stage.person("submitter"):
        await stage.submit(["nest", [["exec", 1]], [["exec", 2]]], run_id="a")
        await stage.submit(["exec", 90], run_id="b", on_restart="fail")
        await trio.sleep(1.5)
        await stage.cancel("b", "enough")
    await stage.until_ended("a", "b")


async def artifacts(stage: Stage) -> None:
    """Text that is held back when the fault comes."""
    with stage.person("submitter"):
        pieces = ["one ", "two ", "three"]
        await stage.submit(
            ["artifact", "x", pieces, 0.035], ["milestone", "m"], run_id="a"
        )
        await stage.submit(
            [
                "nest",
                [["artifact", "y", ["é" * 40, "z" * 90], 0.01]],
                [["sleep", 0.05]],
            ],
            run_id="b",
        )
        # It keeps the recorder full.
        await stage.submit(["flood", 3, 4], run_id="c")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(_read_slowly, stage, "catch_up")
        await stage.until_ended("a", "b")
        nursery.cancel_scope.cancel(reason="the story is told")


async def asks(stage: Stage) -> None:
    """Questions: answered, expired with a default and without, and answered as they expire."""
    with stage.person("submitter"):
        await stage.submit(["ask", "q", None, None], run_id="a")
        await stage.submit(["ask", "q", "no", 3], run_id="b")
        await stage.submit(["ask", "q", None, 2], run_id="c")
        # They take the slots that the others will want again.
        await stage.submit(["sleep", 5], run_id="d")
        await stage.submit(["sleep", 6], run_id="e")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(_answer, stage, "a", 1.0)
        # In the moment of its expiry.
        nursery.start_soon(_answer, stage, "b", 3.0)
        await stage.until_ended("a", "b", "c", "d", "e", seconds=20)
        nursery.cancel_scope.cancel(reason="the story is told")


async def doubts(stage: Stage) -> None:
    """Questions that are given up while others have the slots."""
    with stage.person("submitter"):
        await stage.submit(["doubt", "q", 1.5], run_id="a")
        await stage.submit(["nest", [["doubt", "q", 2]], [["sleep", 3]]], run_id="b")
        await stage.submit(["sleep", 5], run_id="c")
        await stage.submit(["sleep", 6], run_id="d")
    await stage.until_ended("a", "b", "c", "d")


async def _answer(stage: Stage, run_id: str, seconds: float) -> None:
    await trio.sleep(seconds)
    with stage.person(f"answers {run_id}"):
        await stage.core.control.answer(run_id, "q", "yes", "a person")


async def tree(stage: Stage) -> None:
    """A run with children and a grandchild, on fewer slots than runs."""
    with stage.person("submitter"):
        child = ["spawn", "grandchild", [["sleep", 1]]]
        await stage.submit(
            ["spawn", "quick", [["sleep", 0.005]]],
            ["nest", [["spawn", "one", [child]]], [["spawn", "two", [["fail"]]]]],
            run_id="a",
        )
    await stage.until_ended("a")


async def felled_tree(stage: Stage) -> None:
    """A tree is cancelled while a grandchild's process runs; the receipt is for all of it."""
    with stage.person("submitter"):
        child = ["spawn", "low", [["exec", 90]]]
        await stage.submit(["spawn", "high", [child]], run_id="a")
        await stage.submit(["nest", [["exec", 90]], [child]], run_id="b")
        await trio.sleep(1.5)
        await stage.cancel("a", "enough")
        await stage.cancel("b", "enough")
        await stage.cancel("b", "is it?")
    await stage.until_ended("a", "b")


async def dependencies(stage: Stage) -> None:
    """Runs after runs, of which one fails."""
    with stage.person("submitter"):
        await stage.submit(["sleep", 1], run_id="a")
        await stage.submit(["sleep", 1], ["fail"], run_id="b")
        await stage.submit(["sleep", 1], run_id="c", after=("a",))
        await stage.submit(run_id="d", after=("a", "b"))
        await stage.submit(run_id="e", after=("d",))
    await stage.until_ended("a", "b", "c", "d", "e")


async def preemption(stage: Stage) -> None:
    """Critical runs come while every slot is held by runs that give way; nothing is done twice."""
    with stage.person("submitter"):
        work = [["step", "s", 1], ["step", "t", 1], ["step", "u", 1]]
        await stage.submit(*work, run_id="a", kind="victim", priority="LOW")
        await stage.submit(*work, run_id="b", kind="victim", priority="BACKGROUND")
        await stage.submit(["step", "s", 3], run_id="c", priority="LOW")
        await trio.sleep(1.5)
        begun = trio.current_time()
        await stage.submit(["sleep", 2], run_id="critical", priority="CRITICAL")
        await stage.submit(["exec", 2], run_id="urgent", priority="HIGH")
        await stage.until_ended("critical", "urgent")
        # Had nobody given way, it would have waited for a whole victim.
        if stage.undisturbed and trio.current_time() > begun + 3:
            stage.broken.append("important runs waited for less important ones")
    await stage.until_ended("a", "b", "c", "critical", "urgent")
    if stage.undisturbed:
        for run_id in ("a", "b"):
            await _check_gave_way(stage, run_id)


async def _check_gave_way(stage: Stage, run_id: str) -> None:
    facts = await stage.core.store.read(run_id)
    types = [fact.type for fact in facts]
    if "run.preempted" not in types or types[-1] != "run.completed":
        stage.broken.append(f"{run_id} did not give way and come back: {types}")
    steps = types.count("step.completed")
    if steps != 3:
        stage.broken.append(f"{run_id} did its 3 steps {steps} times")


async def stalled_readers(stage: Stage) -> None:
    """A ring of few facts, and readers that are slower than it, one of each policy."""
    with stage.person("submitter"):
        await stage.submit(["flood", 3, 6], ["sleep", 1], ["flood", 2, 3], run_id="a")
    async with trio.open_nursery() as nursery:
        for overflow in ("catch_up", "drop_oldest", "disconnect"):
            nursery.start_soon(_read_slowly, stage, overflow)
        await stage.until_ended("a")
        await trio.sleep(2)
        nursery.cancel_scope.cancel(reason="the story is told")


async def _read_slowly(stage: Stage, overflow: Any, run_id: str | None = None) -> None:
    name = "subscriber" if overflow == "catch_up" else overflow
    with stage.person(name):
        await stage.watch(run_id, overflow=overflow, pause=0.05)


async def timeouts(stage: Stage) -> None:
    """Deadlines: in a nursery, while parked, at once with a cancel, and none left."""
    with stage.person("submitter"):
        await stage.submit(["nest", [["sleep", 9]]], run_id="a", timeout=1)
        await stage.submit(["ask", "q", "no", 5], ["sleep", 9], run_id="b", timeout=2)
        await stage.submit(["sleep", 9], run_id="c", timeout=1)
        await stage.submit(run_id="d", timeout=0)
        await trio.sleep(1)
        await stage.cancel("c", "in the same moment")
    await stage.until_ended("a", "b", "c", "d")


#: Virtual seconds that a slow store takes for each call.
SLOW_STORE = 0.1


async def stop(stage: Stage) -> None:
    """The daemon stops by itself while runs of every kind of restart execute, wait and queue."""
    with stage.person("submitter"):
        await stage.submit(["step", "s", 1], ["sleep", 9], run_id="a")
        await stage.submit(["sleep", 9], run_id="b", on_restart="fail")
        await stage.submit(["nest", [["sleep", 9]]], run_id="c", on_restart="ask")
        await stage.submit(["ask", "q", None, None], run_id="d", on_restart="ask")
        await stage.submit(["sleep", 1], run_id="e")
        await trio.sleep(2)
    stage.stop()
    await trio.sleep_forever()


async def slow_stop(stage: Stage) -> None:
    """The daemon stops while the claim of a run is being committed."""
    async with trio.open_nursery() as nursery:
        nursery.start_soon(_submit_alone, stage, "s1", 9.0)
        # One call for whether the id is known; in the middle of the next one, the commit.
        await trio.sleep(SLOW_STORE * 1.5)
        asked = trio.current_time()
        await stage.core.shutdown()
        if stage.undisturbed and trio.current_time() > asked + 5:
            stage.broken.append("the stop waited for a run that it should have ended")
        stage.stop()


async def slow_cancel(stage: Stage) -> None:
    """An answer and an expiry, and a cancel of all and an end, each during the other's commit."""
    with stage.person("submitter"):
        await stage.submit(["ask", "q", "no", 1], run_id="q")
        await stage.submit(["sleep", 2], run_id="a")
        begun = trio.current_time()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_answer_late, stage)
            await trio.sleep_until(begun + 2 - SLOW_STORE / 2)
            nursery.cancel_scope.cancel(reason="it is too late to answer")
        await stage.core.shutdown(cancel_queued=True)
    stage.stop()
    await trio.sleep_forever()


async def _answer_late(stage: Stage) -> None:
    """Answer so shortly before the expiry that both are on their way at once."""
    with stage.person("answers q"):
        view = await stage.core.reader.view("q")
        while "q" not in view.asks:
            await stage.core.bus.wait_published("q")
        expires = view.asks["q"].expires_at
        assert expires is not None
        left = (expires - stage.core.now()).total_seconds()
        await trio.sleep(left - SLOW_STORE / 2)
        await stage.core.control.answer("q", "q", "yes", "a person")


async def cancel_all(stage: Stage) -> None:
    """The daemon is shut down with everything cancelled."""
    with stage.person("submitter"):
        await stage.submit(["spawn", "one", [["exec", 9]]], run_id="a")
        await stage.submit(["artifact", "x", ["text", "more"], 0.01], ["sleep", 9])
        await stage.submit(["sleep", 9], run_id="c", after=("a",))
        await trio.sleep(1)
    await stage.core.shutdown(cancel_queued=True)
    stage.stop()
    await trio.sleep_forever()


async def admission(stage: Stage) -> None:
    """Submits wait in line for room; one gives up, and an id is cancelled before it comes."""
    async with trio.open_nursery() as nursery:
        for number in range(5):
            nursery.start_soon(_submit_alone, stage, f"s{number}")
        await trio.sleep(0.5)
        with stage.person("canceller"):
            await stage.cancel("late", "not wanted")
            await stage.cancel("s2", "not wanted")
        nursery.start_soon(_submit_alone, stage, "late")
    await stage.until_ended("s0", "s1", "s2", "s3", "s4", "late")


async def _submit_alone(stage: Stage, run_id: str, seconds: float = 1.0) -> None:
    name = "submitter" if run_id in {"s3", "s1"} else f"submits {run_id}"
    with stage.person(name):
        await stage.submit(["sleep", seconds], run_id=run_id)


async def interrupted(stage: Stage) -> None:
    """The life before: killed while everything is going on."""
    await stage.submit(["exec", 9], run_id="a")
    await stage.submit(["spawn", "one", [["sleep", 1]]], run_id="b", on_restart="ask")
    await stage.submit(["sleep", 9], run_id="c", on_restart="fail")
    await stage.submit(["ask", "q", "no", 5], run_id="d")
    await stage.submit(["sleep", 9], run_id="e")
    await trio.sleep(0.5)
    stage.kill()
    await trio.sleep_forever()


async def repaired(stage: Stage) -> None:
    """The life after a kill: what was interrupted goes on, or is asked about."""
    with stage.person("submitter"):
        await stage.core.control.answer("b", RESTART_ASK, "requeue", "a person")
    await stage.until_ended("a", "b", "c", "d", "e")


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
            "rolling output",
            rolling_output,
            {
                **_TIGHT,
                "output_head_bytes": 7,
                "output_tail_bytes": 12,
                "ring_events": 4,
            },
        ),
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
        Scenario("felled tree", felled_tree, _TIGHT),
        Scenario("dependencies", dependencies, _TIGHT),
        Scenario("preemption", preemption, _TIGHT),
        Scenario("stop", stop, _TIGHT),
        Scenario("cancel all", cancel_all, _TIGHT),
        Scenario("admission", admission, {"max_concurrent": 1, "queue_capacity": 1}),
        Scenario("stalled readers", stalled_readers, {**_TIGHT, "ring_events": 8}),
        Scenario("timeouts", timeouts, {"max_concurrent": 3}),
        Scenario("repair", repaired, _TIGHT, interrupted),
        Scenario("retries", retries, _TIGHT),
        Scenario("moments", moments, _TIGHT),
        Scenario("recurring", recurring, _TIGHT),
        Scenario("pauses", pauses, _TIGHT),
        Scenario("kept moments", kept_moments, _TIGHT, cut_short),
    )
}
