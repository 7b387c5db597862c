"""ST-07, MB-04: a server that answers and takes no facts: the lease is kept, and nobody is told that all is well."""

from __future__ import annotations

import pytest

from fakes.contract import check_log, types
from fakes.postgres import PostgresServer
from fakes.stores import enqueue, start
from fakes.stores_elsewhere import postgres_store
from penstock.words.errors import StoreAway

pytestmark = [pytest.mark.processes, pytest.mark.sockets]

AT_ONCE = "CREATE TRIGGER said BEFORE INSERT ON events"
AT_THE_END = "CREATE CONSTRAINT TRIGGER said AFTER INSERT ON events DEFERRABLE INITIALLY DEFERRED"


@pytest.mark.parametrize("trigger", [AT_ONCE, AT_THE_END])
async def test_a_lease_is_renewed_by_a_server_that_takes_no_facts(
    postgres: PostgresServer, trigger: str
) -> None:
    """Though nothing was asked of it since: an idle daemon would say that the store answers again."""
    renewed: list[int] = []
    async with postgres_store(postgres, on_renewed=renewed.append) as store:
        await start(store)
        facts = [fact.event_id for fact in await store.read_all()]
        path = f"SET search_path = {store._db.schema}; "
        postgres.ask(
            f"{path} CREATE FUNCTION say() RETURNS trigger LANGUAGE plpgsql AS"
            " $$ BEGIN RAISE 'a server says so' USING ERRCODE = 'ZZ999'; END $$;"
            f" {trigger} FOR EACH ROW EXECUTE FUNCTION say()"
        )
        with pytest.raises(StoreAway, match="ZZ999"):
            await store.commit([enqueue("r2")])
        before = len(renewed)
        for _ in range(2):
            with pytest.raises(StoreAway, match="ZZ999"):
                await store.commit([])
        assert len(renewed) == before + 2
        postgres.ask(f"{path} DROP TRIGGER said ON events")
        assert await store.commit([]) == []
        assert [fact.event_id for fact in await store.read_all()] == facts
        await store.commit([enqueue("r2")])
        assert await types(store, "r2") == ["run.queued"]
        await check_log(store)
