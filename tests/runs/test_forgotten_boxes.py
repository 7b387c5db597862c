"""MB-03: a box that is gone for good is told of no more, once somebody says so."""

from __future__ import annotations

import pytest
import trio
import trio.testing

from fakes.boxes import CELLAR
from fakes.contract import check_log, one
from fakes.cores import whole_log
from fakes.house import open_house
from fakes.postgres import PostgresServer
from fakes.shared_log import LEASE, open_box, open_shared_log, placed, submit, until
from fakes.stores import at, claim, enqueue
from fakes.stores_elsewhere import postgres_store
from penstock.log.writes import ForgetBox
from penstock.runs.core import Core
from penstock.words.api import RetryRequest
from penstock.words.errors import Conflict, NotFound, StoreAway
from penstock.words.events import BoxForgotten

Clock = trio.testing.MockClock


async def standing(core: Core) -> dict[str, str]:
    return {box.box: box.standing for box in await core.boxes.told()}


async def test_a_box_that_is_gone_is_told_of_until_it_is_forgotten(
    autojump_clock: Clock,
) -> None:
    """Not while it has a lease, or runs that are its own; others hear of it, and it may come back."""
    async with (
        open_shared_log() as log,
        open_box(log, "b") as (b, _),
        open_box(log, "c") as (c, _),
    ):
        async with open_box(log, "a"):
            await b.queue.drain_box("a")
            await b.queue.set_slots(None, 3, box="a")
            await submit(b, "pinned", seconds=1, needs={"box": "a"})
            with pytest.raises(Conflict, match=r"box a has a lease, for \d s more"):
                await b.boxes.forget("a")
        await trio.sleep(2 * LEASE)
        assert await standing(b) == {"a": "lost", "b": "ok", "c": "ok"}
        with pytest.raises(Conflict, match=r"the run pinned could go on .*--anywhere"):
            await b.boxes.forget("a")
        await b.control.cancel("pinned", "it is gone", wait=True)
        elsewhere = RetryRequest(needs={"box": "c"})
        await b.submitter.retry("pinned", elsewhere)
        assert "a" in c.table.drained
        left = await b.boxes.forget("a")
        assert [box.box for box in left] == ["b", "c"]
        await until(lambda: "a" not in c.table.drained, c)
        assert "a" not in {*b.table.drained, *b.table.box_slots, *c.table.box_slots}
        assert await standing(c) == {"b": "ok", "c": "ok"}
        for name in ("a", "nobody"):
            with pytest.raises(NotFound, match=f"there is no box '{name}'"):
                await b.boxes.forget(name)
        async with open_box(log, "a", life="a-2") as (a, _):
            assert await standing(c) == {"a": "ok", "b": "ok", "c": "ok"}
            await submit(c, "back", needs={"box": "a"})
            await until(lambda: placed(c) == {"back": "a"}, c)
            assert a.table.drained == set()
        facts = await whole_log(log.store)
        told = [f.event for f in facts if f.type == "box.forgotten"]
        assert told == [BoxForgotten(box="a", by="b")]


@pytest.mark.processes
async def test_what_a_silent_box_executes_is_taken_over_before_it_is_forgotten(
    postgres: PostgresServer,
) -> None:
    """By the server's clock, and under the turn of the log; a store that was open knows no drain any more."""
    schema = postgres.new_schema()
    async with (
        postgres_store(postgres, schema=schema, box="a") as gone,
        postgres_store(postgres, schema=schema, box="b", life="life-2") as store,
    ):
        await gone.commit([enqueue(), claim(host="a")])
        forget = ForgetBox("a", at(), "b")
        assert isinstance((await store.commit([forget]))[0], Conflict)
        postgres.ask(f"UPDATE {schema}.boxes SET until = seen WHERE box = 'a'")
        [refused] = await store.commit([forget])
        assert "the run r1 could go on at the box a alone" in str(refused)
        postgres.ask(
            f"UPDATE {schema}.runs SET life = NULL, host = '' WHERE run_id = 'r1'"
        )
        assert [f.type for f in (await one(store, forget)).recorded] == [
            "box.forgotten"
        ]
        assert [box.box for box in await store.boxes()] == ["b"]
        await check_log(store)


@pytest.mark.sockets
async def test_a_log_in_a_file_has_no_box_to_forget() -> None:
    """ST-12: and one that is there is not forgotten over REST either."""
    async with open_house(box="loft") as house, house.http() as client:
        for name in ("loft", "cellar"):
            refused = await client.post(f"/boxes/{name}/forget")
            assert refused.status_code == 409
            assert "shared by no boxes" in refused.json()["detail"]
        house.store.sharers = [CELLAR]
        assert (await client.get("/boxes")).json()["boxes"][0]["box"] == "cellar"


async def test_a_word_that_is_not_taken_holds_up_no_other(
    autojump_clock: Clock,
) -> None:
    """MB-03: who said it hears so at once, by a server that answers, and may say it again."""
    async with open_shared_log() as log, open_box(log, "b") as (b, store):
        async with open_box(log, "a"):
            pass
        await trio.sleep(2 * LEASE)
        store.refuses = lambda write: isinstance(write, ForgetBox)
        began = trio.current_time()
        with pytest.raises(StoreAway, match="a server says so"):
            await b.boxes.forget("a")
        assert trio.current_time() - began < 1
        await submit(b, "r1")
        store.refuses = lambda _write: False
        assert [box.box for box in await b.boxes.forget("a")] == ["b"]
