"""The boxes that share a log, as a core tells them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
import trio
import trio.testing

from fakes.boxes import ATTIC, CELLAR, LOFT, FreshLease, box_row
from fakes.cores import fake_environment, open_fake_core, request
from fakes.stores import inline_store
from fakes.troubled_store import TroubledStore
from penstock import __version__
from penstock.log.projections import RunView
from penstock.runs.boxes import LOSS_TOLD, losses, running_by_box, tell_boxes
from penstock.runs.core import Core
from penstock.server.health import make_health
from penstock.testing.virtual_time import START
from penstock.words.errors import StoreUnavailable

Clock = trio.testing.MockClock


@asynccontextmanager
async def open_loft(**settings: Any) -> AsyncIterator[tuple[Core, TroubledStore]]:
    """A core on the box `loft`, and its store, whose boxes a test may choose."""
    async with inline_store() as inner:
        store = TroubledStore(inner)
        environment = replace(fake_environment(), host="loft", lease=FreshLease())
        async with open_fake_core(
            store=store.as_store(), environment=environment, **settings
        ) as core:
            yield core, store


async def test_a_log_of_one_daemon_has_its_own_box(autojump_clock: Clock) -> None:
    """ST-12: without a lease, which nobody would ask for."""
    async with open_loft(max_concurrent=3) as (core, _store):
        await core.submitter.submit(request(run_id="r", seconds=100))
        await trio.sleep(1)
        [box] = await core.boxes.told()
        assert (box.box, box.standing, box.own) == ("loft", "ok", True)
        assert (box.running, box.slots) == (1, 3)
        assert (box.lease_seconds, box.lease_left) == (None, None)
        assert (box.version, box.life) == (__version__, core.life)
        assert box.seen_at == core.now()


async def test_every_box_is_told_with_what_executes_there(
    autojump_clock: Clock,
) -> None:
    """MB-03: runs of other boxes are those whose facts name them."""
    async with open_loft(max_concurrent=3) as (core, store):
        store.sharers = [ATTIC, CELLAR, LOFT]
        await core.submitter.submit(request(run_id="r", seconds=100))
        await trio.sleep(1)
        told = {box.box: box for box in await core.boxes.told()}
        assert {name: box.standing for name, box in told.items()} == {
            "attic": "ok", "cellar": "lost", "loft": "ok",
        }  # fmt: skip
        assert [name for name, box in told.items() if box.own] == ["loft"]
        assert (told["loft"].running, told["attic"].running) == (1, 0)
        # Its own slots are those of now, whatever it said with its last commit.
        assert (told["loft"].slots, told["attic"].slots) == (3, 2)
        assert told["attic"].labels == {"gpu": "1"}
        assert told["cellar"].lease_left == -10
        assert told["cellar"].seen_at == core.now() - timedelta(seconds=130)


def test_runs_are_counted_by_the_box_that_executes_them() -> None:
    """MB-03: one that is parked holds no slot; of an older log that names no box, it is this one's."""
    views = [
        RunView("a", state="running", box="attic"),
        RunView("b", state="paused", box="attic"),
        RunView("c", state="waiting", box="attic"),
        RunView("d", state="running"),
        RunView("e", state="queued", box="attic"),
    ]
    assert running_by_box(views, own="loft") == {"attic": 2, "loft": 1}


async def test_a_loss_is_the_first_complaint_of_health(autojump_clock: Clock) -> None:
    """MB-03: before all else, for a day; and the seconds of the own lease are told."""
    async with open_loft() as (core, store):
        health_of = make_health(core, complain=lambda: "the loop stood still")
        store.sharers = [ATTIC, CELLAR, LOFT]
        told = await health_of()
        assert told.reasons == (
            "the box cellar is lost: silent for 130 s",
            "the loop stood still",
        )
        assert told.lease == {"seconds": 120.0, "usable": 105.0, "left": 104.0}
        store.sharers = [replace(CELLAR, silent_seconds=LOSS_TOLD), LOFT]
        assert (await health_of()).reasons == ("the loop stood still",)
        store.sharers = [replace(CELLAR, state="left"), LOFT]
        assert (await health_of()).reasons == ("the loop stood still",)


async def test_boxes_of_a_log_that_is_away_are_not_made_up(
    autojump_clock: Clock,
) -> None:
    """MB-08"""
    async with open_loft() as (core, store):
        store.sharers = [LOFT, ATTIC]
        assert len(await core.boxes.told()) == 2
        store.fail_reads(StoreUnavailable("the server is away"))
        with pytest.raises(StoreUnavailable):
            await core.boxes.told()
        assert [box.box for box in core.boxes.last] == ["loft", "attic"]
        told = await make_health(core)()
        assert told.status == "degraded"
        assert told.lease == {"seconds": 120.0, "usable": 105.0, "left": 104.0}


def test_an_older_release_is_told_by_the_newest_that_is_here() -> None:
    """MB-14: who left or is lost says nothing of what the others should have."""
    rows = [
        box_row("new", version="2.1"),
        box_row("old", version="2.0"),
        box_row("gone", version="3.0", state="left"),
    ]
    told = tell_boxes(rows, own="old", running={}, own_slots=1, now=START)
    assert [box.standing for box in told] == ["ok", "older", "left"]
    assert losses(told) == []
