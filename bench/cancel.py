"""Cancelling: a thousand sleeping runs at once, and one process tree that does not listen to TERM.

The reference for the thousand is what Trio alone takes to unwind as many sleeping tasks; ours also
chooses, commits and publishes a thousand ends.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import trio
import trio.testing
from bench._shared import Row, in_turns, open_bench_core, scratches, wait_idle

from penstock.kinds.command import KIND
from penstock.log.writes import RequestCancel
from penstock.pipeline import Inputs, Kind, Output, Run
from penstock.words.api import SubmitRequest

RUNS = 1000
#: Seconds between TERM and KILL: shorter than the default, to measure what is added to it.
GRACE = 0.5
#: A tree of two that ignore TERM.
STUBBORN = (
    "trap '' TERM; (trap '' TERM; echo up; while :; do sleep 1; done) & wait; wait"
)


async def sleep(_run: Run, _inputs: Inputs) -> Output:
    """A run that waits for its cancel."""
    await trio.sleep_forever()
    raise AssertionError("nobody wakes it")


async def ours(folder: Path) -> tuple[float, float]:
    """Milliseconds from the request to the last recorded end, and of the CPU meanwhile."""
    kind = Kind("sleep", "Sleep", Inputs, Output, sleep)
    async with open_bench_core(
        folder, kind, max_concurrent=RUNS, queue_capacity=RUNS
    ) as core:
        async with trio.open_nursery() as nursery:
            for _ in range(RUNS):
                request = SubmitRequest(kind="sleep", inputs={})
                nursery.start_soon(core.submitter.submit, request)
        while core.statistics().running < RUNS:
            await core.bus.wait_published(None)
        await trio.testing.wait_all_tasks_blocked(0.01)
        began, spent = time.perf_counter(), time.process_time()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(wait_idle, core, RUNS)
            request_all = RequestCancel("", "bench", core.now(), all_open=True)
            await core.recorder.record(request_all)
        wall, cpu = time.perf_counter() - began, time.process_time() - spent
        return wall * 1000, cpu * 1000


async def bare() -> tuple[float, float]:
    """Milliseconds until a thousand sleeping tasks have unwound, and of the CPU."""
    async with trio.open_nursery() as nursery:
        for _ in range(RUNS):
            nursery.start_soon(trio.sleep_forever)
        await trio.testing.wait_all_tasks_blocked()
        began, spent = time.perf_counter(), time.process_time()
        nursery.cancel_scope.cancel()
    wall, cpu = time.perf_counter() - began, time.process_time() - spent
    return wall * 1000, cpu * 1000


async def stubborn_tree(folder: Path) -> tuple[float, float]:
    """Milliseconds beyond the grace until the tree is proven gone and the end recorded."""
    async with open_bench_core(folder, KIND, kill_grace=GRACE) as core:
        inputs = {"argv": ["sh", "-c", STUBBORN], "cwd": str(folder)}
        request = SubmitRequest(kind="command", inputs=inputs)
        run_id = (await core.submitter.submit(request)).view.run_id
        with core.bus.subscribe(run_id, 0) as subscription:
            async for batch in subscription:
                if any(fact.type == "log" for fact in batch.facts):
                    break
        began = time.perf_counter()
        receipt = await core.control.cancel(run_id, "bench", wait=True)
        assert receipt.survivors == (), receipt
        return (time.perf_counter() - began - GRACE) * 1000, 0.0


def rows(long: bool) -> Iterator[Row]:
    """A thousand runs beside a thousand tasks; what a stubborn tree takes beyond its grace."""
    rounds = 9 if long else 5
    with scratches() as fresh:
        runs, tasks, trees = in_turns(
            rounds,
            lambda: trio.run(ours, fresh()),
            lambda: trio.run(bare),
            lambda: trio.run(stubborn_tree, fresh()),
        )
    name = "cancel 1,000 sleeping runs"
    walls, spent = [[w for w, _ in found] for found in (runs, tasks)], [c for _, c in runs]  # fmt: skip
    yield Row(f"{name} / tasks", "ms", "", *walls)
    yield Row(f"{name}, CPU", "ms", "ours <= 200", spent)
    yield Row(
        "cancel a tree that ignores TERM, beyond grace",
        "ms",
        "ours <= 50",
        [wall for wall, _ in trees],
    )
