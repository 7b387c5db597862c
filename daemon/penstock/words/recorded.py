"""What stands around a recorded fact: its place, its id, its time, and what was known then."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
)
from pydantic_core import from_json, to_json

from penstock.words.clocks import Clock, check_clock
from penstock.words.events import AnyEvent, Event, parse_event, unknown
from penstock.words.values import (
    Moment,
    RunId,
    VectorClock,
    Version,
    format_time,
    new_event_id,
    to_moment,
)

#: Bytes of an envelope's wire form that is kept beside the fact.
LARGEST_KEPT_WIRE = 16 * 1024


class Envelope(BaseModel):
    """A recorded fact as every surface shows it. `position` 0 means: not recorded yet."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    position: Version = 0
    run_id: RunId
    sequence: Version = 0
    event_id: UUID = Field(default_factory=new_event_id)
    at: Moment
    clock: VectorClock = {}
    causation_id: UUID | None = None
    code_version: Version = 0
    event: Event


class Recorded:
    """A recorded fact as the store keeps it: hot fields as columns, the fact itself as JSON.

    Views fold the columns and parse `body` only where they must; the wire form is put together
    from the same bytes. Columns may be given as the store has them (an id as bytes, a time in
    microseconds, a clock as JSON): they are read when they are asked for, and most never are. Not to
    be changed once made.
    """

    __slots__ = (
        "_at", "_causation_id", "_clock", "_event", "_event_id", "_wire", "body", "code_version", "position",
        "run_id", "sequence", "type",
    )  # fmt: skip

    def __init__(
        self,
        position: int,
        run_id: str,
        sequence: int,
        event_id: UUID | bytes,
        at: datetime | int,
        clock: Clock | str,
        causation_id: UUID | bytes | None,
        code_version: int,
        type: str,  # noqa: A002  (the field's name on every surface)
        body: bytes,
        event: AnyEvent | None = None,
    ) -> None:
        """`event`: what `body` says, if it was just made of it: it needs no parsing until `settle`."""
        self.position: Final = position
        self.run_id: Final = run_id
        self.sequence: Final = sequence
        self.code_version: Final = code_version
        self.type: Final = type
        self.body: Final = body
        self._event_id = event_id
        self._at = at
        self._clock = clock
        self._causation_id = causation_id
        self._wire: bytes | None = None
        self._event = event

    @property
    def event_id(self) -> UUID:
        """The fact's id."""
        if isinstance(self._event_id, bytes):
            self._event_id = UUID(bytes=self._event_id)
        return self._event_id

    @property
    def at(self) -> datetime:
        """When it happened, in UTC."""
        if isinstance(self._at, int):
            self._at = to_moment(self._at)
        return self._at

    @property
    def clock(self) -> Clock:
        """What was known when it happened."""
        clock = self._clock
        if isinstance(clock, str):
            self._clock = clock = from_json(clock)
        return clock

    @property
    def causation_id(self) -> UUID | None:
        """The id of the fact that caused this one."""
        if isinstance(self._causation_id, bytes):
            self._causation_id = UUID(bytes=self._causation_id)
        return self._causation_id

    def _columns(self) -> tuple[object, ...]:
        return (
            self.position, self.run_id, self.sequence, self.event_id, self.at, self.clock,
            self.causation_id, self.code_version, self.type, self.body,
        )  # fmt: skip

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Recorded):
            return NotImplemented
        return self._columns() == other._columns()

    # A clock has no hash, and so its fact has none.
    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"Recorded{self._columns()}"

    @property
    def event(self) -> AnyEvent:
        """The fact as it was made; once it is settled, parsed anew."""
        if self._event is not None:
            return self._event
        try:
            event = parse_event(from_json(self.body))
        except ValueError as error:
            return unknown({"type": self.type}, str(error))
        return event if event.type else unknown({"type": self.type}, "no fact")

    def settle(self) -> None:
        """Let go of what `body` says: it is folded, and the ring counts and keeps the body alone."""
        self._event = None

    def wire(self) -> bytes:
        """The envelope as one JSON object without a newline; a small one is encoded once, however many
        read it. A large one would take as much memory again as the ring counts for it."""
        if self._wire is not None:
            return self._wire
        wire = self._encoded()
        if len(wire) <= LARGEST_KEPT_WIRE:
            self._wire = wire
        return wire

    def _encoded(self) -> bytes:
        cause, clock = self.causation_id, self._clock
        return (
            b'{"position":%d,"run_id":%b,"sequence":%d,"event_id":"%b","at":"%b","clock":%b,'
            b'"causation_id":%b,"code_version":%d,"event":%b}'
            % (
                self.position,
                to_json(self.run_id),
                self.sequence,
                str(self.event_id).encode(),
                format_time(self.at).encode(),
                clock.encode() if isinstance(clock, str) else to_json(clock),
                b"null" if cause is None else b'"%b"' % str(cause).encode(),
                self.code_version,
                self.body,
            )
        )

    @classmethod
    def from_wire(cls, data: Mapping[str, Any]) -> Recorded:
        """The envelope read from a surface; the fact may be of a type this version does not know."""
        body = data["event"]
        return cls(
            position=data["position"],
            run_id=data["run_id"],
            sequence=data["sequence"],
            event_id=UUID(data["event_id"]),
            at=datetime.fromisoformat(data["at"]),
            clock=check_clock(data["clock"]),
            causation_id=UUID(data["causation_id"]) if data["causation_id"] else None,
            code_version=data["code_version"],
            type=str(body.get("type", "")),
            body=json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode(),
        )
