"""A PostgreSQL of the measurement's own, on the same disk as the file that stands beside it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import ExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import trio
from bench._shared import ROOT, OpenStore, scratch

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

from fakes.postgres import PostgresServer, find_programs, open_postgres
from penstock.concurrency.threads import RunBlocking
from penstock.log.postgresql.ownership import Owner
from penstock.log.postgresql.store import open_postgresql
from penstock.log.store import Store


@dataclass(frozen=True, slots=True)
class Box:
    """One box of a log on that server: what a process is told, to take part."""

    url: str
    schema: str
    name: str = "bench"
    lease_seconds: float = 120.0

    @property
    def words(self) -> tuple[str, ...]:
        """For a command line."""
        return self.url, self.schema, self.name, str(self.lease_seconds)


def store_of(box: Box) -> OpenStore:
    """What opens a store there."""

    @asynccontextmanager
    async def open_store(
        folder: Path, life: str, writing: RunBlocking, reading: RunBlocking
    ) -> AsyncIterator[Store]:
        async with open_postgresql(
            box.url,
            schema=box.schema,
            owner=Owner(life, box.name, box.name, str(folder), box.lease_seconds),
            run_blocking=writing,
            run_reading=reading,
        ) as store:
            yield store

    return open_store


@contextmanager
def open_boxes(
    module: str, boxes: Sequence[Box], *words: object
) -> Iterator[list[subprocess.Popen[bytes]]]:
    """A process for each, all of them there and waiting to be told to `begin`."""
    with ExitStack() as stack:
        command = [sys.executable, "-m", f"bench.{module}"]
        started = [
            stack.enter_context(
                subprocess.Popen(
                    [*command, *box.words, *map(str, words)],
                    cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                )
            )
            for box in boxes
        ]  # fmt: skip
        for one in started:
            assert one.stdout is not None
            if not one.stdout.readline():
                raise RuntimeError("a box did not begin")
        yield started


async def told_to_begin() -> None:
    """In a process of such a box: say that it is there, and wait."""
    print(flush=True)
    await trio.to_thread.run_sync(sys.stdin.readline)


def begin(boxes: Sequence[subprocess.Popen[bytes]]) -> list[Any]:
    """Have all begin at once; what each tells at its end."""
    for one in boxes:
        assert one.stdin is not None
        one.stdin.write(b"\n")
        one.stdin.flush()
    return [json.loads(one.communicate()[0]) for one in boxes]


@contextmanager
def open_server() -> Iterator[PostgresServer | None]:
    """The server, durable as a daemon wants it; None, with a line that says so, where none is installed."""
    if find_programs() is None:
        print("a log in PostgreSQL: skipped, none is installed (Debian: postgresql)")
        yield None
        return
    with scratch() as home, open_postgres(home) as server:
        yield server


def cpu_of(server: PostgresServer) -> float:
    """Seconds of CPU of all its processes that are there, its clients' included."""
    assert server._process is not None
    first, ticks = server._process.pid, os.sysconf("SC_CLK_TCK")
    spent = 0
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            name, _, rest = stat.read_text().rpartition(")")
        except OSError:
            continue
        words = rest.split()
        if int(name.split()[0]) == first or int(words[1]) == first:
            # What has ended counts where it is waited for.
            spent += sum(int(word) for word in words[11:15])
    return spent / ticks
