"""Reading while the queue is full, and among many: statistics, one run, lists (PF-06, PF-07)."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing
from functools import partial
from pathlib import Path

import trio
import trio.testing
from bench._shared import LIFE, Row, in_turns, open_bench_core, scratch, share
from bench.cancel import sleep

from penstock.log.filters import RunFilter
from penstock.log.sqlite.store import open_sqlite, threads
from penstock.log.tables.queries import READERS
from penstock.pipeline import Inputs, Kind, Output
from penstock.words.api import SubmitRequest
from penstock.words.lifecycle import OPEN_STATES

EXECUTING, QUEUED, WAITING = 5, 100, 1000
READS = 200
#: What a run of a log of many looks like: one fact, and the row that names it.
_FILL = """
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?)
INSERT INTO runs (run_id, kind, priority, place, state, root_id, depth, on_restart, preemptible,
 created_at, ended_at) SELECT 'r-' || i, 'noop', 20, i, 'completed', 'r-' || i, 0, 'fail', 0, i, i
FROM n;
"""
_SPECS = "INSERT INTO specs SELECT key, x'00', x'7b7d', '{}', '{}', '[]' FROM runs WHERE key > 0"
#: Ten of them are open, all have labels and inputs of some size, and one has a label of its own.
_OPEN = "UPDATE runs SET state = 'queued', ended_at = NULL WHERE key > 0 AND key % 10000 = 0"
_LABELLED = """
INSERT INTO specs SELECT key, x'00', CAST('{"text":"' || hex(zeroblob(1500)) || '"}' AS BLOB), '',
 CASE key WHEN 7 THEN '{"branch":"b7","rare":"one"}' ELSE '{"branch":"b' || (key % 10) || '"}' END, '[]'
FROM runs WHERE key > 0
"""
#: What is asked of them: name, filter, how many runs have it of 100,000, most milliseconds.
LISTS = (
    ("state:open", RunFilter(states=frozenset(OPEN_STATES)), 10, 1),
    ("label:rare=one", RunFilter(labels={"rare": "one"}), 1, 50),
    ("label:branch=b7", RunFilter(labels={"branch": "b7"}), 100, 50),
)


async def statistics_p99(folder: Path) -> float:
    """Milliseconds of the 99th percentile of a thousand reads."""
    kind = Kind("sleep", "Sleep", Inputs, Output, sleep)
    times = []
    async with open_bench_core(folder, kind, max_concurrent=EXECUTING) as core:
        submit = partial(
            core.submitter.submit, SubmitRequest(kind="sleep", inputs={}), wait=True
        )
        for _ in range(EXECUTING + QUEUED):
            await submit()
        async with trio.open_nursery() as nursery:
            for _ in range(WAITING):
                nursery.start_soon(submit)
            await trio.testing.wait_all_tasks_blocked(0.01)
            for _ in range(1000):
                began = time.perf_counter()
                seen = core.statistics()
                times.append((time.perf_counter() - began) * 1000)
            nursery.cancel_scope.cancel()
        counts = (seen.running, seen.queued, seen.waiting_submits)
        assert counts == (EXECUTING, QUEUED, WAITING), seen
    return share(times, 0.99)


async def lookup(folder: Path, count: int) -> float:
    """Microseconds to read one run's row among `count`, from a warm file."""
    path = folder / f"{count}.db"
    run, read = threads(1), threads(READERS)
    async with open_sqlite(
        path, life=LIFE, run_blocking=run, run_reading=read
    ) as store:
        if await store.run("r-1") is None:
            await run(fill, path, count)
        times = []
        for number in range(READS):
            run_id = f"r-{1 + number * 7919 % count}"
            began = time.perf_counter()
            assert await store.run(run_id) is not None
            times.append((time.perf_counter() - began) * 1e6)
    return share(times, 0.5)


async def lists(folder: Path) -> list[float]:
    """Milliseconds of the CPU for each of LISTS among 100,000 runs, from a warm file."""
    path = folder / "lists.db"
    run, read = threads(1), threads(READERS)
    async with open_sqlite(
        path, life=LIFE, run_blocking=run, run_reading=read
    ) as store:
        if await store.run("r-1") is None:
            await run(fill_labelled, path)
        times = []
        for name, wanted, count, _ in LISTS:
            await store.runs(wanted)
            began = time.process_time()
            found = await store.runs(wanted)
            times.append((time.process_time() - began) * 1000)
            assert len(found) == count, name
    return times


def fill_labelled(path: Path) -> None:
    """Give an empty log 100,000 runs with labels."""
    with closing(sqlite3.connect(path)) as db, db:
        db.execute(_FILL, (100_000,))
        db.execute(_OPEN)
        db.execute(_LABELLED)


def fill(path: Path, count: int) -> None:
    """Give an empty log so many ended runs."""
    with closing(sqlite3.connect(path)) as db, db:
        db.execute(_FILL, (count,))
        db.execute(_SPECS)


def rows(long: bool) -> Iterator[Row]:
    """Both, the look-up in a large log beside one in a small log."""
    rounds = 9 if long else 5
    with scratch() as folder:
        full = folder / "full"
        full.mkdir()
        statistics = [trio.run(statistics_p99, full)]
        many, few = in_turns(
            rounds,
            lambda: trio.run(lookup, folder, 100_000),
            lambda: trio.run(lookup, folder, 1000),
        )
        listed = [trio.run(lists, folder) for _ in range(rounds)]
    for (name, _, _, most), *times in zip(LISTS, *listed, strict=True):
        yield Row(f"{name} of 100,000 runs", "ms CPU", f"ours <= {most}", times)
    yield Row("queue statistics at 5/100/1000, p99", "ms", "ours < 10", statistics)
    yield Row("run by id, of 100,000 / of 1,000", "us", "ratio <= 2", many, few)
