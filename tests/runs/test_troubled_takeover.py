"""MB-03: a server that answers, and does not take what a box's loss is to be written with."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
import trio
import trio.testing

from fakes.cores import wait_ended, whole_log
from fakes.shared_log import (
    ENOUGH,
    LEASE,
    BoxStore,
    SharedLog,
    open_box,
    open_shared_log,
    placed,
    submit,
)
from penstock.log.put_back import one_broken_store
from penstock.log.writes import Complete, LoseBox, Prune, Release, Write
from penstock.runs.core import Core
from penstock.server.health import make_health
from penstock.words.errors import StoreAway, StoreBroken

Clock = trio.testing.MockClock
#: What health says meanwhile.
NOT_TAKEN = "what lost boxes left is not taken over (ZZ999)"


async def until(holds: Callable[[], object]) -> None:
    with trio.fail_after(ENOUGH):
        while not holds():  # noqa: ASYNC110 (of what tells nobody)
            await trio.sleep(0.1)


async def reasons(core: Core) -> tuple[str, ...]:
    return (await make_health(core)()).reasons


async def count(log: SharedLog, type_: str) -> int:
    return sum(fact.type == type_ for fact in await whole_log(log.store))


def never(_write: Write[Any]) -> bool:
    return False


@asynccontextmanager
async def left_by_a(*run_ids: str) -> AsyncIterator[tuple[SharedLog, Core, BoxStore]]:
    """The box b on a log where a, which executes these runs, is not heard of any more."""
    over = False
    async with open_shared_log() as log:
        with pytest.raises(StoreBroken), one_broken_store():
            async with open_box(log, "a", max_concurrent=9) as (a, a_store):
                for run_id in run_ids:
                    await submit(a, run_id, on_restart="requeue")
                await until(lambda: placed(a) == dict.fromkeys(run_ids, "a"))
                async with open_box(log, "b", max_concurrent=9) as (b, b_store):
                    a_store.cut = True
                    yield log, b, b_store
                    over = True
                a_store.cut = False
                await trio.sleep_forever()
        # It was not b whose store was broken.
        assert over


async def test_a_loss_that_is_not_taken_holds_up_nothing_and_is_told(
    autojump_clock: Clock,
) -> None:
    """Neither the runs of the box that is lost nor what others want, nor the own lease; it is noted later."""
    async with left_by_a("r1") as (log, b, store):
        store.refuses = lambda write: isinstance(write, LoseBox)
        await until(lambda: placed(b) == {"r1": "b"})
        for _ in range(10):
            await submit(b, f"r{trio.current_time()}", seconds=1)
            assert NOT_TAKEN in await reasons(b)
            await trio.sleep(LEASE / 3)
        assert await count(log, "box.lost") == 0
        store.refuses = never
        await until(lambda: b.boxes.left is None)
        assert NOT_TAKEN not in await reasons(b)
        assert await count(log, "box.lost") == 1
        assert await count(log, "run.requeued") == 1


async def test_a_run_that_is_not_given_back_holds_up_no_other(
    autojump_clock: Clock,
) -> None:
    """It is, once that is taken; by whoever is there then."""
    async with left_by_a("r1", "r2", "r3") as (log, b, store):
        store.refuses = lambda write: (
            isinstance(write, Release) and write.fence.run_id == "r1"
        )
        others = {"r1": "a", "r2": "b", "r3": "b"}
        await until(lambda: placed(b) == others)
        await trio.sleep(2 * LEASE)
        assert (placed(b), NOT_TAKEN in await reasons(b)) == (others, True)
        assert b.recorder.unavailable is None
        store.refuses = never
        await until(lambda: placed(b) == {**others, "r1": "b"})
        assert await count(log, "run.requeued") == 3
        await until(lambda: b.boxes.left is None)


async def test_a_lease_is_renewed_while_what_a_run_ended_with_is_not_taken(
    autojump_clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    """MB-04, D-16: the server answers, so nobody takes for lost who waits for it; and the door stays shut."""
    async with (
        open_shared_log() as log,
        open_box(log, "b") as (b, _),
        open_box(log, "a") as (a, store),
    ):
        store.refuses = lambda write: isinstance(write, Complete)
        await submit(a, "long")
        await submit(a, "r1", seconds=1)
        await until(lambda: a.recorder.unavailable)
        for _ in range(10):
            await trio.sleep(LEASE / 3)
            assert "the store takes no writes (ZZ999)" in await reasons(a)
        assert await count(log, "box.lost") == 0
        assert "answers again" not in caplog.text
        store.refuses = never
        await wait_ended(b, "r1")
        assert (placed(b)["long"], await count(log, "run.completed")) == ("a", 1)
        assert await reasons(a) == ()


async def test_what_cannot_be_forgotten_holds_up_no_write(
    autojump_clock: Clock,
) -> None:
    """ST-08: a round that is not taken is over at once, and the next tries again."""
    async with open_shared_log() as log, open_box(log, "b") as (b, store):
        await submit(b, "r1", seconds=1)
        await wait_ended(b, "r1")
        store.refuses = lambda write: isinstance(write, Prune)
        began = trio.current_time()
        with pytest.raises(StoreAway, match="a server says so"):
            await b.retention.prune(keep=0)
        assert trio.current_time() - began < 1
        assert b.recorder.unavailable is None
        store.refuses = never
        assert await b.retention.prune(keep=0) == ["r1"]
