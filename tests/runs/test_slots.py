"""Slots of the queue and of groups, changed while the daemon runs, and kept."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
import trio

from fakes.cores import Nothing, Seconds, kind, open_fake_core, request, wait_ended
from penstock.pipeline import Run
from penstock.runs.core import Core
from penstock.testing import open_memory_store
from penstock.words.config import Group
from penstock.words.errors import Conflict, Refused


async def submit(core: Core, count: int, **others: Any) -> None:
    for _ in range(count):
        await core.submitter.submit(request(seconds=100.0, **others))
    await trio.sleep(1)


async def test_more_slots_are_used_at_once(autojump_clock: Any) -> None:
    """DU-05: with nothing else happening."""
    async with open_fake_core(max_concurrent=1) as core:
        await submit(core, 5)
        assert core.table.queue.running == 1
        await core.queue.set_slots(None, 3)
        await trio.sleep(1)
        assert core.table.queue.running == 3
        assert core.statistics().slots == 3


async def test_fewer_slots_end_nobody(autojump_clock: Any) -> None:
    """DU-05: what executes goes on, and nothing starts until there are fewer."""
    peaks: Counter[str] = Counter()
    running: Counter[str] = Counter()

    async def count(_run: Run, inputs: Seconds) -> Nothing:
        running["now"] += 1
        peaks["later"] = max(peaks["later"], running["now"])
        await trio.sleep(inputs.seconds)
        running["now"] -= 1
        return Nothing()

    async with open_fake_core(kind("count", count), max_concurrent=3) as core:
        ids = [f"r{n}" for n in range(9)]
        for run_id in ids:
            await core.submitter.submit(request("count", run_id=run_id, seconds=50.0))
        await trio.sleep(10)
        await core.queue.set_slots(None, 1)
        await trio.sleep(10)
        assert core.table.queue.running == 3
        await trio.sleep(35)
        peaks.clear()
        await wait_ended(core, *ids)
        assert peaks["later"] == 1


async def test_a_group_is_made_and_goes_again(autojump_clock: Any) -> None:
    """DU-05: and what belongs to one that has runs stays."""
    async with open_fake_core(max_concurrent=5) as core:
        with pytest.raises(Refused, match="no group"):
            await submit(core, 1, group="disk")
        await core.queue.set_slots("disk", 1)
        await submit(core, 3, group="disk")
        assert core.statistics().groups["disk"] == {
            "slots": 1,
            "running": 1,
            "queued": 2,
        }
        with pytest.raises(Conflict, match="open"):
            await core.queue.set_slots("disk", None)
        await core.queue.set_slots("disk", 2)
        await trio.sleep(1)
        assert core.statistics().groups["disk"]["running"] == 2
        await core.shutdown(cancel_queued=True)
        await core.queue.set_slots("disk", None)
        assert "disk" not in core.statistics().groups
        with pytest.raises(Refused):
            await core.queue.set_slots("disk", None)


async def test_slots_are_kept_over_a_restart_until_they_are_reset(
    autojump_clock: Any,
) -> None:
    """DU-05: whatever the configuration says then."""
    settings: dict[str, Any] = {"max_concurrent": 2, "groups": {"gpu": Group(slots=1)}}
    async with open_memory_store() as store:
        async with open_fake_core(store=store, **settings) as core:
            await core.queue.set_slots(None, 7)
            await core.queue.set_slots("gpu", 4)
            await core.queue.set_slots("new", 3)
        async with open_fake_core(store=store, life="life-2", **settings) as core:
            assert (core.table.slots, core.table.group_slots) == (
                7,
                {"gpu": 4, "new": 3},
            )
            for group in (None, "gpu", "new"):
                await core.queue.set_slots(group, None)
            assert (core.table.slots, core.table.group_slots) == (2, {"gpu": 1})
        async with open_fake_core(store=store, life="life-3", **settings) as core:
            assert (core.table.slots, core.table.group_slots) == (2, {"gpu": 1})
        types = [fact.type for fact in await store.read("daemon")]
        assert types.count("slots.changed") == 6


async def test_groups_are_not_made_without_end(
    autojump_clock: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """DU-05, QA-08: those there are may be given other slots all the same."""
    monkeypatch.setattr("penstock.runs.control.MOST_GROUPS", 2)
    async with open_fake_core(groups={"a": Group(slots=1)}) as core:
        await core.queue.set_slots("b", 1)
        with pytest.raises(Conflict, match="2 groups"):
            await core.queue.set_slots("c", 1)
        await core.queue.set_slots("b", 2)
        await core.queue.set_slots(None, 3)
        assert core.table.group_slots == {"a": 1, "b": 2}


async def test_slots_are_used_though_who_gave_them_has_gone(
    autojump_clock: Any,
) -> None:
    """DU-05: what is in the log is heeded, whenever the caller was cut off."""
    for steps in range(1, 12, 2):
        async with open_memory_store(delay=lambda: 0.02) as store:
            async with open_fake_core(store=store, max_concurrent=1) as core:
                await submit(core, 3)
                with trio.move_on_after(steps * 0.005):
                    await core.queue.set_slots(None, 3)
                await trio.sleep(1)
                given = core.table.slots
                assert core.table.queue.running == given, f"after {steps} steps"
