"""Spans and moments as people type them."""

from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest

from penstock.words.durations import (
    local_zone,
    local_zone_name,
    parse_moment,
    parse_span,
)

VIENNA = ZoneInfo("Europe/Vienna")


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90", 90), ("90s", 90), ("5m", 300), ("3h", 10_800), ("1h30m", 5400), ("1d", 86_400), ("2w", 1_209_600), ("0.5h", 1800), (" 5M ", 300)],
)  # fmt: skip
def test_a_span_has_units(text: str, seconds: float) -> None:
    """DU-04"""
    assert parse_span(text) == seconds


@pytest.mark.parametrize(
    "text", ["", "h", "5x", "-5", "5 m", "nan", "inf", "1e999", "m5"]
)
def test_what_is_no_span_is_refused(text: str) -> None:
    """DU-04"""
    with pytest.raises(ValueError, match="no duration"):
        parse_span(text)


@pytest.mark.parametrize(
    ("text", "now", "expected"),
    [
        ("22:00", (2026, 7, 1, 21), "2026-07-01T20:00:00+00:00"),
        ("22:00", (2026, 7, 1, 22), "2026-07-02T20:00:00+00:00"),
        ("7:05:30", (2026, 7, 1, 22), "2026-07-02T05:05:30+00:00"),
        ("2026-12-24 18:00", (2026, 7, 1), "2026-12-24T17:00:00+00:00"),
        ("2026-12-24T18:00Z", (2026, 7, 1), "2026-12-24T18:00:00+00:00"),
        # The night in which the clock goes forward: eight o'clock is eight o'clock.
        ("08:00", (2026, 3, 28, 22), "2026-03-29T06:00:00+00:00"),
        # The hour that comes twice: the first time it comes.
        ("02:30", (2026, 10, 24, 22), "2026-10-25T00:30:00+00:00"),
    ],
)
def test_a_time_is_the_next_one_by_the_clock_of_its_place(
    text: str, now: tuple[int, ...], expected: str
) -> None:
    """DU-04: whatever the clock does meanwhile."""
    here = datetime(*now).replace(tzinfo=VIENNA)  # type: ignore[arg-type]
    moment = parse_moment(text, here)
    assert moment.astimezone(UTC).isoformat() == expected


def test_between_the_two_the_second_one_is_next() -> None:
    """DU-04: at 2:45 of the first time, 2:30 comes once more."""
    now = datetime(2026, 10, 25, 2, 45, tzinfo=VIENNA)
    moment = parse_moment("02:30", now).astimezone(UTC)
    assert moment == datetime(2026, 10, 25, 1, 30, tzinfo=UTC)


@pytest.mark.parametrize(
    "text", ["25:00", "12:60", "noon", "", "2026-13-01 10:00", "12"]
)
def test_what_is_no_time_is_refused(text: str) -> None:
    """DU-04"""
    with pytest.raises(ValueError, match="no time"):
        parse_moment(text, datetime(2026, 7, 1, tzinfo=VIENNA))


def test_a_time_that_a_clock_leaves_out_is_refused() -> None:
    """DU-04: nobody can say what was meant."""
    with pytest.raises(ValueError, match="put forward"):
        parse_moment("2026-03-29 02:30", datetime(2026, 3, 1, tzinfo=VIENNA))


def test_the_zone_of_the_box_is_one_of_rules(monkeypatch: pytest.MonkeyPatch) -> None:
    """DU-04: and no fixed distance from UTC, which the next change makes wrong."""
    monkeypatch.setenv("TZ", "Europe/Vienna")
    assert local_zone_name() == "Europe/Vienna"
    here = local_zone(datetime(2026, 7, 1, tzinfo=UTC))
    assert parse_moment("2026-12-24 18:00", here).astimezone(UTC).hour == 17
