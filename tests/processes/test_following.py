"""CN-06: nothing that a supervisor has said is lost, whenever whoever hears it is interrupted."""

from __future__ import annotations

import json
from typing import Any, cast

import pytest
import trio

from penstock.processes.process import ProcessTree, exit_of
from penstock.words.events import ProcessStarted

SAID: tuple[dict[str, Any], ...] = (
    {"type": "started", "pid": 7, "start_time": 1, "method": "subreaper"},
    {"type": "exited", "exit_code": 3, "signal": None, "leftover": 0},
    {"type": "ended", "left": [], "proven": True, "pids": [7]},
)


async def test_an_end_that_comes_with_the_start_outlives_a_cancel_between_the_two() -> (
    None
):
    """Both come in one piece, and the start is being recorded when the cancel comes."""
    ours, theirs = trio.socket.socketpair()
    with ours, theirs:
        await theirs.send(b"".join(json.dumps(line).encode() + b"\n" for line in SAID))
        tree = ProcessTree(
            process=cast("Any", None),
            control=trio.SocketStream(ours),
            spec={"cgroup": None, "grace": 1.0},
            argv=("x",),
            run_id="r-1",
            sent=True,
        )
        with trio.CancelScope() as scope:

            async def record(_started: ProcessStarted) -> None:
                scope.cancel()
                await trio.lowlevel.checkpoint()

            await tree.follow(record)
        assert scope.cancelled_caught

        async def unnoticed(_started: ProcessStarted) -> None:
            pytest.fail("the start is told once")

        with trio.fail_after(5):
            await tree.follow(unnoticed)
    assert exit_of(tree).exit_code == 3
    assert tree.survivors == ()
