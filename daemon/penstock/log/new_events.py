"""Facts on their way to the log: encoded once, and known to be small enough."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import NamedTuple
from uuid import UUID

from penstock.words.clocks import Clock
from penstock.words.errors import Refused, TooLarge
from penstock.words.events import (
    DROPPABLE_TYPES,
    LARGEST_EVENT_BYTES,
    AnyEvent,
    encode_event,
)
from penstock.words.values import new_event_id

#: A fact may claim to be at most this much in the future: clocks differ, but not by more.
LARGEST_SKEW = timedelta(seconds=5)

_NO_CLOCK: Clock = MappingProxyType({})


class NewEvent(NamedTuple):
    """A fact on its way to the store: already encoded and known to be small enough.

    A tuple, since one is made per fact: a frozen dataclass takes three times as long.
    """

    run_id: str
    type: str
    body: bytes
    at: datetime
    event_id: UUID
    clock: Clock = _NO_CLOCK
    causation_id: UUID | None = None
    #: The version of the code this fact is about; None keeps the run's current one.
    code_version: int | None = None
    #: What `body` says, for who folds it: it was checked when it was made. None: it is parsed again.
    event: AnyEvent | None = None

    @classmethod
    def of(
        cls,
        run_id: str,
        event: AnyEvent,
        at: datetime,
        event_id: UUID,
        cause: UUID | None = None,
    ) -> NewEvent:
        """A fact that the store itself makes."""
        body = encode_event(event)
        return cls(
            run_id, event.type, body, at, event_id, causation_id=cause, event=event
        )

    def with_body(self, body: bytes) -> NewEvent:
        """The same fact in other words."""
        return self._replace(body=body, event=None)


def encode_within(event: AnyEvent, field: str) -> bytes:
    """The fact as JSON. TooLarge, by the name of what it was made of, above `LARGEST_EVENT_BYTES`."""
    body = encode_event(event)
    if len(body) > LARGEST_EVENT_BYTES:
        why = f"{len(body)} bytes; the limit is {LARGEST_EVENT_BYTES}"
        raise TooLarge(field, why, limit=LARGEST_EVENT_BYTES)
    return body


def new_event(
    run_id: str,
    event: AnyEvent,
    *,
    now: datetime,
    at: datetime | None = None,
    event_id: UUID | None = None,
    clock: Mapping[str, int] | None = None,
    causation_id: UUID | None = None,
    code_version: int | None = None,
) -> NewEvent:
    """Encode a fact for the store.

    TooLarge above `LARGEST_EVENT_BYTES`; Refused for a time more than `LARGEST_SKEW` after `now`.
    """
    body = encode_within(event, "event")
    if at is not None and at > now + LARGEST_SKEW:
        raise Refused("at", "lies in the future")
    return NewEvent(
        run_id,
        event.type,
        body,
        at or now,
        event_id or new_event_id(),
        clock or _NO_CLOCK,
        causation_id,
        code_version,
        # Output may be long, and nobody folds what it says.
        None if event.type in DROPPABLE_TYPES else event,
    )
