"""SC-07, law 8: a blocked loop is noticed, told and survived. Real threads, real clock."""

from __future__ import annotations

import logging
import threading
import time

import pytest
import trio
import trio.lowlevel

from penstock.service.watchdog import Watchdog, open_watchdog

pytestmark = [pytest.mark.processes, pytest.mark.alone]

#: Long enough that a loaded machine does not stall the loop by itself.
STALL = 0.5


def block_the_loop(seconds: float) -> None:
    time.sleep(seconds)


async def until_beaten(watchdog: Watchdog, stalls: int) -> None:
    give_up = trio.current_time() + 30
    while watchdog.statistics().stalls < stalls:  # noqa: ASYNC110
        assert trio.current_time() < give_up
        await trio.sleep(0.02)


async def test_a_blocked_loop_is_told_with_its_stacks(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """SC-07: while it is blocked, and where."""
    told: list[str] = []

    class Keep(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            told.append(f"{blocked}: {record.getMessage()}")

    logger = logging.getLogger("penstock.service.watchdog")
    keep = Keep()
    logger.addHandler(keep)
    blocked = False
    try:
        async with open_watchdog(STALL) as watchdog:
            await trio.sleep(STALL / 2)
            blocked = True
            block_the_loop(4 * STALL)
            blocked = False
            await until_beaten(watchdog, 1)
    finally:
        logger.removeHandler(keep)
    stacks = next(text for text in told if "has been blocked" in text)
    over = told[-1]
    assert stacks.startswith("True: "), "told while it was blocked"
    assert "in block_the_loop" in stacks
    assert stacks.index("the loop:") < stacks.index("block_the_loop")
    assert over.startswith("False: the loop runs again")


async def test_health_tells_a_stall_for_a_while() -> None:
    """SC-07"""
    async with open_watchdog(STALL) as watchdog:
        await trio.lowlevel.checkpoint()
        assert watchdog.complaint() is None
        block_the_loop(3 * STALL)
        await until_beaten(watchdog, 1)
        told = watchdog.complaint()
        assert told is not None
        assert "the loop was blocked" in told
        assert watchdog.statistics().longest_stall >= 2 * STALL


async def test_a_loop_that_runs_is_left_alone(caplog: pytest.LogCaptureFixture) -> None:
    beaten = trio.Event()
    beats: list[float] = []

    def on_beat() -> None:
        beats.append(time.monotonic())
        if len(beats) == 5:
            beaten.set()

    # A limit that no load of the machine reaches, and beats that are frequent all the same.
    async with open_watchdog(20, manager_seconds=0.3, on_beat=on_beat) as watchdog:
        with trio.fail_after(30):
            await beaten.wait()
        assert watchdog.statistics().stalls == 0
        assert watchdog.complaint() is None
    assert "blocked" not in caplog.text


async def test_a_blocked_loop_does_not_feed_the_manager() -> None:
    """SY-01: only the loop itself says that it is alive."""
    beats: list[float] = []
    async with open_watchdog(STALL, on_beat=lambda: beats.append(time.monotonic())):
        await trio.sleep(STALL / 2)
        before = len(beats)
        block_the_loop(3 * STALL)
        assert len(beats) == before


async def test_the_manager_hears_thrice_as_often_as_it_wants() -> None:
    async with open_watchdog(5, manager_seconds=0.3) as watchdog:
        assert watchdog.beat_seconds == pytest.approx(0.1)


async def test_the_thread_ends_with_the_daemon() -> None:
    async with open_watchdog(STALL):
        assert "penstock-watchdog" in {t.name for t in threading.enumerate()}
    assert "penstock-watchdog" not in {t.name for t in threading.enumerate()}


class OversleptEvent(threading.Event):
    """Wakes far too late once, as after SIGSTOP or a frozen cgroup; then says that it is over."""

    waits = 0

    def wait(self, timeout: float | None = None) -> bool:
        self.waits += 1
        if self.waits == 1:
            time.sleep((timeout or 0) + 2 * STALL)
        return self.waits > 1


def test_a_process_that_stood_still_is_no_blocked_loop(
    caplog: pytest.LogCaptureFixture,
) -> None:
    watchdog = Watchdog(STALL, STALL / 4)
    watchdog._closed = OversleptEvent()
    watchdog._watch()
    assert "the whole process stood still" in caplog.text
    assert "blocked" not in caplog.text
