"""Many boxes that write one log at once, each a process with a store of its own and nothing around it.

How far a log comes is bounded by the row that gives each its turn: what is measured is how many facts, and
how many runs, a second all of them have recorded together, and how long one of them waits for a commit.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

import trio
from bench._postgres import (
    Box,
    PostgresServer,
    begin,
    cpu_of,
    open_boxes,
    store_of,
    told_to_begin,
)
from bench._shared import Row, share
from bench.append import TEXT
from bench.log_statements import turn

from fakes.stores import append, enqueue
from penstock.concurrency.threads import open_threads
from penstock.log.kept import RunRow
from penstock.log.store import Store
from penstock.log.tables.queries import READERS
from penstock.words.events import Log

#: Boxes that write at once.
WRITERS = (1, 2, 4, 8, 16)
#: Facts, and no-op runs, that share a commit.
FACTS, RUNS = 100, 5
#: Seconds that they write.
SECONDS = 4.0


class Found(NamedTuple):
    """Of all writers: things and commits a second, milliseconds of a commit, and the server's CPU.

    That is in microseconds for each thing. It tells what a rate on a busy machine does not: what is read.
    """

    rate: float
    commits: float
    p50: float
    p95: float
    server: float


async def write_facts(store: Store, name: str) -> int:
    """One commit of facts of a run that nobody else writes."""
    texts = [Log(text=TEXT)] * FACTS
    await store.commit([append(name, *texts)])
    return FACTS


async def writer(box: Box, what: str) -> dict[str, Any]:
    """What one box has recorded in its seconds, and the milliseconds of each commit."""
    waits: list[float] = []
    done = number = 0
    running: list[RunRow] = []
    async with (
        open_threads(1, "store") as writing,
        open_threads(READERS, "readers") as reading,
        store_of(box)(Path(), box.name, writing, reading) as store,
    ):
        await store.commit([enqueue(f"{box.name}-facts", capacity=None)])
        await told_to_begin()
        end = time.perf_counter() + SECONDS
        while (asked := time.perf_counter()) < end:
            if what == "facts":
                done += await write_facts(store, f"{box.name}-facts")
            else:
                names = [f"{box.name}-{number}-{n}" for n in range(RUNS)]
                running = await turn(store, names, running, life=box.name)
                done += len(running)
            number += 1
            waits.append((time.perf_counter() - asked) * 1000)
    return {"done": done, "waits": waits}


def write_at_once(
    server: PostgresServer, what: str, writers: int, queued: int = 0
) -> Found:
    """So many boxes on a new log, in whose line so many runs stand already."""
    schema = server.new_schema()
    if queued:
        trio.run(fill, Box(server.url, schema, "before"), queued)
    boxes = [Box(server.url, schema, f"box-{n}") for n in range(writers)]
    with open_boxes("many_writers", boxes, what) as there:
        spent = cpu_of(server)
        told: list[Mapping[str, Any]] = begin(there)
        spent = cpu_of(server) - spent
    waits = [wait for one in told for wait in one["waits"]]
    done = sum(one["done"] for one in told)
    return Found(
        done / SECONDS, len(waits) / SECONDS, median(waits), share(waits, 0.95), spent / done * 1e6
    )  # fmt: skip


async def fill(box: Box, count: int) -> None:
    """Runs in line that nobody can start: of a kind that no claim of these boxes names."""
    async with (
        open_threads(1, "store") as writing,
        open_threads(READERS, "readers") as reading,
        store_of(box)(Path(), box.name, writing, reading) as store,
    ):
        new = [enqueue(f"q-{n}", capacity=None, kind="other") for n in range(count)]
        await store.commit(new)


def writer_rows(rounds: int, server: PostgresServer) -> Iterator[Row]:
    """Facts and no-op runs, by the number of boxes; beside one box alone in the same round."""
    yield from _rows(rounds, server, "facts", 0)
    yield from _rows(rounds, server, "runs", 0)
    yield from _rows(rounds, server, "runs", 1000)


def _rows(rounds: int, server: PostgresServer, what: str, queued: int) -> Iterator[Row]:
    found: dict[int, list[Found]] = {count: [] for count in WRITERS}
    for _ in range(rounds):
        for count, results in found.items():
            results.append(write_at_once(server, what, count, queued))
    alone = [one.rate for one in found[1]]
    shared = f"{FACTS} facts" if what == "facts" else f"{RUNS} no-op runs"
    line = f", {queued} in line" if queued else ""
    for count, results in found.items():
        boxes = "1 box" if count == 1 else f"{count} boxes"
        name = f"one log, {boxes}, {shared} a commit{line}"
        yield Row(f"{name} / 1 box", f"{what}/s", "", [f.rate for f in results], alone)
        yield Row(f"{name}, a commit's p50", "ms", "", [f.p50 for f in results])
        yield Row(f"{name}, a commit's p95", "ms", "", [f.p95 for f in results])
        thing = what.removesuffix("s")
        row = f"{name}, CPU of the server for a {thing}"
        yield Row(row, "us", "", [f.server for f in results])


if __name__ == "__main__":
    url, schema, name, _, what = sys.argv[1:]
    told = trio.run(writer, Box(url, schema, name), what)
    print(json.dumps(told))
