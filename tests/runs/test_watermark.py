"""BP: from how full a buffer is to what people are told."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.runs.watermark import MARKS, Edge, Gauge, Level, sample
from penstock.words.events import BackpressureCleared, BackpressureRaised


def play(
    *readings: tuple[float, int], gauge: Gauge | None = None
) -> list[tuple[float, str]]:
    """The edges of a gauge of capacity 100 that is sampled at (time, used)."""
    gauge = gauge or Gauge("queue")
    told = []
    for now, used in readings:
        gauge, edge = sample(gauge, Level(used, 100), now=now)
        if edge is not None:
            told.append((now, word(edge)))
    return told


def word(edge: Edge) -> str:
    return edge.level if isinstance(edge, BackpressureRaised) else "cleared"


@pytest.mark.parametrize(
    ("used", "told"),
    [
        (0, None), (74, None), (75, None), (79, None), (80, "warning"), (90, "warning"),
        (99, "warning"), (100, "critical"), (130, "critical"),
    ],
)  # fmt: skip
def test_an_untold_gauge_is_raised_from_eighty_percent_on(
    used: int, told: str | None
) -> None:
    """BP-01"""
    assert play((0, used)) == ([(0, told)] if told else [])


def test_the_events_carry_gauge_level_and_numbers() -> None:
    """BP-01"""
    gauge, raised = sample(Gauge("queue"), Level(90, 100), now=0)
    assert raised == BackpressureRaised(
        gauge="queue", level="warning", used=90, capacity=100
    )
    _, cleared = sample(gauge, Level(3, 100), now=2)
    assert cleared == BackpressureCleared(gauge="queue", used=3, capacity=100)


def test_swinging_around_the_mark_is_told_once() -> None:
    """BP-02"""
    swings = [(float(t), 79 + 2 * (t % 2)) for t in range(100)]
    assert play(*swings) == [(1.0, "warning")]


@pytest.mark.parametrize(("used", "told"), [(79, []), (75, []), (74, [(5, "cleared")])])
def test_a_raised_gauge_clears_only_below_seventy_five_percent(
    used: int, told: list[tuple[float, str]]
) -> None:
    """BP-02"""
    assert play((0, 85), (5, used))[1:] == told


def test_a_gauge_that_fills_up_is_told_again_as_critical_and_stays_so() -> None:
    """BP-01, BP-02"""
    story = [(0, 85), (2, 100), (4, 99), (6, 100), (8, 80), (10, 74)]
    assert play(*story) == [(0, "warning"), (2, "critical"), (10, "cleared")]


def test_a_rapid_drain_is_told_within_a_second_and_no_sooner_than_allowed() -> None:
    """BP-02: the gauge says itself when it must be sampled again."""
    gauge, _ = sample(Gauge("queue"), Level(100, 100), now=10.0)
    gauge, edge = sample(gauge, Level(0, 100), now=10.2)
    assert edge is None
    assert gauge.due_at == 11.0
    gauge, edge = sample(gauge, Level(0, 100), now=11.0)
    assert isinstance(edge, BackpressureCleared)
    assert gauge.due_at is None


def test_a_change_that_goes_away_before_it_may_be_told_is_not_told() -> None:
    """BP-02"""
    assert play((0, 85), (0.1, 10), (0.2, 85), (5, 85)) == [(0, "warning")]


@given(
    st.lists(
        st.tuples(st.floats(0, 3, allow_nan=False), st.integers(0, 120)), max_size=60
    )
)
def test_a_gauge_never_tells_twice_in_a_second_nor_the_same_twice(
    steps: list[tuple[float, int]],
) -> None:
    """BP-02: whatever the load does."""
    now = 0.0
    readings = []
    for wait, used in steps:
        now += wait
        readings.append((now, used))
    told = play(*readings)
    for (earlier, said), (later, says) in itertools.pairwise(told):
        assert later >= earlier + MARKS.seconds
        assert said != says
    assert not told or told[0][1] != "cleared"


@given(st.integers(0, 120))
def test_left_alone_a_gauge_tells_the_truth_in_the_end(used: int) -> None:
    """BP-02"""
    gauge = Gauge("queue")
    for start in (0, 90, 100):
        gauge, _ = sample(gauge, Level(start, 100), now=float(start))
    gauge, _ = sample(gauge, Level(used, 100), now=200)
    assert (gauge.level is None) == (used < 75)


@pytest.mark.parametrize("reading", [None, Level(0, 0)])
def test_no_reading_changes_nothing(reading: Level | None) -> None:
    """BP-03: and the next sample works."""
    gauge = Gauge("queue")
    assert sample(gauge, reading, now=0) == (gauge, None)
    assert play((1, 90), gauge=gauge) == [(1, "warning")]


def test_two_gauges_never_mix() -> None:
    """BP-03"""
    one, other = Gauge("one"), Gauge("other")
    one, raised = sample(one, Level(9, 10), now=0)
    other, silent = sample(other, Level(1, 10), now=0)
    assert raised is not None
    assert silent is None
    other, raised = sample(other, Level(9, 10), now=0.1)
    assert isinstance(raised, BackpressureRaised)
    assert raised.gauge == "other"
