"""Durable appends by 100 writers: from `run.emit` to the acknowledgement, every commit with FULL (PF-03, QA-03).

Ours does all that a run's fact goes through: encoding, the recorder, the store's checks, the
commit, the view, the ring. The reference writes the same rows, made beforehand, into the same
tables with the same settings in batches of 100, with nothing around it.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import trio
from bench._shared import Row, in_turns, open_bench_core, scratch, share

from penstock.log.checksum import checksum_of
from penstock.log.new_events import new_event
from penstock.log.sqlite.database import open_database
from penstock.log.sqlite.store import open_sqlite, threads
from penstock.log.tables.queries import READERS
from penstock.log.tables.rows import to_json, to_micros
from penstock.log.tables.transaction import INSERT_EVENT
from penstock.log.writes import Append
from penstock.pipeline import Inputs, Kind, Output, Run
from penstock.words.api import SubmitRequest
from penstock.words.events import Log
from penstock.words.recorded import Recorded
from penstock.words.values import utc_now

WRITERS = 100
#: Runs that the writers share, as many as have a slot.
RUNS = 5
TEXT = "a line of output as a compiler prints it, neither short nor long " * 2


class Writers(Inputs):
    """How many facts each of a run's writers emits."""

    each: int


def writers(waits: list[float]) -> Kind:
    """A kind whose runs are writers; `waits` takes the seconds from emit to acknowledgement."""

    async def write(run: Run, inputs: Writers) -> Output:
        async with trio.open_nursery() as nursery:
            for _ in range(WRITERS // RUNS):
                nursery.start_soon(emit, run, inputs.each)
        return Output()

    async def emit(run: Run, count: int) -> None:
        for _ in range(count):
            began = time.perf_counter()
            await run.emit(Log(text=TEXT))
            waits.append(time.perf_counter() - began)

    return Kind("writers", "Writers", Writers, Output, write)


async def ours(folder: Path, each: int) -> tuple[float, float]:
    """Facts per second, and the 99th percentile of the waits in ms."""
    waits: list[float] = []
    async with open_bench_core(folder, writers(waits)) as core:
        began = time.perf_counter()
        for _ in range(RUNS):
            request = SubmitRequest(kind="writers", inputs={"each": each})
            await core.submitter.submit(request)
        # Nobody reads meanwhile: what readers cost is another row's business.
        for execution in list(core.table.executions.values()):
            await execution.concluded.wait()
        seconds = time.perf_counter() - began
    return len(waits) / seconds, share(waits, 0.99) * 1000


def raw(folder: Path, rows: Sequence[tuple[Any, ...]], batch: int) -> float:
    """Rows per second in batches of that size."""
    (db,) = open_database(folder / f"raw-{batch}-{time.monotonic_ns()}.db", 0)
    began = time.perf_counter()
    for start in range(0, len(rows), batch):
        db.execute("BEGIN IMMEDIATE")
        db.executemany(INSERT_EVENT, rows[start : start + batch])
        db.execute("COMMIT")
    seconds = time.perf_counter() - began
    db.close()
    return len(rows) / seconds


def columns(fact: Recorded, key: int) -> tuple[Any, ...]:
    """The row of a fact in the table of events."""
    row = (
        fact.position, key, fact.sequence, fact.event_id.bytes, to_micros(fact.at), fact.type,
        to_json(fact.clock), None, fact.code_version, fact.body,
    )  # fmt: skip
    return (*row, checksum_of(*row))


def real_rows(count: int) -> list[tuple[Any, ...]]:
    """Rows as the writers' facts would have them, made beforehand."""
    rows = []
    for position in range(1, count + 1):
        made = new_event(f"r-{position % RUNS}", Log(text=TEXT), now=utc_now())
        fact = Recorded(
            position, made.run_id, 1 + position // RUNS, made.event_id, made.at,
            {"bench/0123456789abcdef": position}, None, 0, made.type, made.body,
        )  # fmt: skip
        rows.append(columns(fact, 1 + position % RUNS))
    return rows


async def bare(folder: Path, rows: Sequence[tuple[Any, ...]]) -> float:
    """Rows per second by as many Trio tasks, each waiting for its own row's commit in a thread.

    What is left when all that makes a row a fact is taken away: no event, no id, no checks, no view,
    no ring. It bounds what any recorder on Trio can reach of the raw speed.
    """
    (db,) = open_database(folder / f"bare-{time.monotonic_ns()}.db", 0)
    given = iter(rows)
    pending: list[tuple[Any, ...]] = []
    work, settled = trio.Event(), trio.Event()

    async def write() -> None:
        nonlocal work, settled
        left = len(rows)
        while left:
            await work.wait()
            batch, done = pending.copy(), settled
            pending.clear()
            work, settled = trio.Event(), trio.Event()
            await trio.to_thread.run_sync(commit, batch)
            left -= len(batch)
            done.set()

    def commit(batch: Sequence[tuple[Any, ...]]) -> None:
        db.execute("BEGIN IMMEDIATE")
        db.executemany(INSERT_EVENT, batch)
        db.execute("COMMIT")

    async def emit() -> None:
        for _ in range(len(rows) // WRITERS):
            pending.append(next(given))
            work.set()
            await settled.wait()

    began = time.perf_counter()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(write)
        for _ in range(WRITERS):
            nursery.start_soon(emit)
    seconds = time.perf_counter() - began
    db.close()
    return len(rows) / seconds


async def one_by_one(folder: Path, count: int) -> float:
    """Facts per second through the same store with a commit for each."""
    path = folder / f"single-{time.monotonic_ns()}.db"
    run, read = threads(1), threads(READERS)
    async with open_sqlite(path, life="b", run_blocking=run, run_reading=read) as store:
        began = time.perf_counter()
        for _ in range(count):
            made = new_event("daemon", Log(text=TEXT), now=utc_now())
            await store.commit([Append((made,))])
        return count / (time.perf_counter() - began)


def rows(long: bool) -> Iterator[Row]:
    """Throughput against raw SQLite and against a commit per fact; the wait of an emit."""
    each, rounds = (1000, 5) if long else (200, 5)
    made = real_rows(WRITERS * each)
    with scratch() as folder:
        numbers = iter(range(rounds))

        def fresh() -> tuple[float, float]:
            place = folder / f"ours-{next(numbers)}"
            place.mkdir()
            return trio.run(ours, place, each)

        group, ready, tasks, single = in_turns(
            rounds,
            fresh,
            lambda: (raw(folder, made, WRITERS), 0.0),
            lambda: (trio.run(bare, folder, made), 0.0),
            lambda: (trio.run(partial(one_by_one, folder, 500)), 0.0),
        )
    speeds = [speed for speed, _ in group]
    name = "durable append, 100 writers"
    raws = [speed for speed, _ in ready]
    yield Row(f"{name} / raw SQLite", "events/s", "ratio >= 0.3", speeds, raws)
    yield Row(
        f"{WRITERS} bare Trio tasks / raw SQLite",
        "rows/s",
        "",
        [speed for speed, _ in tasks],
        raws,
    )
    yield Row(
        f"{name} / commit each",
        "events/s",
        "ratio >= 10",
        speeds,
        [s for s, _ in single],
    )
    yield Row(
        "emit to acknowledged, 100 writers, p99",
        "ms",
        "ours <= 50",
        [w for _, w in group],
    )
