"""MB-03: what a look at the boxes of a log finds, whenever in its midst a lease is over."""

from __future__ import annotations

from typing import Any

import pytest

from fakes.postgres import PostgresServer
from fakes.stores import LIFE, start
from fakes.stores_elsewhere import postgres_store
from penstock.log.postgresql.sharing import _forsaken

pytestmark = [pytest.mark.processes, pytest.mark.sockets]


class OverMeanwhile:
    """A server that answers, and once it has answered so often the lease of `first` is over."""

    def __init__(self, db: Any, server: PostgresServer, answers: int) -> None:
        self._db, self._server, self._answers = db, server, answers

    def execute(self, sql: str, *values: Any) -> Any:
        if self._answers == 0:
            over = f"UPDATE {self._db.schema}.boxes SET until = 0 WHERE box = 'first'"
            self._server.ask(over)
        self._answers -= 1
        return self._db.execute(sql, *values)


@pytest.mark.parametrize("answers", range(4))
async def test_whose_runs_are_free_is_told_as_lost_at_once(
    postgres: PostgresServer, answers: int
) -> None:
    """MB-03: whenever the lease is over in the midst of a look, no run is given away before the loss is noted."""
    schema = postgres.new_schema()
    async with (
        postgres_store(postgres, schema=schema, box="first", life=LIFE) as first,
        postgres_store(postgres, schema=schema, box="second", life="life-2") as second,
    ):
        await start(first)
        postgres.ask(f"UPDATE {schema}.runs SET host = 'first' WHERE run_id = 'r1'")
        found, _ = _forsaken(OverMeanwhile(second._db, postgres, answers))
        assert not found.runs or found.boxes == (("first", LIFE),)
