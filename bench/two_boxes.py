"""Two boxes on one log: what they get done together, and how soon one knows and does what the other said."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

import trio
from bench._postgres import (
    Box,
    PostgresServer,
    begin,
    open_boxes,
    store_of,
    told_to_begin,
)
from bench._shared import (
    Row,
    in_turns,
    open_bench_core,
    scratch,
    share,
    wait_ended,
    wait_idle,
)
from bench.append import TEXT
from bench.jobs import NOOP, SLOTS

from penstock.kinds.command import KIND
from penstock.pipeline import Inputs, Kind, Output, Run
from penstock.runs.core import Core
from penstock.words.api import SubmitRequest
from penstock.words.events import Log

#: The shortest lease there is.
LEASE_SECONDS = 6.0
#: Facts, and cancels, of a round.
FACTS, CANCELS = 60, 6


class Together(NamedTuple):
    """Of one round: runs a second of all boxes, and microseconds of CPU of all their daemons for each."""

    rate: float
    cpu: float


async def half(box: Box, count: int, boxes: int) -> dict[str, float]:
    """Submit a part of the runs here, and wait until all boxes' are done; when, and the CPU of it."""
    with scratch() as folder:
        async with open_bench_core(
            folder, NOOP, open_store=store_of(box), life=box.name, box=box.name, max_concurrent=SLOTS
        ) as core:  # fmt: skip
            await told_to_begin()
            began, spent = time.time(), time.process_time()
            for _ in range(count // boxes):
                request = SubmitRequest(kind="noop", inputs={})
                await core.submitter.submit(request, wait=True)
            await wait_idle(core, count)
            return {
                "begin": began,
                "end": time.time(),
                "cpu": time.process_time() - spent,
            }


async def hold(box: Box) -> None:
    """Execute a run for ever, and tell when it has begun."""

    async def sleep(_run: Run, _inputs: Inputs) -> Output:
        print(json.dumps(None), flush=True)
        await trio.sleep_forever()
        raise AssertionError("nobody wakes it")

    kind = Kind("sleep", "Sleep", Inputs, Output, sleep)
    with scratch() as folder:
        async with open_bench_core(
            folder, kind, open_store=store_of(box), life=box.name, box=box.name
        ) as core:
            await core.submitter.submit(SubmitRequest(kind="sleep", inputs={}))
            await trio.sleep_forever()


def together(server: PostgresServer, count: int, boxes: int) -> Together:
    """So many no-op runs by so many daemons on one new log."""
    schema = server.new_schema()
    some = [Box(server.url, schema, f"box-{n}") for n in range(boxes)]
    with open_boxes("two_boxes", some, "half", count, boxes) as there:
        told = begin(there)
    seconds = max(one["end"] for one in told) - min(one["begin"] for one in told)
    return Together(count / seconds, sum(one["cpu"] for one in told) / count * 1e6)


@asynccontextmanager
async def open_two(
    server: PostgresServer,
    folder: Path,
    *kinds: Kind,
    other_kinds: tuple[Kind, ...] = (NOOP,),
    **settings: Any,
) -> AsyncIterator[tuple[Core, Core]]:
    """A box that executes these kinds, and one that cannot, or executes others."""
    schema = server.new_schema()
    places = [folder / name for name in ("here", "there")]
    for place in places:
        place.mkdir()
    here, there = (Box(server.url, schema, place.name) for place in places)
    async with (
        open_bench_core(
            places[0], *kinds, open_store=store_of(here), life="here", box="here", **settings
        ) as one,
        open_bench_core(
            places[1], *other_kinds, open_store=store_of(there), life="there", box="there", **settings
        ) as other,
    ):  # fmt: skip
        yield one, other


async def known_elsewhere(server: PostgresServer, folder: Path) -> list[float]:
    """Milliseconds from the acknowledgement of a fact on one box to a reader of the other's."""
    waits: list[float] = []
    acknowledged: dict[str, float] = {}

    async def emit(run: Run, _inputs: Inputs) -> Output:
        for number in range(FACTS):
            await trio.sleep(0.02)
            await run.emit(Log(text=f"{number} {TEXT}"))
            acknowledged[str(number)] = time.perf_counter()
        return Output()

    kind = Kind("emit", "Emit", Inputs, Output, emit)
    async with open_two(server, folder, kind) as (one, other):
        with other.bus.subscribe(None, 0) as subscription:
            await one.submitter.submit(SubmitRequest(kind="emit", inputs={}))
            async for batch in subscription:
                now = time.perf_counter()
                for fact in batch.facts:
                    if isinstance(fact.event, Log) and fact.event.text is not None:
                        said = acknowledged.get(fact.event.text.split()[0], now)
                        waits.append((now - said) * 1000)
                if len(waits) >= FACTS:
                    break
    return waits


async def claims(server: PostgresServer, folder: Path) -> list[float]:
    """Milliseconds from the acknowledgement of a run to its begin on another box, which has nothing to do.

    Its own box has its one slot taken, and submits it for any.
    """
    waits: list[float] = []
    begun: dict[str, float] = {}

    async def note(run: Run, _inputs: Inputs) -> Output:
        begun[run.run_id] = time.perf_counter()
        await trio.lowlevel.checkpoint()
        return Output()

    async def sleep(_run: Run, _inputs: Inputs) -> Output:
        await trio.sleep_forever()
        raise AssertionError("nobody wakes it")

    kind = Kind("note", "Note", Inputs, Output, note, portable=True)
    busy = Kind("sleep", "Sleep", Inputs, Output, sleep)
    async with open_two(
        server, folder, kind, other_kinds=(kind, busy), accept="team", max_concurrent=1
    ) as (_here, there):
        await there.submitter.submit(SubmitRequest(kind="sleep", inputs={}))
        for _ in range(FACTS):
            await trio.sleep(0.02)
            request = SubmitRequest(kind="note", inputs={}, anywhere=True)
            run_id = (await there.submitter.submit(request)).view.run_id
            acknowledged = time.perf_counter()
            await wait_ended(there, run_id)
            # It may have begun before its own box had its answer.
            waits.append(max(0.0, begun[run_id] - acknowledged) * 1000)
    return waits


async def cancels(server: PostgresServer, folder: Path) -> tuple[float, float]:
    """Milliseconds of a cancel's receipt, asked on the other box, and on the run's own; medians."""
    found: dict[str, list[float]] = {"other": [], "own": []}
    async with open_two(server, folder, KIND) as (one, other):
        for name, asked in (("other", other), ("own", one)) * CANCELS:
            inputs = {"argv": ["sleep", "60"], "cwd": "/"}
            request = SubmitRequest(kind="command", inputs=inputs)
            run_id = (await one.submitter.submit(request)).view.run_id
            await _wait_fact(one, run_id, "process.started")
            await _wait_fact(other, run_id, "process.started")
            began = time.perf_counter()
            receipt = await asked.control.cancel(run_id, "bench", wait=True)
            found[name].append((time.perf_counter() - began) * 1000)
            assert receipt.survivors == (), receipt
    return median(found["other"]), median(found["own"])


async def _wait_fact(core: Core, run_id: str, type_: str) -> None:
    with core.bus.subscribe(None, 0) as subscription:
        async for batch in subscription:
            if any(
                fact.run_id == run_id and fact.type == type_ for fact in batch.facts
            ):
                return


def die(box: Box) -> None:
    """Have a box begin a run, and kill it."""
    with open_boxes("two_boxes", [box], "hold") as (held,):
        held.kill()


async def takeover(server: PostgresServer, folder: Path) -> float:
    """Milliseconds from the end of a dead box's lease to the fact that says what becomes of its run."""
    schema = server.new_schema()
    here = Box(server.url, schema, "here", LEASE_SECONDS)
    async with open_bench_core(
        folder, NOOP, open_store=store_of(here), life="here", box="here"
    ) as core:
        dead = Box(server.url, schema, "dead", LEASE_SECONDS)
        await trio.to_thread.run_sync(die, dead)
        # The lease counts from the last commit of the dead, by the server's clock, which is ours.
        ((until,),) = server.ask(f"SELECT until FROM {schema}.boxes WHERE box = 'dead'")
        with core.bus.subscribe(None, 0) as subscription:
            async for batch in subscription:
                for fact in batch.facts:
                    if fact.type in {"run.failed", "run.requeued"}:
                        return fact.at.timestamp() * 1000 - until / 1000
    raise AssertionError("the log has no end")


def box_rows(
    rounds: int, runs: int, server: PostgresServer, fresh: Callable[[], Path]
) -> Iterator[Row]:
    """Two daemons beside one, each a process; a fact, a cancel and a death that cross boxes."""
    two, one = in_turns(
        rounds,
        lambda: together(server, runs, 2),
        lambda: together(server, runs, 1),
    )
    name = "no-op runs on PostgreSQL, 2 daemons / 1"
    yield Row(name, "runs/s", "", [f.rate for f in two], [f.rate for f in one])
    yield Row(f"{name}, CPU", "us", "", [f.cpu for f in two], [f.cpu for f in one])
    heard = [trio.run(known_elsewhere, server, fresh()) for _ in range(rounds)]
    name = "acknowledged to a reader of another box"
    yield Row(f"{name}, p50", "ms", "", [median(waits) for waits in heard])
    yield Row(f"{name}, p95", "ms", "", [share(waits, 0.95) for waits in heard])
    began = [trio.run(claims, server, fresh()) for _ in range(rounds)]
    name = "acknowledged on a busy box to begun on an idle one"
    yield Row(f"{name}, p50", "ms", "", [median(waits) for waits in began])
    yield Row(f"{name}, p95", "ms", "", [share(waits, 0.95) for waits in began])
    asked = [trio.run(cancels, server, fresh()) for _ in range(rounds)]
    far, near = [f for f, _ in asked], [n for _, n in asked]
    yield Row("cancel's receipt across boxes / on its own", "ms", "", far, near)
    late = [trio.run(takeover, server, fresh()) for _ in range(rounds)]
    name = f"a dead box's run, beyond its lease of {LEASE_SECONDS:.0f} s"
    yield Row(name, "ms", "", late)


if __name__ == "__main__":
    url, schema, name, lease, what, *words = sys.argv[1:]
    box = Box(url, schema, name, float(lease))
    told: Any = None
    if what == "half":
        count, boxes = words
        told = trio.run(half, box, int(count), int(boxes))
    else:
        trio.run(hold, box)
    print(json.dumps(told))
