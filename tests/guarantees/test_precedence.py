"""Of everything that may end an execution, the most important decides: through `open_execution`.

The table itself is tested in tests/test_lifecycle.py; here each cell happens to a real scope.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

import pytest
import trio

from fakes.cores import virtual_now
from fakes.stores import inline_store, start
from penstock.log.writes import Complete, Release
from penstock.runs.execution import Execution, open_execution
from penstock.words.events import parse_event

Say = Callable[[Execution], Awaitable[None]]
Clock = trio.testing.MockClock


async def _cancel(execution: Execution) -> None:
    execution.cancel("user")


async def _fail(_execution: Execution) -> None:
    raise ValueError("boom")


async def _complete(execution: Execution) -> None:
    execution.returned = True


async def _finish(execution: Execution) -> None:
    execution.finish_reason = "stop"


async def _cut_short(execution: Execution) -> None:
    execution.finish_reason = "length"


async def _time_out(_execution: Execution) -> None:
    await trio.sleep_forever()


async def _stop(execution: Execution) -> None:
    execution.stop()


async def _preempt(execution: Execution) -> None:
    execution.preempt("other")


#: Most important first: what happens, and what the run comes to if nothing more important does.
FORCES: dict[str, tuple[Say, str]] = {
    "cancel": (_cancel, "run.cancelled user"),
    "fail": (_fail, "run.failed error"),
    "complete": (_complete, "run.completed"),
    "finish ok": (_finish, "run.completed"),
    "finish cut": (_cut_short, "run.failed finish_reason"),
    "timeout": (_time_out, "run.failed timeout"),
    "stop": (_stop, "run.requeued shutdown"),
    "preempt": (_preempt, "run.preempted"),
}
PAIRS = [
    (one, other)
    for one, other in itertools.permutations(FORCES, 2)
    if {one, other} != {"finish ok", "finish cut"}
]


async def _outcome(
    body: Callable[[Execution], Awaitable[None]], seconds: float = 1.0
) -> str:
    """What an execution with so many seconds comes to; it concludes exactly once."""
    async with inline_store() as store:
        row = await start(store, timeout=seconds, on_restart="requeue")
    execution = Execution(replace(row, used_seconds=0.0), row.fence)
    concluded: list[Complete | Release] = []
    async with open_execution(
        execution, conclude_with=concluded.append, now=virtual_now
    ):
        await body(execution)
    (write,) = concluded
    event: Any = parse_event(json.loads(write.new_event.body))
    return " ".join((event.type, getattr(event, "reason", ""))).strip()


def _winner(*names: str) -> str:
    return FORCES[min(names, key=list(FORCES).index)][1]


# After these the scope is cancelled, so the time cannot run out any more; and a clean-up that waits
# loses the failure that it cleans up after.
NOT_BEFORE_TIMEOUT = {"cancel", "fail", "stop", "preempt"}


@pytest.mark.parametrize(
    ("first", "second"),
    [p for p in PAIRS if p[1] != "timeout" or p[0] not in NOT_BEFORE_TIMEOUT],
)
async def test_the_more_important_of_two_decides_whichever_came_first(
    first: str, second: str, autojump_clock: Clock
) -> None:
    """DT-01 DT-02"""

    async def body(execution: Execution) -> None:
        try:
            await FORCES[first][0](execution)
        finally:
            # What comes second comes while the first unwinds; it waits for nothing.
            await FORCES[second][0](execution)  # noqa: ASYNC102

    assert await _outcome(body) == _winner(first, second)


@pytest.mark.parametrize(("one", "other"), PAIRS)
async def test_the_more_important_of_two_decides_when_both_come_at_once(
    one: str, other: str, autojump_clock: Clock
) -> None:
    """DT-01 DT-02: in two tasks in one tick, which may be the one in which the time is up."""

    async def body(execution: Execution) -> None:
        async def later(name: str) -> None:
            with trio.CancelScope(shield=True):
                await trio.sleep(1.0)
            await FORCES[name][0](execution)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(later, one)
            nursery.start_soon(later, other)

    seconds = 1.0 if "timeout" in {one, other} else 2.0
    assert await _outcome(body, seconds) == _winner(one, other)


async def test_a_cancel_from_outside_is_a_stop(autojump_clock: Clock) -> None:
    """SY-03 CC-03: the daemon ends, and the run is to go on later."""
    outcomes: list[str] = []

    async def body(_execution: Execution) -> None:
        # A cancel comes out of a nursery in a group.
        async with trio.open_nursery() as nursery:  # noqa: ASYNC112
            nursery.start_soon(trio.sleep_forever)

    async def execute() -> None:
        async with inline_store() as store:
            row = await start(store, on_restart="requeue")
        async with open_execution(
            Execution(row, row.fence),
            conclude_with=lambda write: outcomes.append(write.new_event.type),
            now=virtual_now,
        ) as execution:
            await body(execution)

    with trio.move_on_after(1.0):
        await execute()
    assert outcomes == ["run.requeued"]


async def test_saying_nothing_is_to_be_cancelled(autojump_clock: Clock) -> None:
    """CC-03"""

    async def body(_execution: Execution) -> None:
        await trio.sleep(0.5)

    assert await _outcome(body) == "run.cancelled abandoned"
