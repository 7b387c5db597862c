"""A log in PostgreSQL beside one in a file, in turns: what a shared log costs a daemon.

Ours is PostgreSQL, on a server of its own that keeps its files where SQLite keeps its; the reference is
SQLite in the same process. The server's CPU is not counted with the daemon's, and is told apart.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median
from typing import NamedTuple

import trio
from bench._postgres import Box, PostgresServer, cpu_of, open_server, store_of
from bench._shared import (  # fmt: skip
    OpenStore,
    Row,
    in_turns,
    open_bench_core,
    open_file,
    scratches,
    share,
    wait_ended,
)
from bench.append import TEXT
from bench.jobs import no_op_runs, start_waits
from bench.log_statements import statement_rows
from bench.many_writers import writer_rows
from bench.peers_on_postgres import peer_rows
from bench.two_boxes import box_rows

from penstock.pipeline import Inputs, Kind, Output, Run
from penstock.words.api import SubmitRequest
from penstock.words.events import Log

#: Tasks that write facts at once, and facts of each.
WRITERS = {100: 60, 16: 120, 1: 400}


class Figures(NamedTuple):
    """Of one round: something a second, and microseconds of CPU for each, the daemon's and the server's."""

    rate: float
    cpu: float
    server: float = 0.0


async def appends(
    folder: Path, open_store: OpenStore, writers: int, each: int
) -> Figures:
    """Facts of so many tasks of one pipeline, each awaited."""
    found: list[Figures] = []

    async def emit(run: Run) -> None:
        for _ in range(each):
            await run.emit(Log(text=TEXT))

    async def write(run: Run, _inputs: Inputs) -> Output:
        # The first fact of a run asks for what later ones know.
        await run.emit(Log(text=TEXT))
        began, spent = time.perf_counter(), time.process_time()
        async with trio.open_nursery() as nursery:
            for _ in range(writers):
                nursery.start_soon(emit, run)
        count = writers * each
        rate = count / (time.perf_counter() - began)
        found.append(Figures(rate, (time.process_time() - spent) / count * 1e6))
        return Output()

    kind = Kind("emit", "Emit", Inputs, Output, write)
    async with open_bench_core(folder, kind, open_store=open_store) as core:
        accepted = await core.submitter.submit(SubmitRequest(kind="emit", inputs={}))
        await wait_ended(core, accepted.view.run_id)
    (figures,) = found
    return figures


def rows(long: bool) -> Iterator[Row]:
    """What one daemon does on each of both, and what other queues do on the same server."""
    rounds, runs = (9, 1000) if long else (5, 300)
    with open_server() as server:
        if server is None:
            return
        with scratches() as fresh:

            def far() -> OpenStore:
                return store_of(Box(server.url, server.new_schema()))

            yield from append_rows(rounds, fresh, far)
            yield from run_rows(rounds, runs, server, fresh, far)
            yield from start_rows(rounds, fresh, far)
            yield from statement_rows(rounds, fresh, far)
            yield from box_rows(rounds, runs, server, fresh)
        yield from writer_rows(2 if long else 1, server)
        yield from peer_rows(rounds, server)


def append_rows(
    rounds: int, fresh: Callable[[], Path], far: Callable[[], OpenStore]
) -> Iterator[Row]:
    """Facts a second, by how many tasks write them."""
    for writers, each in WRITERS.items():
        ours, theirs = in_turns(
            rounds,
            lambda w=writers, n=each: trio.run(appends, fresh(), far(), w, n),
            lambda w=writers, n=each: trio.run(appends, fresh(), open_file, w, n),
        )  # fmt: skip
        name = f"append, {writers} at once, PostgreSQL / SQLite"
        yield from both(name, "events/s", ours, theirs)


def run_rows(
    rounds: int,
    runs: int,
    server: PostgresServer,
    fresh: Callable[[], Path],
    far: Callable[[], OpenStore],
) -> Iterator[Row]:
    """No-op runs a second of one submitter, as many at a time as there are slots."""

    def counted() -> Figures:
        before = cpu_of(server)
        found = trio.run(no_op_runs, fresh(), runs, far())
        return Figures(*found, (cpu_of(server) - before) / runs * 1e6)

    ours, theirs = in_turns(
        rounds, counted, lambda: Figures(*trio.run(no_op_runs, fresh(), runs))
    )
    name = "no-op runs, 1 daemon, PostgreSQL / SQLite"
    yield from both(name, "runs/s", ours, theirs)
    server_cpu = [one.server for one in ours]
    yield Row("no-op run on PostgreSQL, CPU of the server", "us", "", server_cpu)


def start_rows(
    rounds: int, fresh: Callable[[], Path], far: Callable[[], OpenStore]
) -> Iterator[Row]:
    """How soon a run begins."""
    ours, theirs = in_turns(
        rounds,
        lambda: trio.run(start_waits, fresh(), 60, far()),
        lambda: trio.run(start_waits, fresh(), 60),
    )
    for name, of in (("p50", median), ("p95", lambda waits: share(waits, 0.95))):
        yield Row(
            f"submit to started, PostgreSQL / SQLite, {name}", "ms", "",
            [of(waits) for waits in ours], [of(waits) for waits in theirs],
        )  # fmt: skip


def both(
    name: str, unit: str, ours: list[Figures], theirs: list[Figures]
) -> Iterator[Row]:
    """The rate, and the CPU of the daemon for each."""
    yield Row(name, unit, "", [f.rate for f in ours], [f.rate for f in theirs])
    yield Row(f"{name}, CPU", "us", "", [f.cpu for f in ours], [f.cpu for f in theirs])
