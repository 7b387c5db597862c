"""What a store answers to a write."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from penstock.log.kept import RunRow
from penstock.words.recorded import Recorded


@dataclass(frozen=True, slots=True)
class Result:
    """What a write did; `recorded` is in position order."""

    recorded: tuple[Recorded, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Accepted(Result):
    """The run is in the log, under this number; `recorded` tells with what fate."""

    number: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Existing(Result):
    """The run was there before, with the same inputs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Claimed(Result):
    """`started` got a slot and wait for an execution; `unparked` have theirs again and go on.

    `lost` are all open runs that the log can tell nothing of any more: they get none.
    """

    started: tuple[RunRow, ...] = ()
    unparked: tuple[RunRow, ...] = ()
    lost: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Appended(Result):
    #: The facts were recorded before, by an earlier call with the same event ids.
    duplicate: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Concluded(Result):
    """`ended`: other runs that this one's end ended; `signalled`: executing runs to be cancelled."""

    ended: tuple[str, ...] = ()
    signalled: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class CancelAnswer(Result):
    """`ended` were not executing and have ended; `signalled` execute and must be cancelled now."""

    outcome: Literal["cancelled", "signalled", "already_terminal", "tombstoned"]
    ended: tuple[str, ...] = ()
    signalled: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Pruned(Result):
    runs: tuple[str, ...] = ()
    #: There was more to forget than `limit` allowed.
    more: bool = False
    #: Forgotten runs whose folders nobody has called removed yet, these among them.
    folders: tuple[str, ...] = ()
    #: Runs that were to be forgotten and stay, since the log is damaged under them.
    damaged: tuple[str, ...] = ()
