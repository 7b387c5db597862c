"""Recorded events of a made-up run, without a store."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

from penstock.words.events import AnyEvent, encode_event
from penstock.words.recorded import Recorded

_START = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)


def recorded(
    event: AnyEvent,
    sequence: int = 1,
    *,
    run_id: str = "r-1",
    version: int = 0,
    cause: UUID | None = None,
    event_id: UUID | None = None,
    clock: Mapping[str, int] | None = None,
) -> Recorded:
    """The event as a store would have recorded it, with `position` = `sequence`."""
    return Recorded(
        position=sequence,
        run_id=run_id,
        sequence=sequence,
        event_id=event_id or uuid4(),
        at=_START + timedelta(seconds=sequence),
        clock=clock or {},
        causation_id=cause,
        code_version=version,
        type=event.type,
        body=encode_event(event),
    )
