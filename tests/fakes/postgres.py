"""A real PostgreSQL for as long as tests want it; they are skipped where none is installed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from penstock_drills import private_postgres
from penstock_drills.private_postgres import PostgresServer, find_programs

__all__ = ["PostgresServer", "find_programs", "open_postgres"]


@contextmanager
def open_postgres(home: Path, *, empty: bool = False) -> Iterator[PostgresServer]:
    """As `private_postgres.open_postgres`; skips without a PostgreSQL."""
    if find_programs() is None:
        pytest.skip("PostgreSQL is not installed (Debian: postgresql)")
    with private_postgres.open_postgres(home, empty=empty) as server:
        yield server
