"""Room in the recorder that nobody takes is offered to the next in line."""

from __future__ import annotations

import trio

from fakes.stores import append, inline_store, start
from penstock.log.recorder import Recorder, open_recorder
from penstock.log.writes import Append, Complete, new_event
from penstock.testing.virtual_time import virtual_now
from penstock.words.errors import Terminal
from penstock.words.events import Log, RunCompleted


class _Follower:
    """A follower that takes note of nothing."""

    head = 10**9

    def claim(self, _batch: object, *, forced: bool) -> None:
        return None

    def apply(self, _decision: object, _outcome: object) -> None:
        return None

    def fold(self, _facts: object) -> None:
        return None

    def abandon(self) -> None:
        return None


async def test_room_that_a_closed_door_did_not_take_is_passed_on(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """CN-04 BP-04: three wait for two places; the first two belong to a run that has concluded."""
    async with inline_store(delay=lambda: 0.1) as store:
        ending, other = await start(store, "ending"), await start(store, "other")
        recorder = Recorder(
            store=store, projection=_Follower(), capacity=2, patience=30.0,
            note_interval=1.0, now=virtual_now,
        )  # fmt: skip
        refused: list[str] = []
        recorded: list[str] = []

        async def say(decision: Append, name: str) -> None:
            try:
                await recorder.record(decision)
            except Terminal:
                refused.append(name)
            else:
                recorded.append(name)

        late = [append("ending", Log(text="x"), fence=ending.fence) for _ in range(2)]
        async with (
            open_recorder(recorder, drain_seconds=2.0),
            trio.open_nursery() as all_said,
        ):
            for number in range(2):
                fact = append("other", Log(text="x"), fence=other.fence)
                all_said.start_soon(say, fact, f"first {number}")
            # Both ride one commit, so that both places come free at once.
            await trio.testing.wait_all_tasks_blocked()
            for number, fact in enumerate(late):
                all_said.start_soon(say, fact, f"late {number}")
                await trio.testing.wait_all_tasks_blocked()
            fact = append("other", Log(text="x"), fence=other.fence)
            all_said.start_soon(say, fact, "third")
            await trio.testing.wait_all_tasks_blocked()
            end = new_event("ending", RunCompleted(), now=virtual_now())
            recorder.conclude(Complete(ending.fence, end))
            with trio.move_on_after(60):
                await trio.sleep(5)
            all_said.cancel_scope.cancel(reason="who waits now waits for ever")
    assert sorted(recorded) == ["first 0", "first 1", "third"]
    assert sorted(refused) == ["late 0", "late 1"]
