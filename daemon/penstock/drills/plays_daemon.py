"""Stories about the daemon: stops, kills, repair, and the way in."""

from __future__ import annotations

import trio

from penstock.drills.stage import Stage

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
        await stage.core.scheduler.shutdown()
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
        await stage.core.scheduler.shutdown(cancel_queued=True)
    stage.stop()
    await trio.sleep_forever()


async def _answer_late(stage: Stage) -> None:
    """Answer so shortly before the expiry that both are on their way at once."""
    with stage.person("answers q"):
        view = await stage.core.scheduler.view("q")
        while "q" not in view.asks:
            await stage.core.bus.wait_published("q")
        expires = view.asks["q"].expires_at
        assert expires is not None
        left = (expires - stage.core.now()).total_seconds()
        await trio.sleep(left - SLOW_STORE / 2)
        await stage.core.scheduler.answer("q", "q", "yes", "a person")


async def cancel_all(stage: Stage) -> None:
    """The daemon is shut down with everything cancelled."""
    with stage.person("submitter"):
        await stage.submit(["spawn", "one", [["exec", 9]]], run_id="a")
        await stage.submit(["artifact", "x", ["text", "more"], 0.01], ["sleep", 9])
        await stage.submit(["sleep", 9], run_id="c", after=("a",))
        await trio.sleep(1)
    await stage.core.scheduler.shutdown(cancel_queued=True)
    stage.stop()
    await trio.sleep_forever()


async def admission(stage: Stage) -> None:
    """Submits wait in line for room; one gives up, and an id is cancelled before it comes."""
    async with trio.open_nursery() as nursery:
        for number in range(5):
            nursery.start_soon(_submit_alone, stage, f"s{number}")
        await trio.sleep(0.5)
        with stage.person("canceller"):
            await stage.core.scheduler.cancel("late", "not wanted", wait=True)
            await stage.core.scheduler.cancel("s2", "not wanted", wait=True)
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
        await stage.core.scheduler.answer("b", "restart", "requeue", "a person")
    await stage.until_ended("a", "b", "c", "d", "e")
