"""Redaction: what must not be read later is taken out before it is recorded.

Known secrets (the daemon's own token) are always taken out; patterns are the user's. Artifacts are
left alone: they are what a run was asked to make, and their pieces must stay the file.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any

from pydantic_core import from_json, to_json

from penstock.log.writes import (
    Answer,
    Append,
    Complete,
    Enqueue,
    NewEvent,
    Release,
    Write,
)
from penstock.words.errors import StartRefused

#: What stands where a secret stood.
REDACTED = "[redacted]"

Redact = Callable[[Write], Write]

_ARTIFACTS = frozenset({"artifact.partial", "artifact.completed"})


def make_redaction(patterns: Iterable[str], secrets: Iterable[str] = ()) -> Redact:
    """What takes these out of a decision. StartRefused names a pattern that is none."""
    words = [re.escape(secret) for secret in secrets if secret]
    for pattern in patterns:
        try:
            re.compile(pattern)
        except re.error as error:
            why = f"redact: {pattern!r} is not a regular expression: {error}"
            raise StartRefused(why) from None
        words.append(f"(?:{pattern})")
    if not words:
        return _nothing
    wanted = re.compile("|".join(words))
    return lambda write: _redacted(write, wanted)


def _nothing(write: Write) -> Write:
    return write


def _redacted(write: Write, wanted: re.Pattern[str]) -> Write:
    if isinstance(write, Append):
        new_events = tuple(_draft(new_event, wanted) for new_event in write.new_events)
        return (
            write
            if new_events == write.new_events
            else replace(write, new_events=new_events)
        )
    if isinstance(write, Complete | Release):
        return replace(write, new_event=_draft(write.new_event, wanted))
    if isinstance(write, Enqueue):
        shown = _clean(write.spec.shown, wanted)
        return replace(write, spec=replace(write.spec, shown=shown))
    if isinstance(write, Answer):
        return replace(write, answer=wanted.sub(REDACTED, write.answer))
    return write


def _draft(new_event: NewEvent, wanted: re.Pattern[str]) -> NewEvent:
    # Most facts hold no secret: one look at their JSON tells, and only the others are taken apart.
    if new_event.type in _ARTIFACTS or not wanted.search(new_event.body.decode()):
        return new_event
    event = from_json(new_event.body)
    kept = {"type": event.pop("type"), **_clean(event, wanted)}
    return new_event._replace(body=to_json(kept))


def _clean(value: Any, wanted: re.Pattern[str]) -> Any:
    if isinstance(value, str):
        return wanted.sub(REDACTED, value)
    if isinstance(value, Mapping):
        return {key: _clean(item, wanted) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_clean(item, wanted) for item in value]
    return value
