"""When a schedule is due: every so often, or as a line of cron says. Values in, values out.

A span is so long by every clock. A line of cron is of the clock of its zone, and follows that of Debian
where the clock changes: what falls into the hour that is left out comes right after it, what falls into
the one that comes twice comes once; a line with `*` or a step for its hour goes on by the minutes that
really pass.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from penstock.words.api import LONGEST_DELAY
from penstock.words.durations import parse_span
from penstock.words.errors import Refused

#: Seconds between two due times at least: what is wanted more often is a loop in a program.
SHORTEST_SPAN = 10.0
#: Minute, hour, day of the month, month, day of the week. The library takes one for seconds too.
FIELDS = 5


def check_timing(timing: str, zone: str) -> None:
    """Refused, by the name of the field, for what is no timing or no zone."""
    _zone_of(zone)
    next_due(timing, zone, made_at=datetime.now(UTC), after=datetime.now(UTC))


def next_due(timing: str, zone: str, *, made_at: datetime, after: datetime) -> datetime:
    """The first due time after a moment, in UTC. Refused for what is no timing, or no zone here."""
    if len(timing.split()) == 1:
        return _next_of_span(_span_of(timing), made_at, after)
    if len(timing.split()) != FIELDS:
        raise Refused(
            "timing", f"{timing[:80]!r} is no line of cron, which has {FIELDS} fields"
        )
    # Late: a daemon without such schedules does without.
    from cronsim import CronSim, CronSimError

    try:
        # Lists of cron have whole minutes: the moment itself is not after it.
        found = next(CronSim(timing, after.astimezone(_zone_of(zone))))
    except CronSimError as error:
        raise Refused(
            "timing", f"{timing[:80]!r} is no line of cron: {error}"
        ) from None
    except StopIteration:
        raise Refused("timing", f"{timing[:80]!r} is never") from None
    return found.astimezone(UTC)


def _zone_of(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise Refused("zone", f"there is no time zone {name[:80]!r} here") from None


def _span_of(timing: str) -> float:
    try:
        seconds = parse_span(timing)
    except ValueError as error:
        why = f"{error}, and no line of cron, as '30 2 * * *' is"
        raise Refused("timing", why) from None
    if not SHORTEST_SPAN <= seconds <= LONGEST_DELAY:
        raise Refused(
            "timing",
            f"must be {SHORTEST_SPAN:.0f} s or longer, and less than ten years",
        )
    return seconds


def _next_of_span(seconds: float, made_at: datetime, after: datetime) -> datetime:
    span = timedelta(seconds=seconds)
    # Where the clock was set back there are due times before the beginning too.
    return made_at + (max((after - made_at) // span, 0) + 1) * span
