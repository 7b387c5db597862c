"""A log of a million events: starting on it, folding it, and reading a little of it (PF-01, PF-02, QA-12).

5,000 ended and 50 open runs with about 200 events each, 6 % of them of the run's life; five runs
were executing when the daemon died.
"""

from __future__ import annotations

import random
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import trio
from bench._shared import LIFE, Row, in_turns, open_bench_core, scratch

from penstock.log.checksum import checksum_of
from penstock.log.projections import RunView
from penstock.log.sqlite.database import open_database
from penstock.log.sqlite.store import open_sqlite, threads
from penstock.log.tables.queries import READERS
from penstock.log.tables.rows import SELECT_EVENTS, recorded, to_json
from penstock.log.tables.transaction import INSERT_EVENT
from penstock.words.events import (
    AnyEvent,
    Log,
    ModuleStarted,
    Progress,
    RunCompleted,
    RunPreempted,
    RunQueued,
    RunStarted,
    StepCompleted,
    encode_event,
)  # fmt: skip
from penstock.words.values import new_event_id

ENDED, EXECUTING, PREEMPTED, EACH = 5000, 5, 45, 198
#: Microseconds of the first event, and between two.
BEGIN, STEP = 1_900_000_000_000_000 // 2, 1000
_RUN = (
    "INSERT INTO runs (key, run_id, kind, priority, place, state, life, token, attempt, root_id,"
    " depth, sequence, last_position, clock, on_restart, preemptible, created_at, started_at,"
    " ended_at, outcome)"
    " VALUES (:key, :name, 'noop', 20, :key, :state, :life, 1, 1, :name, 0, :count, :last, :clock,"
    " 'requeue', 0, :at, :at, :ended, :outcome)"
)


def bodies(last: AnyEvent | None, dice: random.Random) -> list[AnyEvent]:
    """The events of one run."""
    middle: list[AnyEvent] = [
        Log(text="a line of output as a compiler prints it " * dice.randint(1, 5))
        for _ in range(EACH - 14)
    ]
    some = (ModuleStarted(module="one"), Progress(step="build", fraction=0.5))
    middle += [
        *some * 4,
        *(StepCompleted(name=f"s{n}", result={"n": n}) for n in range(3)),
    ]
    dice.shuffle(middle)
    first: list[AnyEvent] = [
        RunQueued(kind="noop", priority=20),
        RunStarted(kind="noop"),
    ]
    return [*first, *middle, *([] if last is None else [last])]


def build(path: Path) -> int:
    """Write the log; the position of its last event."""
    dice = random.Random(1)
    with closing(open_database(path, 0)[0]) as db:
        db.execute("PRAGMA synchronous = OFF")
        waiting: dict[int, list[AnyEvent]] = {}
        position = 0
        for key in range(1, ENDED + EXECUTING + PREEMPTED + 1):
            waiting[key] = bodies(ending(key), dice)[::-1]
            # Five runs at a time write in turns, as they would with five slots.
            if len(waiting) == 5:
                position = write(db, waiting, position)
                waiting = {}
        db.execute("UPDATE meta SET value = ? WHERE name = 'head'", (position,))
    return position


def ending(key: int) -> AnyEvent | None:
    """How the run's story stops."""
    if key <= ENDED:
        return RunCompleted(result={"ok": True})
    return None if key <= ENDED + EXECUTING else RunPreempted(by="another")


def write(
    db: sqlite3.Connection, runs: dict[int, list[AnyEvent]], position: int
) -> int:
    """Write five runs whole, their events in turns."""
    db.execute("BEGIN")
    rows: list[tuple[Any, ...]] = []
    counts = dict.fromkeys(runs, 0)
    while any(runs.values()):
        for key, events in runs.items():
            if events:
                position += 1
                counts[key] += 1
                event = events.pop()
                row = (
                    position, key, counts[key], new_event_id().bytes, BEGIN + position * STEP,
                    event.type, to_json({LIFE: position}), None, 0, encode_event(event),
                )  # fmt: skip
                rows.append((*row, checksum_of(*row)))
    db.executemany(INSERT_EVENT, rows)
    for key, count in counts.items():
        last = ending(key)
        state = "running" if last is None else last.type.removeprefix("run.")
        life, ended = (
            ("old" if event is None else None),
            (BEGIN if key <= ENDED else None),
        )
        outcome = '{"result":{"ok":true}}' if ended else None
        values = {
            "key": key, "name": f"r-{key}", "state": state, "life": life, "count": count,
            "last": position, "clock": to_json({LIFE: position}), "at": BEGIN, "ended": ended,
            "outcome": outcome,
        }  # fmt: skip
        db.execute(_RUN, values)
        db.execute(
            "INSERT INTO specs VALUES (?, x'00', x'7b7d', '{}', '{}', '[]')", (key,)
        )
    db.execute("COMMIT")
    return position


async def start(folder: Path) -> tuple[float, float]:
    """Milliseconds of CPU that a start on the log takes, repair included, and its seconds."""
    with closing(sqlite3.connect(folder / "log.db")) as db, db:
        # As the last life left them, again.
        running = f"key > {ENDED} AND key <= {ENDED + EXECUTING}"
        db.execute(f"UPDATE runs SET state = 'running', life = 'old' WHERE {running}")
    work, began = time.process_time(), time.perf_counter()
    async with open_bench_core(folder) as core:
        work, seconds = time.process_time() - work, time.perf_counter() - began
        assert core.statistics().queued == EXECUTING + PREEMPTED
    return work * 1000, seconds


def fold_all(path: Path) -> float:
    """Seconds to fold every run's view from the whole log."""
    began = time.perf_counter()
    views: dict[str, RunView] = {}
    with closing(sqlite3.connect(path)) as db:
        for columns in db.execute(f"{SELECT_EVENTS} ORDER BY position"):
            fact = recorded(columns)
            if fact.run_id not in views:
                views[fact.run_id] = RunView(fact.run_id)
            views[fact.run_id].apply(fact)
    assert len(views) >= ENDED
    return time.perf_counter() - began


def scan_all(path: Path) -> float:
    """Seconds to fetch the same rows and look at none."""
    began = time.perf_counter()
    with closing(sqlite3.connect(path)) as db:
        for _ in db.execute(f"{SELECT_EVENTS} ORDER BY position"):
            pass
    return time.perf_counter() - began


async def reads(path: Path) -> tuple[float, float, float]:
    """Milliseconds to read a run's 200 events, the same without making facts, and a page of all."""
    run, read = threads(1), threads(READERS)
    numbers = [1 + n * 7919 % ENDED for n in range(50)]
    async with open_sqlite(
        path, life=LIFE, run_blocking=run, run_reading=read
    ) as store:
        began = time.perf_counter()
        for number in numbers:
            assert len(await store.read(f"r-{number}", 0, 500)) > EACH - 5
        whole = (time.perf_counter() - began) / len(numbers)
        began = time.perf_counter()
        for number in numbers:
            await store.read_all(number * 199, 500)
        page = (time.perf_counter() - began) / len(numbers)
    began = time.perf_counter()
    with closing(sqlite3.connect(path)) as db:
        sql = f"{SELECT_EVENTS} WHERE run = ? ORDER BY position"
        for number in numbers:
            db.execute(sql, (number,)).fetchall()
    return (
        whole * 1000,
        (time.perf_counter() - began) / len(numbers) * 1000,
        page * 1000,
    )


def rows(long: bool) -> Iterator[Row]:
    """Start, fold and reads; the log is built once."""
    rounds = 3 if long else 2
    with scratch() as folder:
        path = folder / "log.db"
        count = build(path)
        starts = [trio.run(start, folder) for _ in range(rounds + 1)]
        folds, scans = in_turns(rounds, lambda: fold_all(path), lambda: scan_all(path))
        found = [trio.run(reads, path) for _ in range(rounds + 1)]
    log = f"log of {count / 1e6:.1f}M events"
    yield Row(f"{log}: start, CPU", "ms", "ours < 100", [work for work, _ in starts])
    yield Row(f"{log}: start", "s", "ours <= 5", [seconds for _, seconds in starts])
    yield Row(f"{log}: fold all / scan", "s", "ours < 5", folds, scans)
    whole, raw, page = ([f[n] for f in found] for n in range(3))
    yield Row(f"{log}: a run's 200 / rows", "ms", "ours < 2", whole, raw)
    yield Row(f"{log}: a page of 500", "ms", "ours < 1000", page)
