"""RS-05: what ages are counted from while the clock is wrong."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from penstock.runs.retention import (
    SETTLE_SECONDS,
    TOLERANCE_SECONDS,
    AgeClock,
    Moment,
    begin_ages,
)

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
DAY = 86400.0


def at(steady: float, ahead: float = 0.0) -> Moment:
    """So many seconds after noon, by a clock that is ahead by so many."""
    return Moment(NOON + timedelta(seconds=steady + ahead), steady)


def looked(ages: AgeClock, *moments: Moment) -> AgeClock:
    for moment in moments:
        ages = ages.look(moment)
    return ages


def test_ages_are_counted_from_now_while_the_clocks_agree() -> None:
    ages = looked(begin_ages(None, at(0)), at(60), at(120))
    assert ages.reference() == NOON + timedelta(seconds=120)


def test_nothing_has_an_age_while_the_clocks_disagree() -> None:
    """RS-05: 400 days ahead for some minutes, then right again."""
    ages = begin_ages(NOON, at(0))
    ages = looked(ages, at(60, 400 * DAY), at(120, 400 * DAY))
    assert ages.reference() is None
    assert looked(ages, at(180)).reference() == NOON + timedelta(seconds=180)


def test_a_clock_that_was_put_right_is_believed_after_a_while() -> None:
    """RS-05: and even then no age is counted from later than the newest fact and the time since."""
    ages = looked(begin_ages(NOON, at(0)), at(60, DAY))
    ages = looked(ages, at(60 + SETTLE_SECONDS / 2, DAY))
    assert ages.in_doubt
    ages = looked(ages, at(60 + SETTLE_SECONDS, DAY))
    assert ages.reference() == NOON + timedelta(seconds=60 + SETTLE_SECONDS)


def test_a_clock_that_jumps_about_is_not_believed() -> None:
    ages = begin_ages(NOON, at(0))
    for turn in range(100):
        ages = ages.look(at(60 + turn * 600, (turn % 2 + 1) * DAY))
        assert ages.in_doubt


def test_a_slewed_clock_is_believed() -> None:
    """RS-05: a second in a minute is far more than any clock is slewed by."""
    ages = begin_ages(NOON, at(0))
    for turn in range(1, 1000):
        ages = ages.look(at(60 * turn, turn))
        assert not ages.in_doubt
    assert TOLERANCE_SECONDS < 999


def test_a_start_with_a_clock_ahead_counts_from_the_newest_fact() -> None:
    """RS-05: nothing tells that the clock is wrong then, but the log."""
    ages = looked(begin_ages(NOON, at(0, 400 * DAY)), at(60, 400 * DAY))
    assert ages.reference() == NOON + timedelta(seconds=60)


def test_a_start_with_a_clock_behind_counts_from_that_clock() -> None:
    """RS-05: so less is forgotten, never more."""
    ages = looked(begin_ages(NOON, at(0, -400 * DAY)), at(60, -400 * DAY))
    assert ages.reference() == NOON + timedelta(seconds=60 - 400 * DAY)
