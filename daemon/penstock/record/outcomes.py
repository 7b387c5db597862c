"""Outcomes: what the decisions did, and all that the recorder learns of a commit."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from penstock.record.stored import RunRow
from penstock.words.recorded import Recorded


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a decision did; `recorded` is in position order."""

    recorded: tuple[Recorded, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Accepted(Outcome):
    """The run is in the log; `recorded` tells with what fate."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Existing(Outcome):
    """The run was there before, with the same inputs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Claimed(Outcome):
    """`started` got a slot and wait for an execution; `unparked` have theirs again and go on."""

    started: tuple[RunRow, ...] = ()
    unparked: tuple[RunRow, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Appended(Outcome):
    #: The facts were recorded before, by an earlier call with the same event ids.
    duplicate: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Concluded(Outcome):
    """`ended`: other runs that this one's end ended; `signalled`: executing runs to be cancelled."""

    ended: tuple[str, ...] = ()
    signalled: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class CancelAnswer(Outcome):
    """`ended` were not executing and have ended; `signalled` execute and must be cancelled now."""

    outcome: Literal["cancelled", "signalled", "already_terminal", "tombstoned"]
    ended: tuple[str, ...] = ()
    signalled: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Pruned(Outcome):
    runs: tuple[str, ...] = ()
    #: There was more to forget than `limit` allowed.
    more: bool = False
