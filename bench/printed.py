"""What a run's output costs: CPU of a busy program beside `cat`, and what stays of it in the log.

The output is of lines as a compiler prints them. By default a run prints 1 GB, and 5 GB with `--long`;
what is kept of it does not depend on that. CPU seconds count ours, the supervisor's and the
program's, as those of the reference count the program's and `cat`'s; the rate is that of the wall.
"""

from __future__ import annotations

import resource
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import trio
from bench._shared import Row, in_turns, open_bench_core, scratch, wait_ended

from penstock.kinds.command import KIND
from penstock.log.kept import RunSpec
from penstock.log.new_events import new_event
from penstock.log.sqlite.store import open_sqlite
from penstock.log.writes import Append, Claim, Enqueue
from penstock.processes.output import OutputPieces
from penstock.testing.faulty_store import inline
from penstock.words.api import SubmitRequest
from penstock.words.batching import Pace
from penstock.words.config import Config
from penstock.words.values import new_event_id

MIB = 1024 * 1024
LINE = "src/module/part_12.c:345:17: warning: unused variable 'position' [-Wunused]"


@dataclass(frozen=True, slots=True)
class Cost:
    """Of one program: CPU and wall seconds, and MiB of the log that its output takes."""

    cpu: float
    wall: float
    kept: float = 0.0


def _cpu() -> float:
    used = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    return sum(
        usage.ru_utime + usage.ru_stime for usage in map(resource.getrusage, used)
    )


def program(size: int) -> list[str]:
    """Prints so many bytes."""
    return ["/bin/sh", "-c", f'yes "{LINE}" | head -c {size}']


async def ours(folder: Path, size: int) -> Cost:
    """The program as a run of a core on the disk."""
    async with open_bench_core(folder, KIND) as core:
        before, cpu, began = await core.store.size(), _cpu(), time.perf_counter()
        inputs = {"argv": program(size), "cwd": str(folder)}
        request = SubmitRequest(kind="command", inputs=inputs)
        submitted = await core.submitter.submit(request, wait=True)
        await wait_ended(core, submitted.view.run_id)
        spent = Cost(_cpu() - cpu, time.perf_counter() - began)
        kept = (await core.store.size() - before) / MIB
        return Cost(spent.cpu, spent.wall, kept)


def theirs(size: int) -> Cost:
    """The program, and `cat` behind it."""
    cpu, began = _cpu(), time.perf_counter()
    with subprocess.Popen(program(size), stdout=subprocess.PIPE) as writer:
        subprocess.run(
            ["cat"], stdin=writer.stdout, stdout=subprocess.DEVNULL, check=True
        )
    return Cost(_cpu() - cpu, time.perf_counter() - began)


async def virtual(folder: Path, hours: float, each: float) -> tuple[float, int]:
    """MiB of the log, and pieces, of a program that prints a line every `each` seconds for hours."""
    config, path = Config(), folder / "log.db"
    pieces = OutputPieces(
        Pace(config.throttle_seconds, config.throttle_bytes), config.output_head_bytes
    )
    data, count = f"{LINE}\n".encode(), 0
    async with open_sqlite(
        path, life="host/0123456789abcdef", run_blocking=inline()
    ) as store:
        moment = datetime.now(UTC)
        spec = RunSpec(
            run_id="r", kind="command", inputs=b"{}", digest=b"", shown={}, priority=20
        )
        entry = Enqueue(spec, moment, new_event_id(), 10, 10, 10)
        claim = Claim("host/0123456789abcdef", 1, frozenset({"command"}), moment)
        await store.commit([entry, claim])
        row = await store.run("r")
        assert row is not None
        before, now = await store.size(), 0.0
        while now < hours * 3600:
            pieces.feed("stdout", data, now)
            if told := pieces.take(now):
                count += len(told)
                facts = tuple(new_event("r", piece, now=moment) for piece in told)
                await store.commit([Append(facts, row.fence)])
            now += each
        return (await store.size() - before) / MIB, count


def rows(long: bool) -> Iterator[Row]:
    """The rows of this measurement."""
    size = 5 * 10**9 if long else 10**9
    label = f"{size // 10**9} GB"

    def run() -> Cost:
        with scratch() as folder:
            return trio.run(ours, folder, size)

    mine, cats = in_turns(3 if long else 2, run, lambda: theirs(size))
    yield Row(
        f"CPU of a run that prints {label}, beside cat", "s", "ratio < 4",
        [cost.cpu for cost in mine], [cost.cpu for cost in cats],
    )  # fmt: skip
    yield Row(
        f"rate of a run that prints {label}, beside cat", "MB/s", "ratio > 0.2",
        [size / 1e6 / cost.wall for cost in mine], [size / 1e6 / cost.wall for cost in cats],
    )  # fmt: skip
    yield Row(
        f"log of a run that prints {label}",
        "MiB",
        "ours < 9",
        [cost.kept for cost in mine],
    )
    for hours, each in ((24, 0.2), (24, 5.0), (72, 0.5)):
        with scratch() as folder:
            used, count = trio.run(virtual, folder, hours, each)
        name = f"log of {hours} virtual hours, a line in {each} s"
        # 8 MiB of output with its rows and indexes, and 1 MiB a day.
        yield Row(name, "MiB", f"ours < {9 + hours / 24}", [used])
        yield Row(
            f"pieces of {hours} virtual hours, a line in {each} s", "", "", [count]
        )
