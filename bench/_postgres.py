"""A PostgreSQL of the measurement's own, on the same disk as the file that stands beside it."""

from __future__ import annotations

import os
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench._shared import OpenStore, scratch

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

    @property
    def words(self) -> tuple[str, str, str]:
        """For a command line."""
        return self.url, self.schema, self.name


def store_of(box: Box) -> OpenStore:
    """What opens a store there."""

    @asynccontextmanager
    async def open_store(
        _folder: Path, life: str, writing: RunBlocking, reading: RunBlocking
    ) -> AsyncIterator[Store]:
        async with open_postgresql(
            box.url,
            schema=box.schema,
            owner=Owner(life, box.name, box.name),
            run_blocking=writing,
            run_reading=reading,
        ) as store:
            yield store

    return open_store


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
