"""A store that was away for a while, as whoever submits sees it."""

from __future__ import annotations

import pytest
import trio
import trio.testing

from fakes.cores import open_fake_core, request, wait_ended
from fakes.stores import inline_store
from penstock.testing.faulty_store import LONG_OUTAGE, FaultyStore, StoreFault
from penstock.words.errors import StoreAway, StoreUnavailable


async def test_an_idle_daemon_takes_runs_a_second_after_the_store_is_back(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """ST-06: and while it is away it says at once that nothing was written."""
    async with inline_store() as store:
        faulty = FaultyStore(store, epoch=store.epoch)
        async with open_fake_core(store=faulty) as core:
            fault = faulty.fault = StoreFault("outage", faulty.calls + 1)
            with pytest.raises(StoreUnavailable) as tried:
                await core.scheduler.submit(request())
            assert not isinstance(tried.value, StoreAway)
            assert fault.since is not None
            with pytest.raises(StoreAway):
                await core.scheduler.submit(request())
            await trio.sleep(fault.since + LONG_OUTAGE + 1 - trio.current_time())
            await core.scheduler.submit(request(run_id="third"))
            await wait_ended(core, "third")
