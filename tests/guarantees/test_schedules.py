"""Numbered schedules: they hold, and a number replays to the same log."""

from __future__ import annotations

import os
import secrets
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
import trio
import trio.testing

from fakes.few_numbers import some_fast
from penstock.testing.virtual_time import START, deterministic
from penstock.words.events import RunFailed
from penstock.words.recorded import Recorded
from penstock.words.values import new_event_id
from penstock_drills.blank_logs import BlankLogs, open_blank_logs
from penstock_drills.laws import check_errors
from penstock_drills.schedules import run_schedule
from penstock_drills.simulator import Stage, open_stage


@pytest.fixture(autouse=True)
def no_log_lines(caplog: pytest.LogCaptureFixture) -> None:
    """The failures of these stories are meant."""
    caplog.set_level("CRITICAL")


@pytest.fixture(scope="module")
def logs() -> Iterator[BlankLogs]:
    """Empty logs: making one for each story costs more than to tell it."""
    with open_blank_logs() as logs:
        yield logs


@pytest.mark.parametrize("number", some_fast(range(1, 41), 10))
def test_every_law_holds_under_this_schedule(number: int, logs: BlankLogs) -> None:
    """QA-02 DT-04 BUS-06"""
    assert run_schedule(number, logs=logs).broken == (), (
        f"penstock drill schedules --seed {number}"
    )


def test_every_law_holds_under_a_schedule_of_chance() -> None:
    """QA-02"""
    number = secrets.randbelow(10**9)
    print(f"schedule {number}")
    assert run_schedule(number).broken == (), (
        f"penstock drill schedules --seed {number}"
    )


async def test_a_cancel_of_a_released_run_waits_for_the_one_claimed_anew(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """CN-01: seed 2703 found a receipt that spoke of the execution before a preemption."""
    with open_stage(delay=lambda: 0.1, max_concurrent=1) as stage:

        async def play(stage: Stage) -> None:
            await stage.submit(["exec", 9], run_id="a")
            await trio.sleep(1)
            stage.choose_execution(0).preempt("a drill")
            # Its release is being committed, and the claim after it is in the same batch.
            await trio.sleep(0.05)
            receipt = await stage.core.control.cancel("a", "enough", wait=True)
            assert receipt.gone_at is not None
            assert receipt.gone_at >= receipt.requested_at
            assert not stage.processes.alive
            await stage.core.shutdown(cancel_queued=True)

        assert await stage.live(play)
        assert stage.broken == []


@pytest.mark.parametrize("outage", [True, False])
def test_an_artifact_is_given_up_in_an_outage_alone(outage: bool) -> None:
    """QA-02: seed 500110 has an outage that outlasts the patience of an artifact's last piece."""
    failed = RunFailed(
        reason="error", error="a piece of 'a' could not be recorded, so it is not whole"
    )
    fact = Recorded(
        1, "r", 3, new_event_id(), START, {}, None, 0, failed.type,
        failed.model_dump_json().encode(),
    )  # fmt: skip
    with open_stage() as stage:
        stage.outage = outage
        check_errors(stage, [fact])
        assert bool(stage.broken) != outage
    assert run_schedule(500110).broken == ()


@pytest.mark.parametrize("numbers", some_fast([2, 3], 1))
def test_a_number_replays_to_the_same_log(numbers: int) -> None:
    """DT-05 QA-07"""
    first = [run_schedule(number) for number in range(numbers)]
    assert [run_schedule(number) for number in range(numbers)] == first
    assert len({told.digest for told in first}) == numbers


@pytest.mark.processes
def test_a_number_replays_in_another_process() -> None:
    """DT-05: nothing hangs on the hashes of this process."""
    code = (
        "import logging; logging.disable(50)\n"
        "from penstock_drills.schedules import run_schedule\n"
        "print(run_schedule(3).digest)"
    )
    digests = {run_schedule(3).digest}
    for seed in ("1", "2"):
        environ = {**os.environ, "PYTHONHASHSEED": seed}
        done = subprocess.run(
            [sys.executable, "-c", code],
            env=environ,
            capture_output=True,
            timeout=60,
            check=True,
        )
        digests.add(done.stdout.decode().strip())
    assert len(digests) == 1


def test_trio_still_has_the_two_private_names() -> None:
    """DT-05: the contract with Trio; without them schedules would differ silently."""
    run: Any = trio._core._run
    assert run._ALLOW_DETERMINISTIC_SCHEDULING in {True, False}
    orders = []
    for number in (1, 1, 2, 3, 4):
        order: list[int] = []

        async def note(place: int, order: list[int] = order) -> None:
            for _ in range(5):
                await trio.lowlevel.checkpoint()
                order.append(place)

        async def race(note: Any = note) -> None:
            async with trio.open_nursery() as nursery:
                for place in range(4):
                    nursery.start_soon(note, place)

        with deterministic(number):
            trio.run(race)
        orders.append(tuple(order))
    assert orders[0] == orders[1]
    assert len(set(orders)) > 2
