"""Whether an agent was refused because its quota is spent, and until when.

What agents tell as data goes before what they say in words; times in words are guesses.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

#: Seconds until another try where nobody says when.
UNKNOWN_SECONDS = 300.0
#: Nothing is waited for longer than this, whatever is told: it may be a mistake, or milliseconds.
LONGEST_SECONDS = 8 * 24 * 3600.0
#: Characters that are looked at.
_LOOKED_AT = 8 * 1024

#: What agents call it, in data or in words.
_SPENT = re.compile(
    r"rate.?limit|usage.?limit|hour limit|weekly limit|session limit|(?<!disk )quota.{0,40}(?:exceeded|exhausted|reached|spent)|exceeded.{0,40}quota"
    r"|too many requests|resource.?exhausted|\b429\b|insufficient.?quota|hit your limit",
    re.IGNORECASE | re.DOTALL,
)
#: Moments, as seconds or milliseconds since 1970, and spans in seconds, by their names in data.
_MOMENT_KEYS = {"resetsat", "resetat", "resettime", "resets", "reset", "ratelimitreset"}
_SPAN_KEYS = {
    "retryafter",
    "retryafterseconds",
    "retrydelay",
    "resetsinseconds",
    "retryin",
}
_MILLISECOND_KEYS = {"retryafterms", "retrydelayms"}

_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_SPAN = re.compile(
    r"(?:retry|again|resets?|wait)[^0-9.]{0,20}((?:\d+(?:\.\d+)?\s*(?:ms|seconds?|secs?|s|minutes?|mins?|m|hours?|hrs?|h|days?|d)\b[\s,and]*)+)",
    re.IGNORECASE,
)
_SPAN_PART = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|[smhd])", re.IGNORECASE)
_ISO = re.compile(
    r"\b\d{4}-\d\d-\d\d[T ]\d\d:\d\d(?::\d\d(?:\.\d+)?)?(?:Z|[+-]\d\d:?\d\d)?"
)
_UNIX = re.compile(r"\b(?:resets?|limit reached)[^0-9]{0,12}(\d{10})\b|\|(\d{10})\b")
_CLOCK = re.compile(
    r"(?:again|resets?|available|until)(?:\s+(?:at|by|on))?\s+(\d{1,2})(?::(\d\d))?\s*([ap]\.?m\b\.?)?",
    re.IGNORECASE,
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class QuotaSpent:
    """When to ask again, whether that is a guess, and what the agent said."""

    until: datetime
    guessed: bool
    said: str


def read_quota(message: str, data: Any, now: datetime) -> QuotaSpent | None:
    """What an agent's error says of a quota; None if it is about something else. `now` has a zone."""
    text = f"{message} {_dumped(data)}"[:_LOOKED_AT]
    if not _SPENT.search(text):
        return None
    told = _said(data)
    said = (told or message)[:500]
    if (moment := _in_data(data, now)) is not None:
        return QuotaSpent(_bounded(moment, now), False, said)
    moment = _in_words(text, now)
    guess = moment or now + timedelta(seconds=UNKNOWN_SECONDS)
    return QuotaSpent(_bounded(guess, now), True, said)


def _said(data: Any) -> str:
    """What data says in words, where it does."""
    told = data.get("message") if isinstance(data, dict) else None
    return told if isinstance(told, str) else ""


def _dumped(data: Any) -> str:
    return "" if data is None else json.dumps(data, ensure_ascii=False)


def _bounded(moment: datetime, now: datetime) -> datetime:
    latest = now + timedelta(seconds=LONGEST_SECONDS)
    return max(now, min(moment, latest)).astimezone(UTC)


def _in_data(data: Any, now: datetime) -> datetime | None:
    for key, value in _pairs(data, 0):
        name = re.sub(r"[^a-z]", "", key.lower())
        if name in _MOMENT_KEYS and (at := _moment(value)) is not None:
            return at
        span = _number(value, "s" if isinstance(value, str) else "")
        if span is not None and (name in _SPAN_KEYS or name in _MILLISECOND_KEYS):
            scale = 0.001 if name in _MILLISECOND_KEYS else 1.0
            return now + timedelta(seconds=min(span * scale, LONGEST_SECONDS))
    return None


def _pairs(value: Any, depth: int) -> Iterator[tuple[str, Any]]:
    """Every key with its value, a few levels deep."""
    inner: list[Any] = []
    if isinstance(value, Mapping):
        yield from value.items()
        inner = list(value.values())
    elif isinstance(value, list):
        inner = value
    if depth < 4:
        for item in inner:
            yield from _pairs(item, depth + 1)


def _moment(value: Any) -> datetime | None:
    if isinstance(value, str) and (match := _ISO.fullmatch(value.strip())):
        return _iso(match[0])
    number = _number(value, "")
    if number is None:
        return None
    seconds = number / 1000 if number > 10**11 else number
    if not 10**9 < seconds < 10**10:
        return None
    return datetime.fromtimestamp(seconds, UTC)


def _number(value: Any, unit: str) -> float | None:
    """A number that is not negative, also where it stands in a text (with this unit behind it)."""
    if isinstance(value, str):
        value = value.strip().removesuffix(unit) if unit else value.strip()
        if not re.fullmatch(r"\d{1,15}(?:\.\d{1,9})?", value):
            return None
        return float(value)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if 0 <= value < 10**15 else None


def _iso(text: str) -> datetime | None:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)


def _in_words(text: str, now: datetime) -> datetime | None:
    """A moment, a span, or a time of day; the zone of the last is that of `now`."""
    if match := _UNIX.search(text):
        return datetime.fromtimestamp(int(match[1] or match[2]), UTC)
    if (match := _ISO.search(text)) and (moment := _iso(match[0])) is not None:
        return moment
    if match := _SPAN.search(text):
        parts = _SPAN_PART.findall(match[1])
        seconds = sum(float(count[:15]) * _UNITS[unit.lower()] for count, unit in parts)
        return now + timedelta(seconds=min(seconds, LONGEST_SECONDS))
    if match := _CLOCK.search(text):
        return _next_time(match, now)
    return None


def _next_time(match: re.Match[str], now: datetime) -> datetime | None:
    hour, minute, half = int(match[1]), int(match[2] or 0), (match[3] or "").lower()
    if not (match[2] or half) or minute > 59 or hour > (12 if half else 23):
        return None
    if half:
        hour = hour % 12 + (12 if half.startswith("p") else 0)
    at = now.replace(hour=hour, minute=minute, second=0, microsecond=0)
    return at if at > now else at + timedelta(days=1)
