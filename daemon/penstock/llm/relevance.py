"""Which of a run's events matter to the one at hand."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from penstock.llm.summaries import body_of
from penstock.words.errors import Refused
from penstock.words.recorded import Recorded

#: Events that a prompt is made from, unless the caller wants others: a chain of modules has long
#: forgotten what lies further back.
LIMIT = 50


def relevant(
    events: Sequence[Recorded], current: Recorded, *, limit: int = LIMIT
) -> tuple[Recorded, ...]:
    """The newest `limit` events that fit `current`, by sequence.

    An event fits if it is of the same run and module, and of the same code version or among the
    causes of `current`. A cause that is missing ends the chain there. Refused for a negative limit.
    """
    if limit < 0:
        raise Refused("limit", "must not be negative")
    chain = _causes(events, current)
    module = module_of(current)
    fitting = [
        event
        for event in events
        if event.run_id == current.run_id
        and event.event_id != current.event_id
        and (event.code_version == current.code_version or event.event_id in chain)
        and module_of(event) == module
    ]
    fitting.sort(key=lambda event: event.sequence)
    return tuple(fitting[-limit:]) if limit else ()


def module_of(event: Recorded) -> str:
    """The module an event is about; "" for none."""
    # Most events have none, and searching is far cheaper than parsing.
    if b'"module"' not in event.body:
        return ""
    module = body_of(event).get("module")
    return module if isinstance(module, str) else ""


def _causes(events: Sequence[Recorded], current: Recorded) -> frozenset[UUID]:
    """Ids of what led to `current`, as far back as the events at hand tell; a cycle ends."""
    by_id = {
        event.event_id: event for event in events if event.run_id == current.run_id
    }
    found: set[UUID] = set()
    cause = current.causation_id
    while cause is not None and cause not in found and cause in by_id:
        found.add(cause)
        cause = by_id[cause].causation_id
    return frozenset(found)
