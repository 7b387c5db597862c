"""Facts on their way to the store."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import NamedTuple
from uuid import UUID

from penstock.words.clocks import Clock
from penstock.words.errors import Refused, TooLarge
from penstock.words.events import LARGEST_EVENT_BYTES, AnyEvent, encode_event
from penstock.words.values import new_event_id

#: A fact may claim to be at most this much in the future: clocks differ, but not by more.
LARGEST_SKEW = timedelta(seconds=5)

_NO_CLOCK: Clock = MappingProxyType({})


class Draft(NamedTuple):
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


def draft(
    run_id: str,
    event: AnyEvent,
    *,
    now: datetime,
    at: datetime | None = None,
    event_id: UUID | None = None,
    clock: Mapping[str, int] | None = None,
    causation_id: UUID | None = None,
    code_version: int | None = None,
) -> Draft:
    """Encode a fact for the store.

    TooLarge above `LARGEST_EVENT_BYTES`; Refused for a time more than `LARGEST_SKEW` after `now`.
    """
    body = encode_event(event)
    if len(body) > LARGEST_EVENT_BYTES:
        why = f"{len(body)} bytes; the limit is {LARGEST_EVENT_BYTES}"
        raise TooLarge("event", why, limit=LARGEST_EVENT_BYTES)
    if at is not None and at > now + LARGEST_SKEW:
        raise Refused("at", "lies in the future")
    return Draft(
        run_id,
        event.type,
        body,
        at or now,
        event_id or new_event_id(),
        clock or _NO_CLOCK,
        causation_id,
        code_version,
    )
