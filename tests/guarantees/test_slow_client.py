"""What the slow-client drill is made of: it keeps its rate, and it can fail."""

from __future__ import annotations

import os
import subprocess
import sys
from itertools import pairwise
from types import SimpleNamespace
from typing import Any, cast

import pytest
import trio
import trio.testing

from penstock.words.exit_codes import Exit
from penstock_drills.listeners import Crowd, Listener, judge
from penstock_drills.measured import Measured, Slice
from penstock_drills.raw_clients import Ear, Ears, split_frame
from penstock_drills.slow_client import Size, SlowClientDrill, least_seconds
from penstock_drills.steady_kind import Publish, publish

pytestmark = pytest.mark.alone


def _frame(*positions: int, text: str = "") -> bytes:
    fact = '{"position":%d,"run_id":"r","sequence":1,"text":"%s"}'
    events = ",".join(fact % (position, text) for position in positions)
    payload = b'{"type":"events","events":[%b]}' % events.encode()
    size = len(payload)
    if size < 126:
        return bytes([0x81, size]) + payload
    if size < 2**16:
        return bytes([0x81, 126]) + size.to_bytes(2, "big") + payload
    return bytes([0x81, 127]) + size.to_bytes(8, "big") + payload


@pytest.mark.parametrize("text", ["", "x" * 200, "x" * 70_000])
def test_a_frame_of_any_length_is_found_wherever_it_is_cut(text: str) -> None:
    """BUS-03"""
    frame = _frame(1, text=text)
    assert split_frame(b"ab" + frame + b"c", 2) is not None
    assert split_frame(frame[:-1], 0) is None
    reader, ear = Ears(), Ear()
    cuts = [0, 1, 2, 3, 5, 9, 11, len(frame) - 1, len(frame)]
    for begin, end in pairwise(cuts):
        assert ear.cursor == 0
        reader.take(ear, frame[begin:end])
    assert (ear.cursor, ear.facts, ear.rest, ear.broken) == (1, 1, b"", [])


def test_many_clients_are_told_the_same_and_each_is_counted() -> None:
    """BUS-03: the second one's frames are compared and not taken apart."""
    reader, ears = Ears(), [Ear(), Ear(), Ear()]
    stream = _frame(1, 2, 3) + _frame(4) + _frame(5, 6)
    for ear in ears:
        reader.take(ear, stream)
        assert (ear.cursor, ear.facts, ear.broken) == (6, 6, [])


def test_a_client_that_misses_a_fact_says_so() -> None:
    """BUS-03: the drill can fail, for one that reads first and for one that compares."""
    reader, first, second, third = Ears(), Ear(), Ear(), Ear()
    reader.take(first, _frame(1, 2) + _frame(3, 4))
    reader.take(second, _frame(1, 2) + _frame(4))
    assert second.broken == ["after 2 came 4…4"]
    # A known frame at another place is not the same.
    reader.take(third, _frame(3, 4))
    assert third.broken == ["after 0 came 3…4"]
    assert first.broken == []
    reader.take(first, _frame(5, 7))
    assert first.broken == ["after 4 came 5…7"]


def test_a_client_that_reads_and_is_told_a_gap_says_so() -> None:
    """BUS-03"""
    reader, ear = Ears(), Ear()
    payload = b'{"type":"gap","first":1,"last":9,"dropped":9}'
    reader.take(ear, bytes([0x81, len(payload)]) + payload)
    assert "a gap was told" in ear.broken[0]
    reader.take(ear, b"\x88\x02\x03\xf5")
    assert "came a frame 88" in ear.broken[1]


class SlowRun:
    """Takes a second to record a fact."""

    async def emit(self, _event: Any) -> None:
        await trio.sleep(1)


async def test_the_publisher_does_not_wait_for_what_it_has_published(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """QA-05: the loop is open, and a latency counts from the moment at which the fact was due."""
    inputs = Publish(rate=30, moments=10, seconds=2, text_bytes=1)
    told = await publish(cast("Any", SlowRun()), inputs)
    assert len(told.latencies) == 60
    assert {round(latency) for latency in told.latencies} == {1000}
    assert told.seconds == pytest.approx(2.9)


async def test_the_rate_need_not_be_a_multiple_of_the_moments(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """QA-05"""
    inputs = Publish(rate=7, moments=3, seconds=2, text_bytes=1)
    told = await publish(cast("Any", SlowRun()), inputs)
    assert len(told.latencies) == 14


def _measured(*pairs: tuple[float, float], growth: float = 0.0) -> Measured:
    return Measured(
        rate=10.0,
        without=[Slice([before] * 10, 1.0) for before, _ in pairs],
        beside=[Slice([after] * 10, 1.0, growth=growth) for _, after in pairs],
    )


def test_one_pair_that_others_disturbed_is_no_broken_law() -> None:
    """BUS-03"""
    measured = _measured((5, 5), (5, 40), (30, 6))
    measured.judge()
    assert (measured.ratio, measured.broken, list(measured.notes)) == (1.0, [], [])


def test_a_publisher_that_waits_for_stalled_clients_breaks_the_law() -> None:
    """BUS-03"""
    measured = _measured((5, 11), (5, 40), (30, 6))
    measured.judge()
    assert measured.broken == [
        "the publisher became 2.2 times as slow (pairs from 0.2 to 8.0)"
    ]
    assert measured.patience > 1


class HangingClient:
    """The client of a daemon whose publisher never ends."""

    async def submit(self, _body: dict[str, Any]) -> None:
        await trio.lowlevel.checkpoint()

    async def run(self, _run_id: str) -> dict[str, Any]:
        await trio.lowlevel.checkpoint()
        return {"ended_at": None}


async def test_a_box_that_is_too_slow_is_told_and_no_fault_of_the_drill(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """QA-05: without a pair there is nothing to divide by, and nothing to judge."""
    size = Size(2, 1, 10.0, 128, 2.0, None, 10.0)
    crowd = Crowd(cast("Any", SimpleNamespace(pid=os.getpid())))
    client = cast("Any", HangingClient())
    measured = await SlowClientDrill(size, client, crowd, os.getpid()).measure()
    assert "had not ended 30 s later" in measured.broken[0]
    assert (measured.figures(), list(measured.notes)) == ({}, [])


def test_what_grows_beside_stalled_clients_is_added_up() -> None:
    """BUS-03 QA-05"""
    measured = _measured((5, 5), (5, 5), growth=33.0)
    measured.judge()
    assert measured.broken == ["the daemon grew by 66 MiB"]


def test_a_rate_that_was_not_reached_is_told() -> None:
    """QA-05"""
    measured = _measured((5, 5))
    measured.rate = 20.0
    assert "10 of 20" in next(measured.notes)


@pytest.mark.parametrize(
    ("listener", "wrong"),
    [
        (Listener(9), []),
        (Listener(8), ["told up to 8 of 9"]),
        (Listener(9, gaps=[(2, 3)]), ["gaps [(2, 3)]"]),
        (Listener(9, closed=1013), ["closed with 1013"]),
        (Listener(9, "drop_oldest", gaps=[(2, 3)]), []),
        (Listener(9, "drop_oldest"), ["gaps []"]),
        (Listener(5, "drop_oldest", gaps=[(2, 3)]), ["told up to 5 of 9"]),
        (Listener(5, "disconnect", closed=1013), []),
        (Listener(9, "disconnect"), ["closed with None"]),
        (Listener(9, broken=["after 2 came 4"]), ["after 2 came 4"]),
    ],
)
def test_each_policy_has_its_law(listener: Listener, wrong: list[str]) -> None:
    """BUS-03 BUS-04"""
    assert judge(listener, 9, 9) == wrong
    lost = ["missed up to 9, and the store tells 8"]
    assert judge(listener, 9, 8) == wrong + lost


@pytest.mark.parametrize(("rate", "text_bytes"), [(2000, 128), (80, 2048), (1, 1)])
def test_a_slice_is_long_enough_to_fall_behind(rate: float, text_bytes: int) -> None:
    """BUS-03: more facts than the kernel and the ring hold together."""
    facts = least_seconds(rate, text_bytes) * rate
    assert facts * (text_bytes + 300) > 212_992
    assert facts > max(64, rate / 2)


def test_a_slice_in_which_nobody_could_fall_behind_is_refused() -> None:
    """BUS-03: it would call a policy broken that was never asked for."""
    words = ["drill", "slow-client", "--rate", "80", "--seconds", "2"]
    done = subprocess.run(
        [sys.executable, "-m", "penstock.cli.main", *words],
        capture_output=True, timeout=60, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == Exit.USAGE
    assert "nobody falls behind" in done.stderr
