"""Spans and moments as people type them: `90s`, `1h30m`, `22:00`, `2026-12-24 18:00`."""

from __future__ import annotations

import os
import re
import sys
from datetime import UTC, datetime, timedelta

#: Letter -> seconds.
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 7 * 86_400}
_PART = re.compile(r"(\d+(?:\.\d+)?)([smhdw])")
_SPAN = re.compile(rf"(?:{_PART.pattern})+")
_TIME_OF_DAY = re.compile(r"(\d{1,2}):(\d{2})(?::(\d{2}))?")


def parse_span(text: str) -> float:
    """Seconds: a number of them, or parts with s, m, h, d or w. ValueError."""
    text = text.strip().lower()
    try:
        seconds = float(text)
    except ValueError:
        if _SPAN.fullmatch(text) is None:
            raise ValueError(
                f"{text!r} is no duration, as 90s, 5m or 1h30m are"
            ) from None
        seconds = sum(float(n) * _UNITS[unit] for n, unit in _PART.findall(text))
    if not 0 <= seconds <= sys.float_info.max:
        raise ValueError(f"{text!r} is no duration, as 90s, 5m or 1h30m are")
    return seconds


def span_in_words(seconds: float) -> str:
    """As it would be typed: `90s`, `5m`, `1h30m`; what is no whole number of seconds is one of them."""
    if seconds != int(seconds) or seconds < 1:
        return f"{seconds:g}s"
    left, said = int(seconds), ""
    for letter in ("d", "h", "m", "s"):
        count, left = divmod(left, _UNITS[letter])
        said += f"{count}{letter}" if count else ""
    return said


def parse_moment(text: str, now: datetime) -> datetime:
    """The next time it is so late here, or a day and a time. ValueError says what is wrong.

    `now` is aware and in the zone whose clock is meant, unless the text names another. A time that a
    change of the clock leaves out is none; of one that comes twice the first is meant.
    """
    text = text.strip()
    if (found := _TIME_OF_DAY.fullmatch(text)) is not None:
        hour, minute, second = (int(part or 0) for part in found.groups())
        try:
            moment = now.replace(
                hour=hour, minute=minute, second=second, microsecond=0, fold=0
            )
        except ValueError:
            raise ValueError(f"{text!r} is no time of day") from None
        # Where the clock is put back, the hour comes twice, and the first may be over.
        tries = (moment, moment.replace(fold=1), moment + timedelta(days=1))
        late = now.timestamp()
        return _there(next(m for m in tries if m.timestamp() > late))
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise ValueError(
            f"{text!r} is no time, as 22:00 or 2026-12-24 18:00 are"
        ) from None
    return _there(moment if moment.tzinfo else moment.replace(tzinfo=now.tzinfo))


def _there(moment: datetime) -> datetime:
    """ValueError for a time that no clock shows on that day."""
    back = moment.astimezone(UTC).astimezone(moment.tzinfo)
    if back.replace(tzinfo=None) != moment.replace(tzinfo=None):
        said = moment.strftime("%H:%M on %Y-%m-%d")
        raise ValueError(f"there is no {said}: the clock is put forward then")
    return moment


def local_zone(now: datetime) -> datetime:
    """The same moment by the clock of this box, with the rules by which it changes.

    A moment alone knows no more than how far its zone is from UTC then.
    """
    # Late: few commands ask for it.
    from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

    name = local_zone_name()
    try:
        return now.astimezone(ZoneInfo(name))
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return now.astimezone()


def local_zone_name() -> str:
    """The zone of this box by its name in the database of zones; "UTC" where it is told nowhere."""
    name = os.environ.get("TZ", "").removeprefix(":")
    if not name:
        # What Debian, Arch, Fedora and macOS have.
        place = os.path.realpath("/etc/localtime")
        name = place.partition("/zoneinfo/")[2]
    return name or "UTC"
