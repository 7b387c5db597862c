"""AG-06: what agents say when their quota is spent, and until when."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest

from penstock.kinds.agent.quota import LONGEST_SECONDS, UNKNOWN_SECONDS, read_quota

NOW = datetime(2026, 11, 29, 12, tzinfo=UTC)
LIMIT = "You've hit your usage limit. "


def seconds(message: str, data: Any = None, now: datetime = NOW) -> float | None:
    spent = read_quota(message, data, now)
    return None if spent is None else (spent.until - now).total_seconds()


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        ("Try again in 4 seconds.", 4),
        ("Try again in 2 hours 30 minutes.", 9000),
        ("Please retry after 1.5s", 1.5),
        ("Try again in 350 ms", 0.35),
        ("Try again in 3 days", 3 * 86400),
        ("Try again at 6:21 PM.", 6 * 3600 + 21 * 60),
        ("resets 3pm", 3 * 3600),
        ("resets at 11:59 AM", 24 * 3600 - 60),
        ("Resets at 12am", 12 * 3600),
        ("resets 14:05", 2 * 3600 + 300),
        ("resets at 2026-11-29T13:00:00Z", 3600),
        ("reset: 1795957200", 3600),
        ("Try again at 99:99", UNKNOWN_SECONDS),
        ("Try again later.", UNKNOWN_SECONDS),
        ("Try again in 999999999 hours", LONGEST_SECONDS),
        ("resets at 2020-01-01T00:00:00Z", 0),
    ],
)
def test_times_in_words(message: str, expected: float) -> None:
    assert seconds(LIMIT + message) == pytest.approx(expected)
    spent = read_quota(LIMIT + message, None, NOW)
    assert spent is not None
    assert spent.guessed


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        ({"errorKind": "rate_limit", "resetsAt": 1795957200}, 3600),
        ({"errorKind": "rate_limit", "resets_at": 1795957200000}, 3600),
        ({"errorKind": "rate_limit", "reset_time": "2026-11-29T13:00:00+00:00"}, 3600),
        ({"code": 429, "retry_after": 30}, 30),
        ({"code": 429, "headers": {"Retry-After": "30"}}, 30),
        ({"code": 429, "retryAfterMs": 1500}, 1.5),
        ({"status": "RESOURCE_EXHAUSTED", "details": [{"retryDelay": "34s"}]}, 34),
        ({"codexErrorInfo": "usageLimitExceeded", "retry_after": 10**18}, UNKNOWN_SECONDS),
        ({"codexErrorInfo": "usageLimitExceeded", "retry_after": -1}, UNKNOWN_SECONDS),
        ({"codexErrorInfo": "usageLimitExceeded", "resetsAt": True}, UNKNOWN_SECONDS),
    ],
)  # fmt: skip
def test_times_in_data_go_first(data: Any, expected: float) -> None:
    assert seconds("Internal error", data) == pytest.approx(expected)
    told = read_quota("Internal error, try again in 9 hours", data, NOW)
    assert told is not None
    assert told.guessed == (expected == UNKNOWN_SECONDS)


def test_a_time_of_day_is_of_the_zone_that_is_asked_in() -> None:
    now = NOW.astimezone(timezone(timedelta(hours=-5)))
    assert seconds(LIMIT + "Try again at 8:00 AM", now=now) == 3600


def test_a_unix_time_behind_a_bar_is_read() -> None:
    assert seconds("Claude AI usage limit reached|1795957200") == 3600


@pytest.mark.parametrize(
    ("message", "data"),
    [
        ("Internal error", None),
        ("Disk quota exceeded", None),
        ("the context limit was reached", None),
        ("Invalid session identifier", {"details": "try again"}),
        ("Method not found", {"method": "session/resume"}),
        ("", {"x": []}),
    ],
)
def test_what_is_about_something_else_is_no_quota(message: str, data: Any) -> None:
    assert seconds(message, data) is None


def test_what_it_said_is_kept_in_its_words() -> None:
    spent = read_quota("Internal error", {"message": LIMIT, "x": "rate_limit"}, NOW)
    assert spent is not None
    assert spent.said == LIMIT
