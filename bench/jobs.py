"""No-op runs per second: one submitter, five at a time, everything durable, beside huey.

Both live in one process each round. Each job of both is a commit to accept it, one to take it, one
to keep its result, unless commits are shared: that is what is measured. huey runs with
`fsync=True`, so that its commits are as durable as ours, and looks for work every millisecond
instead of ten times a second, which is the faster way for it here.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import trio
from bench._shared import (
    OpenStore,
    Row,
    in_turns,
    open_bench_core,
    open_file,
    scratches,
    share,
    wait_ended,
    wait_idle,
)
from huey import SqliteHuey  # type: ignore[import-untyped]

from penstock.pipeline import Inputs, Kind, Output, Run
from penstock.words.api import SubmitRequest

SLOTS = 5


async def do_nothing(_run: Run, _inputs: Inputs) -> Output:
    """A run that ends at once."""
    await trio.lowlevel.checkpoint()
    return Output()


NOOP = Kind("noop", "Nothing", Inputs, Output, do_nothing)


async def no_op_runs(
    folder: Path, count: int, open_store: OpenStore = open_file
) -> tuple[float, float]:
    """Runs per second from the first submit to the last recorded end, and microseconds of CPU for each."""
    async with open_bench_core(
        folder, NOOP, max_concurrent=SLOTS, open_store=open_store
    ) as core:
        began, spent = time.perf_counter(), time.process_time()
        for _ in range(count):
            request = SubmitRequest(kind="noop", inputs={})
            await core.submitter.submit(request, wait=True)
        # Nobody reads while runs are submitted, as with huey: each of both asks for its ends then.
        await wait_idle(core, count)
        rate = count / (time.perf_counter() - began)
        return rate, (time.process_time() - spent) / count * 1e6


def theirs(folder: Path, count: int) -> float:
    """The same of huey, with as many worker threads as we have slots."""
    queue = SqliteHuey(filename=str(folder / "huey.db"), fsync=True)
    task = queue.task()(lambda: True)
    consumer = queue.create_consumer(
        workers=SLOTS, initial_delay=0.001, max_delay=0.001, periodic=False
    )
    consumer.start()
    try:
        began = time.perf_counter()
        results = [task() for _ in range(count)]
        for result in results:
            result.get(blocking=True, backoff=1, max_delay=0.001)
        return count / (time.perf_counter() - began)
    finally:
        consumer.stop(graceful=True)
        queue.storage.close()


async def start_waits(
    folder: Path, count: int, open_store: OpenStore = open_file
) -> list[float]:
    """Milliseconds from a submit to its begin, with a free slot: two commits and the claim between."""
    begun: list[float] = []

    async def note(_run: Run, _inputs: Inputs) -> Output:
        begun.append(time.perf_counter())
        await trio.lowlevel.checkpoint()
        return Output()

    waits = []
    kind = Kind("noop", "Nothing", Inputs, Output, note)
    async with open_bench_core(
        folder, kind, max_concurrent=SLOTS, open_store=open_store
    ) as core:
        for _ in range(count):
            asked = time.perf_counter()
            request = SubmitRequest(kind="noop", inputs={})
            accepted = await core.submitter.submit(request)
            await wait_ended(core, accepted.view.run_id)
            waits.append((begun[-1] - asked) * 1000)
    return waits


def rows(long: bool) -> Iterator[Row]:
    """Throughput beside huey, and how soon a run starts."""
    count, rounds = (5000, 5) if long else (400, 5)
    with scratches() as fresh:
        runs, jobs = in_turns(
            rounds,
            lambda: trio.run(no_op_runs, fresh(), count)[0],
            lambda: theirs(fresh(), count),
        )
        waits = [trio.run(start_waits, fresh(), 100) for _ in range(3)]
    yield Row("no-op runs / huey", "runs/s", "ratio >= 1", runs, jobs)
    yield Row(
        "submit to started, p99", "ms", "ours <= 100", [share(w, 0.99) for w in waits]
    )
