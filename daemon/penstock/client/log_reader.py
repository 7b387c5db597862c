"""A reader of the log without any I/O: where it stands, what a frame tells it, what comes next.

A shell connects with `place`, gives every frame to `feed` and goes on as `step` says; when a connection
is lost, `lost` says how long to wait. All that is known of the wire stands here, on plain dicts, so that
every shell (Trio, asyncio, none) resumes, notices holes and gives up by the same rules.

News are named tuples here, as are values elsewhere that every command imports: to make the class of a
dataclass takes six times as long, a fifth of a command's time all told.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

from penstock.words.address import Address
from penstock.words.backoff import backoff
from penstock.words.error_status import error_of
from penstock.words.errors import DaemonUnreachable, PenstockError, Refused, put_back
from penstock.words.terminal_types import TERMINAL_TYPES

#: One event may have 8 MiB of text, and JSON escapes may double it.
LARGEST_FRAME_BYTES = 16 * 1024 * 1024
#: Close codes from here on are HTTP statuses plus 4000.
FIRST_STATUS_CODE, LAST_STATUS_CODE = 4400, 4599
#: Seconds before the second attempt to connect again; doubled for each further one.
FIRST_DELAY = 0.1
#: A daemon that restarts is back within seconds, and nobody should wait much longer than it.
LONGEST_DELAY = 2.0
#: Seconds without a connection after which a stream gives up.
PATIENCE_SECONDS = 60.0

#: What the shell does next: read a frame; hear only with which code the daemon closes; connect again,
#: at once; nothing, for the run has ended.
Step = Literal["read", "part", "reopen", "done"]
WireFact = Mapping[str, Any]


class Lost(Exception):
    """The connection is gone, or could not be made; another attempt may succeed."""


class Greeted(NamedTuple):
    """A connection stands; what the daemon says of itself and of its log."""

    daemon: str
    epoch: str
    life: str
    head: int
    floor: int


class Events(NamedTuple):
    """New facts as the wire has them, in order; none twice."""

    envelopes: tuple[WireFact, ...]


class Skipped(NamedTuple):
    """Facts from `first` to `last` are not to be had: pruned, or dropped for a slow reader."""

    first: int
    last: int
    dropped: int | None = None


class Ready(NamedTuple):
    """All that was recorded before the connection was made has been told."""

    head: int


class Parting(NamedTuple):
    """The daemon said good-bye; the close code says whether to come again."""

    reason: str


class Reconnecting(NamedTuple):
    """The connection was lost; the next attempt comes after `delay` seconds."""

    why: str
    attempt: int
    delay: float


class EpochChanged(NamedTuple):
    """The daemon has another log now; positions begin anew."""

    old: str
    new: str


class WentBack(NamedTuple):
    """The log does not hold any more what was told from the position `first` on; it begins anew."""

    first: int


Heard = Greeted | Events | Skipped | Ready | Parting | EpochChanged | WentBack


@dataclass(slots=True)
class Cursor:
    """What a reader has: drops what comes again, and notices what is missing."""

    run_id: str | None
    position: int = 0
    epoch: str = ""
    ended: bool = False
    #: The fact at `position`, if it was told here: by it the daemon knows a log that went back.
    event_id: str | None = None
    #: The last sequence of the one run, None until it is known.
    _sequence: int | None = None
    #: The place that our caller brought; None once it is one of ours.
    _given: int | None = field(init=False)

    def __post_init__(self) -> None:
        self._given = self.position
        if self.position == 0:
            self._sequence = 0

    def take(self, envelopes: Iterable[WireFact]) -> list[Events | Skipped]:
        """What is new among the facts of a frame."""
        heard: list[Events | Skipped] = []
        fresh: list[WireFact] = []
        for fact in envelopes:
            if fact["position"] <= self.position:
                continue
            if self._misses(fact):
                heard += [Events(tuple(fresh))] if fresh else []
                heard.append(Skipped(self.position + 1, fact["position"] - 1))
                fresh = []
            self.position, self._sequence = fact["position"], fact["sequence"]
            self.event_id = fact["event_id"]
            self.ended = (
                self.run_id is not None and fact["event"].get("type") in TERMINAL_TYPES
            )
            fresh.append(fact)
        return heard + ([Events(tuple(fresh))] if fresh else [])

    def skip(self, last: int) -> None:
        """The daemon said that nothing up to `last` will come."""
        self.position = max(self.position, last)
        self._sequence = self.event_id = None

    def begin(self, epoch: str, position: int = 0) -> None:
        """Read this log from above the position on, whatever was read before."""
        self.position, self.epoch = position, epoch
        self._sequence = 0 if position == 0 else None
        self.event_id = self._given = None

    @property
    def given(self) -> bool:
        """Whether the place is still the one that our caller brought."""
        return self.event_id is None and self.position == self._given

    def _misses(self, fact: WireFact) -> bool:
        # Dense are the positions of the whole log, and the sequence within one run.
        if self.run_id is None:
            return self.position > 0 and fact["position"] > self.position + 1
        return self._sequence is not None and fact["sequence"] > self._sequence + 1


@dataclass(slots=True)
class Backoff:
    """How long to wait before the next attempt; doubled each time, anew after each connection."""

    #: Seconds before the first attempt to connect again, and at most.
    first: float
    longest: float
    #: Seconds without a connection after which to give up; then the first one must succeed, too.
    #: None: never. Time counts from the loss, since a reader may be slow for hours.
    limit: float | None
    seen: bool = False
    attempt: int = 0
    lost_at: float | None = None

    def connected(self) -> None:
        """There is a daemon: the next loss is a new one."""
        self.seen, self.attempt, self.lost_at = True, 0, None

    def delay(self, now: float) -> float | None:
        """Seconds until the next attempt; None: give up."""
        if self.lost_at is None:
            self.lost_at = now
        if self.limit is not None and (
            not self.seen or now - self.lost_at > self.limit
        ):
            return None
        self.attempt += 1
        return backoff(self.attempt, self.first, self.longest)


class LogReader:
    """See the module's text."""

    def __init__(
        self, backoff: Backoff, run_id: str | None = None, after: int = 0
    ) -> None:
        self.cursor = Cursor(run_id, after)
        self._backoff = backoff
        self.step: Step = "read"
        #: Whether the daemon may be told which fact stands at our place.
        self._names_fact = True

    @property
    def place(self) -> dict[str, object]:
        """Where to read on, for the address and for the first message."""
        place: dict[str, object] = {"after": self.cursor.position}
        if self._names_fact and self.cursor.event_id is not None:
            place["after_id"] = self.cursor.event_id
        return place

    def connecting(self) -> None:
        """A new connection is made, from `place` on."""
        self.step = "read"

    def connected(self) -> None:
        """A stream has begun, of a form that greets nobody: each line of it tells something."""
        self._backoff.connected()

    @property
    def seen(self) -> bool:
        """Whether there ever was a connection."""
        return self._backoff.seen

    def begin(self, epoch: str, position: int) -> None:
        """Read on from a place that the shell has chosen in the log of this epoch."""
        self.cursor.begin(epoch, position)

    def feed(self, frame: object) -> list[Heard]:
        """What a frame tells; `step` says what comes next. Frames of a newer daemon tell nothing.

        PutBack if the log does not hold the caller's place: the caller must begin anew, not we.
        """
        if not isinstance(frame, Mapping):
            return []
        match frame.get("type"):
            case "hello":
                return self._greet(greeted(frame))
            case "events":
                heard: list[Heard] = [*self.cursor.take(frame["events"])]
                if self.cursor.ended:
                    self.step = "done"
                return heard
            case "gap" if frame.get("put_back"):
                return [self._go_back(frame)]
            case "gap":
                self.cursor.skip(frame["last"])
                return [Skipped(frame["first"], frame["last"], frame.get("dropped"))]
            case "ready":
                return [Ready(frame["head"])]
            case "bye":
                self.step = "part"
                return [Parting(str(frame.get("reason") or ""))]
            case _:
                return []

    def lost(self, why: str, now: float) -> Reconnecting:
        """When to connect again, by a clock in seconds. DaemonUnreachable if it is time to give up."""
        delay = self._backoff.delay(now)
        if delay is None:
            hint = "" if self._backoff.seen else "; start one with `penstock serve`"
            raise DaemonUnreachable(f"{why}{hint}")
        return Reconnecting(why, self._backoff.attempt, delay)

    def refused(self, error: PenstockError) -> bool:
        """Whether to connect again, at once: a daemon of an older version knows no `after_id`.

        It is left out from then on, so this is so once at most, and nobody need be told.
        """
        if "after_id" not in self.place or not isinstance(error, Refused):
            return False
        if "after_id" not in str(error):
            return False
        self._names_fact = False
        return True

    def _greet(self, greeting: Greeted) -> list[Heard]:
        self._backoff.connected()
        known, self.cursor.epoch = self.cursor.epoch, greeting.epoch
        if known in ("", greeting.epoch):
            return [greeting]
        self.cursor.begin(greeting.epoch)
        self.step = "reopen"
        return [EpochChanged(known, greeting.epoch), greeting]

    def _go_back(self, gap: Mapping[str, Any]) -> WentBack:
        if self.cursor.given:
            raise put_back(self.cursor.position, gap["first"])
        self.cursor.begin(self.cursor.epoch)
        self.step = "reopen"
        return WentBack(gap["first"])


def greeted(frame: object) -> Greeted:
    """The first frame, read. DaemonUnreachable if it is none: a daemon that stops says good-bye."""
    if not isinstance(frame, Mapping) or frame.get("type") != "hello":
        raise DaemonUnreachable("the daemon does not greet; it may be stopping")
    return Greeted(
        daemon=str(frame.get("daemon", "")),
        epoch=frame["epoch"],
        life=str(frame.get("life", "")),
        head=frame["head"],
        floor=frame["floor"],
    )


def first_message(address: Address, place: Mapping[str, object]) -> str | None:
    """What to send once connected; None where the daemon speaks first.

    Without a token a daemon on TCP says nothing before it has heard this.
    """
    if address.token or address.socket is not None:
        return None
    return json.dumps({"type": "open", **place})


def why_closed(code: int | None, reason: str = "") -> Lost | PenstockError:
    """What the code of a closed connection stands for; None: it broke."""
    if code is None:
        return Lost("the connection broke")
    if FIRST_STATUS_CODE <= code <= LAST_STATUS_CODE:
        return error_of(code - 4000, {"detail": reason})
    return Lost(reason or f"the daemon closed the connection ({code})")


def why_refused(status: int, body: bytes | bytearray | None) -> PenstockError:
    """What the answer stands for with which the daemon refused a handshake."""
    try:
        document = json.loads(body or b"null")
    except ValueError:
        document = None
    return error_of(status, document)
