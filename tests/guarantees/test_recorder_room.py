"""Room in the recorder goes to the next in line that may still take it."""

from __future__ import annotations

import trio

from fakes.stores import append, inline_store, start
from penstock.log.new_events import new_event
from penstock.log.recorder import Recorder, open_recorder
from penstock.log.writes import Append, Complete
from penstock.testing.virtual_time import virtual_now
from penstock.words.errors import Terminal
from penstock.words.events import Log, RunCompleted


class _Forgetful:
    """A projection that takes note of nothing."""

    head = 10**9

    def claim(self, _batch: object, *, forced: bool) -> None:
        return None

    def apply(self, _write: object, _result: object) -> None:
        return None

    def fold(self, _facts: object) -> None:
        return None

    def follow(self, _facts: object) -> None:
        return None

    def abandon(self) -> None:
        return None


async def test_who_waits_for_room_for_a_concluded_run_is_refused_and_the_next_goes_on(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """CN-04 BP-04: three wait for two places; the first two belong to a run that has concluded."""
    async with inline_store(delay=lambda: 0.1) as store:
        ending, other = await start(store, "ending"), await start(store, "other")
        recorder = Recorder(
            store=store, projection=_Forgetful(), capacity=2, patience=30.0,
            coalesce_seconds=1.0, now=virtual_now,
        )  # fmt: skip
        refused: list[str] = []
        recorded: list[str] = []

        async def say(write: Append, name: str) -> None:
            try:
                await recorder.record(write)
            except Terminal:
                refused.append(name)
            else:
                recorded.append(name)

        late = [append("ending", Log(text="x"), fence=ending.fence) for _ in range(2)]
        async with (
            open_recorder(recorder, drain_seconds=2.0),
            trio.open_nursery() as all_said,
        ):
            await trio.testing.wait_all_tasks_blocked()
            for number in range(4):
                fact = append("other", Log(text="x"), fence=other.fence)
                all_said.start_soon(say, fact, f"first {number}")
            # Two ride a commit and two stand in the channel, so that both places come free at once.
            await trio.testing.wait_all_tasks_blocked()
            for number, fact in enumerate(late):
                all_said.start_soon(say, fact, f"late {number}")
                await trio.testing.wait_all_tasks_blocked()
            fact = append("other", Log(text="x"), fence=other.fence)
            all_said.start_soon(say, fact, "third")
            await trio.testing.wait_all_tasks_blocked()
            end = new_event("ending", RunCompleted(), now=virtual_now())
            recorder.conclude(Complete(ending.fence, end))
            await trio.testing.wait_all_tasks_blocked()
            assert sorted(refused) == ["late 0", "late 1"]
            assert recorder.statistics().waiting == 1
            with trio.move_on_after(60):
                await trio.sleep(5)
            all_said.cancel_scope.cancel(reason="who waits now waits for ever")
    assert sorted(recorded) == [*(f"first {number}" for number in range(4)), "third"]
    assert sorted(refused) == ["late 0", "late 1"]
