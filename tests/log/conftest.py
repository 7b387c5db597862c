"""The adapters on which the contract suite (`test_store_*.py`) runs (ST-12)."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest
import trio

from fakes.contract import AnyStore
from fakes.stores import (
    LIFE,
    inline_store,
)
from fakes.stores_elsewhere import postgres_store
from penstock.log.sqlite.store import SqliteStore, open_sqlite, threads


@asynccontextmanager
async def file_store(path: Path) -> AsyncIterator[SqliteStore]:
    """SQLite as the daemon uses it: a file, threads, the real clock."""
    with trio.fail_after(30):
        async with open_sqlite(
            path / "p.db", life=LIFE, run_blocking=threads(1), run_reading=threads(4)
        ) as store:
            yield store


@pytest.fixture(
    params=[
        "sqlite-memory",
        "sqlite-file",
        pytest.param("postgresql", marks=pytest.mark.processes),
    ]
)
async def store(
    request: pytest.FixtureRequest, tmp_path: Path
) -> AsyncIterator[AnyStore]:
    async with AsyncExitStack() as stack:
        if request.param == "sqlite-file":
            yield await stack.enter_async_context(file_store(tmp_path))
        elif request.param == "postgresql":
            server = request.getfixturevalue("postgres")
            yield await stack.enter_async_context(postgres_store(server))
        else:
            yield await stack.enter_async_context(inline_store())
