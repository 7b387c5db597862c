"""What a run that gave its slot back waits for, as a value and in words."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

#: What the names of the daemon's own questions begin with; a run's questions never do.
OWN_ASKS = "daemon:"
#: The durable question put to a person about a run that a restart interrupted.
RESTART_ASK = f"{OWN_ASKS}restart"
#: Its name in logs of old. A run's own question may be named so today.
OLD_RESTART_ASK = "restart"

#: An answer to a question of its own; the end of a child; a model server that is away; a quota that is used up; a
#: person's word whether it is to be repeated, since a restart interrupted it; something that only words tell.
WaitingKind = Literal["ask", "child", "model", "quota", "restart", "other"]

_WORDS: dict[WaitingKind, str] = {
    "ask": "asks: ",
    "child": "child: ",
    "model": "model: ",
    "quota": "quota of ",
    "restart": "",
    "other": "",
}


@dataclass(frozen=True, slots=True)
class Waiting:
    """`subject` is the name of the question or of the child; of a restart, of the daemon's question; of a
    model, what is wrong with its server; of a quota, its name."""

    kind: WaitingKind
    subject: str
    #: When the wait is thought to be over, where that is known.
    until: datetime | None = None

    @property
    def reason(self) -> str:
        """The same in words, as a run's `reason` has always said it."""
        until = "" if self.until is None else f" until {_time_of_day(self.until)}"
        return f"{_WORDS[self.kind]}{self.subject}{until}"


_TIME_OF_DAY = "%H:%M UTC on %Y-%m-%d"


def _time_of_day(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime(_TIME_OF_DAY)


def read_reason(reason: str) -> Waiting:
    """What a waiting run's reason says: all that a run's row has, and the events of older versions.

    The only place that takes the words apart. A run that waits for its own question says so, so that
    the old name of the daemon's is no other's here.
    """
    if reason in {RESTART_ASK, OLD_RESTART_ASK}:
        return Waiting("restart", reason)
    for kind in ("ask", "child", "model"):
        if reason.startswith(_WORDS[kind]):
            return Waiting(kind, reason.removeprefix(_WORDS[kind]))
    if quota := _QUOTA.fullmatch(reason):
        return Waiting("quota", quota["name"], _moment(quota["until"]))
    return Waiting("other", reason)


# To the minute; the run's fact has it to the second.
_QUOTA = re.compile(
    r"quota of (?P<name>.+?)(?: until (?P<until>\d\d:\d\d UTC on \d{4}-\d\d-\d\d))?",
    re.DOTALL | re.ASCII,
)


def _moment(said: str | None) -> datetime | None:
    if said is None:
        return None
    try:
        return datetime.strptime(said, _TIME_OF_DAY).replace(tzinfo=UTC)
    except ValueError:
        return None
