"""Stores on a server, as a daemon opens them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import trio

from fakes.postgres import PostgresServer
from fakes.stores import LIFE
from penstock.log.postgresql.ownership import Owner
from penstock.log.postgresql.store import PostgresStore, open_postgresql
from penstock.log.sqlite.store import threads
from penstock.log.tables.queries import READERS

#: The box that these tests are on.
BOX = "here"


@asynccontextmanager
async def postgres_store(
    server: PostgresServer,
    *,
    schema: str | None = None,
    life: str = LIFE,
    box: str = BOX,
    machine: str | None = None,
    lease_seconds: float = 60,
    on_renewed: Callable[[int], None] = lambda _asked_at: None,
    url: str | None = None,
) -> AsyncIterator[PostgresStore]:
    """A log of its own on that server; one of this schema, that is there already.

    A box is a machine of its own unless told otherwise.
    """
    with trio.fail_after(60):
        async with open_postgresql(
            url or server.url,
            schema=schema or server.new_schema(),
            owner=Owner(life, box, machine or box, lease_seconds=lease_seconds),
            on_renewed=on_renewed,
            run_blocking=threads(1),
            run_reading=threads(READERS),
        ) as store:
            yield store
