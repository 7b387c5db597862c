"""When schedules are due, whatever clocks do."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from penstock.runs.timing import check_timing, next_due
from penstock.words.errors import Refused

MADE = datetime(2026, 3, 1, 12, tzinfo=UTC)


def due_times(timing: str, zone: str, after: datetime, count: int) -> list[str]:
    """The next due times, in UTC."""
    found = []
    for _ in range(count):
        after = next_due(timing, zone, made_at=MADE, after=after)
        found.append(after.isoformat().removesuffix("+00:00"))
    return found


def test_a_span_is_counted_from_the_beginning() -> None:
    """DU-04: whenever somebody looks, and however late, so that nothing drifts."""
    for late in (0.0, 0.5, 89.9):
        after = MADE + timedelta(minutes=90 * 7, seconds=late)
        assert next_due("90m", "UTC", made_at=MADE, after=after) == MADE + timedelta(
            minutes=90 * 8
        )
    before = MADE - timedelta(days=3)
    assert next_due("1d", "UTC", made_at=MADE, after=before) == MADE + timedelta(days=1)


def test_a_day_is_so_long_by_every_clock() -> None:
    """DU-04: a span knows no summer time."""
    after = datetime(2026, 3, 28, 13, tzinfo=UTC)
    assert due_times("1d", "Europe/Vienna", after, 2) == [
        "2026-03-29T12:00:00",
        "2026-03-30T12:00:00",
    ]


@pytest.mark.parametrize(
    ("timing", "after", "expected"),
    [
        # The hour from two to three is left out: what falls into it comes right after it.
        ("30 2 * * *", (2026, 3, 28, 12), ["2026-03-29T01:00:00", "2026-03-30T00:30:00"]),
        # It comes twice: once is enough.
        ("30 2 * * *", (2026, 10, 24, 12), ["2026-10-25T00:30:00", "2026-10-26T01:30:00"]),
        # What goes by minutes goes on by them.
        ("*/30 * * * *", (2026, 10, 25, 0, 15), [
            "2026-10-25T00:30:00", "2026-10-25T01:00:00", "2026-10-25T01:30:00"]),
        ("0 8 * * mon", (2026, 3, 28, 12), ["2026-03-30T06:00:00", "2026-04-06T06:00:00"]),
    ],
)  # fmt: skip
def test_a_line_of_cron_is_of_the_clock_of_its_zone(
    timing: str, after: tuple[int, ...], expected: list[str]
) -> None:
    """DU-04: as Debian's cron has it where the clock changes."""
    start = datetime(*after).replace(tzinfo=UTC)  # type: ignore[arg-type]
    assert due_times(timing, "Europe/Vienna", start, len(expected)) == expected


def test_a_due_time_never_comes_twice() -> None:
    """DU-04: each is after the one before it, through both changes of a year."""
    for timing in ("30 2 * * *", "*/15 2,3 * * *", "0 * * * *", "17m"):
        moment = datetime(2026, 3, 27, tzinfo=UTC)
        for _ in range(400):
            following = next_due(timing, "Europe/Vienna", made_at=MADE, after=moment)
            assert following > moment
            moment = following


@pytest.mark.parametrize(
    ("timing", "zone", "field"),
    [
        ("", "UTC", "timing"), ("5", "UTC", "timing"), ("1s", "UTC", "timing"),
        ("soon", "UTC", "timing"), ("99999d", "UTC", "timing"),
        ("61 * * * *", "UTC", "timing"), ("* * * *", "UTC", "timing"),
        ("0 0 30 2 *", "UTC", "timing"), ("* * * * * *", "UTC", "timing"),
        ("1d", "Mars/Olympus", "zone"), ("1d", "", "zone"), ("1d", "/etc/passwd", "zone"),
        ("1d", "../../etc/passwd", "zone"), ("1d", "a\0b", "zone"),
    ],
)  # fmt: skip
def test_what_is_no_timing_is_refused(timing: str, zone: str, field: str) -> None:
    """DU-04: by the name of its field."""
    with pytest.raises(Refused) as refused:
        check_timing(timing, zone)
    assert refused.value.facts["field"] == field
