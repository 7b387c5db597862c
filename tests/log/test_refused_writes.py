"""ST-10: what a store takes never is refused alone, in a sentence; what must be recorded waits, and is told."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest
import trio
import trio.testing

from fakes.cores import (
    Nothing,
    Seconds,
    kind,
    open_fake_core,
    request,
    types_of,
    wait_ended,
)
from fakes.shared_log import open_box, open_shared_log
from fakes.stores import inline_store
from fakes.troubled_store import TroubledStore
from penstock.log.writes import Append, Claim, Complete, Enqueue
from penstock.pipeline import Run
from penstock.runs.core import Core
from penstock.server.health import make_health
from penstock.words.errors import Refused, StoreAway

#: Seconds of virtual time that anything may take here.
PATIENCE = 60.0


async def ticks(run: Run, inputs: Seconds) -> Nothing:
    """Says something each second."""
    for _ in range(int(inputs.seconds)):
        await run.log("tick")
        await trio.sleep(1)
    return Nothing()


@asynccontextmanager
async def troubled() -> AsyncIterator[tuple[Core, TroubledStore]]:
    async with inline_store() as inner:
        store = TroubledStore(inner)
        async with open_fake_core(kind("ticks", ticks), store=store.as_store()) as core:
            yield core, store


async def until(holds: Callable[[], object]) -> None:
    with trio.fail_after(PATIENCE):
        while not holds():  # noqa: ASYNC110 (of what tells nobody)
            await trio.sleep(0.1)


async def reasons(core: Core) -> tuple[str, ...]:
    return (await make_health(core)()).reasons


async def test_the_end_of_a_run_is_recorded_once_it_is_taken(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """ST-10, D-16: it executes for ever in the log otherwise, and nobody is told."""
    async with troubled() as (core, store):
        await core.submitter.submit(request(run_id="r1", seconds=1))
        store.refuses = (Complete,)
        await until(lambda: core.recorder.unavailable)
        assert "the store takes no writes (22P02)" in await reasons(core)
        with pytest.raises(StoreAway):
            await core.submitter.submit(request(run_id="r2"))
        store.refuses = ()
        await wait_ended(core, "r1")
        assert (await types_of(core, "r1"))[-1] == "run.completed"
        await until(lambda: not core.recorder.unavailable)
        await core.submitter.submit(request(run_id="r2"))
        await wait_ended(core, "r2")


async def test_what_others_record_goes_on_beside_an_end_that_is_not_taken(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """ST-10: what was done of a batch is done once."""
    async with troubled() as (core, store):
        await core.submitter.submit(request("ticks", run_id="other", seconds=20))
        await core.submitter.submit(request(run_id="r1", seconds=1.5))
        store.refuses = (Complete,)
        await until(lambda: core.recorder.unavailable)
        store.refuses = ()
        await wait_ended(core, "r1", "other")
        assert (await types_of(core, "other")).count("log") == 20
        assert (await types_of(core, "r1")).count("run.completed") == 1


async def test_runs_that_cannot_be_started_wait_and_are_told(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """ST-10"""
    async with troubled() as (core, store):
        store.refuses = (Claim,)
        await core.submitter.submit(request(run_id="r1"))
        await until(lambda: core.recorder.unavailable)
        assert "the store takes no writes (22P02)" in await reasons(core)
        store.refuses = ()
        await wait_ended(core, "r1")


async def test_who_asked_for_what_is_refused_is_told_why(
    autojump_clock: trio.testing.MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    """ST-10: in a sentence, and the log has no traceback of it."""
    async with troubled() as (core, store):
        store.refuses = (Enqueue,)
        with pytest.raises(Refused, match="it never takes it"):
            await core.submitter.submit(request(run_id="r1"))
        store.refuses = ()
        await core.submitter.submit(request(run_id="r1"))
        await wait_ended(core, "r1")
        assert [r for r in caplog.records if r.exc_info] == []


async def test_a_renewal_that_is_refused_is_told_of(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """ST-10, MB-04: it is none, and nobody's write is at fault."""
    async with troubled() as (core, store):
        # What is taken of others would tell that it answers.
        await trio.sleep(1)
        store.refuses_renewals = True
        core.recorder.renew()
        await until(lambda: core.recorder.unavailable)
        store.refuses_renewals = False
        await until(lambda: not core.recorder.unavailable)


async def test_a_stop_is_not_held_up_by_a_store_that_refuses_the_word_of_it(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """ST-10"""
    with trio.fail_after(PATIENCE):
        async with troubled() as (_, store):
            store.refuses = (Append,)


async def test_a_box_that_cannot_read_what_others_wrote_is_told_of(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """MB-07: its commits go on meanwhile, so that nothing else would tell."""
    with trio.fail_after(PATIENCE):
        async with open_shared_log() as log, open_box(log, "ann") as (ann, store):
            async with open_box(log, "bob") as (bob, _):
                store.unreadable = True
                await bob.submitter.submit(request(run_id="r1"))
                await until(lambda: ann.recorder.behind)
                assert "what other boxes wrote cannot be read" in await reasons(ann)
                store.unreadable = False
                await until(lambda: not ann.recorder.behind)
                assert await reasons(ann) == ()
