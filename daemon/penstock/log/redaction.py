"""Redaction: what must not be read later is taken out before it is recorded.

Known secrets (the daemon's own token) are always taken out; patterns are the user's. Artifacts are
left alone: they are what a run was asked to make, and their pieces must stay the file.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from pydantic_core import from_json, to_json

from penstock.log.writes import (
    Answer,
    Append,
    Complete,
    Enqueue,
    NewEvent,
    Park,
    Release,
    RequestCancel,
    Result,
    SetPause,
    Write,
)
from penstock.words.errors import StartRefused

#: What stands where a secret stood.
REDACTED = "[redacted]"

Redact = Callable[[Write[Result]], Write[Result]]
_Patterns = Sequence[re.Pattern[str]]

_ARTIFACTS = frozenset({"artifact.partial", "artifact.completed"})


def make_redaction(patterns: Iterable[str], secrets: Iterable[str] = ()) -> Redact:
    """What takes these out of a write. StartRefused names a pattern that is none."""
    wanted = [re.compile(re.escape(secret)) for secret in secrets if secret]
    wanted += [_compiled(pattern) for pattern in patterns]
    if not wanted:
        return _nothing
    return lambda write: _redacted(write, wanted)


def make_text_redaction(patterns: Iterable[str]) -> Callable[[str], str]:
    """What takes these out of a text. StartRefused names a pattern that is none."""
    wanted = [_compiled(pattern) for pattern in patterns]

    def redact(text: str) -> str:
        clean: str = _clean(text, wanted)
        return clean

    return redact


def _compiled(pattern: str) -> re.Pattern[str]:
    """One pattern, on its own: joined with others its groups would have other numbers."""
    try:
        # Inside a group a flag for the whole pattern is an error: it would reach no further than
        # its author sees, and `(?i:...)` says how far.
        re.compile(f"(?:{pattern})")
        return re.compile(pattern)
    except (re.error, RecursionError, OverflowError) as error:
        why = f"is not a regular expression that can be used: {error}"
        if "global flags" in str(error):
            why = "has a flag for the whole pattern, as (?i)...; write (?i:...) for it"
        raise StartRefused(f"redact: {pattern!r} {why}") from None


def _nothing(write: Write[Result]) -> Write[Result]:
    return write


def _redacted(write: Write[Result], wanted: _Patterns) -> Write[Result]:
    match write:
        case Append(new_events=before):
            new_events = tuple(
                _redacted_event(new_event, wanted) for new_event in before
            )
            return (
                write if new_events == before else replace(write, new_events=new_events)
            )
        case Complete(new_event=before) | Release(new_event=before):
            return replace(write, new_event=_redacted_event(before, wanted))
        case Enqueue(spec=spec):
            shown, labels = _clean(spec.shown, wanted), _clean(spec.labels, wanted)
            return replace(write, spec=replace(spec, shown=shown, labels=labels))
        case Answer(answer=text):
            return replace(write, answer=_clean(text, wanted))
        case RequestCancel(reason=text) | SetPause(reason=text):
            return replace(write, reason=_clean(text, wanted))
        case Park(waiting=waiting):
            subject = _clean(waiting.subject, wanted)
            return replace(write, waiting=replace(waiting, subject=subject))
        case _:
            # Ids, times and numbers: the others hold no word of anybody.
            return write


def _redacted_event(new_event: NewEvent, wanted: _Patterns) -> NewEvent:
    if new_event.type in _ARTIFACTS:
        return new_event
    # Most facts hold no secret: one look at their JSON tells, and only the others are taken apart.
    text = new_event.body.decode()
    if not any(pattern.search(text) for pattern in wanted):
        return new_event
    event = from_json(new_event.body)
    kept = {"type": event.pop("type"), **_clean(event, wanted)}
    return new_event._replace(body=to_json(kept))


def _clean(value: Any, wanted: _Patterns) -> Any:
    if isinstance(value, str):
        for pattern in wanted:
            value = pattern.sub(REDACTED, value)
        return value
    if isinstance(value, Mapping):
        return {key: _clean(item, wanted) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_clean(item, wanted) for item in value]
    return value
