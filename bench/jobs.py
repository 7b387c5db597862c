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
    Row,
    in_turns,
    open_bench_core,
    scratch,
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


async def ours(folder: Path, count: int) -> float:
    """Runs per second from the first submit to the last recorded end."""
    async with open_bench_core(folder, NOOP, max_concurrent=SLOTS) as core:
        began = time.perf_counter()
        for _ in range(count):
            request = SubmitRequest(kind="noop", inputs={})
            await core.submitter.submit(request, wait=True)
        # Nobody reads while runs are submitted, as with huey: each of both asks for its ends then.
        await wait_idle(core, count)
        return count / (time.perf_counter() - began)


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


async def start_waits(folder: Path, count: int) -> list[float]:
    """Milliseconds from submit to `run.started` with a free slot."""
    begun: list[float] = []

    async def note(_run: Run, _inputs: Inputs) -> Output:
        begun.append(time.perf_counter())
        await trio.lowlevel.checkpoint()
        return Output()

    waits = []
    kind = Kind("noop", "Nothing", Inputs, Output, note)
    async with open_bench_core(folder, kind, max_concurrent=SLOTS) as core:
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
    with scratch() as folder:
        numbers = iter(range(1000))

        def fresh() -> Path:
            place = folder / str(next(numbers))
            place.mkdir()
            return place

        runs, jobs = in_turns(
            rounds,
            lambda: trio.run(ours, fresh(), count),
            lambda: theirs(fresh(), count),
        )
        waits = [trio.run(start_waits, fresh(), 100) for _ in range(3)]
    yield Row("no-op runs / huey", "runs/s", "ratio >= 1", runs, jobs)
    yield Row(
        "submit to started, p99", "ms", "ours <= 100", [share(w, 0.99) for w in waits]
    )
