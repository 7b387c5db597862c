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
    Decision,
    Draft,
    Enqueue,
    Release,
)
from penstock.words.errors import StartRefused

#: What stands where a secret stood.
REDACTED = "[redacted]"

Redact = Callable[[Decision], Decision]

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
    return lambda decision: _redacted(decision, wanted)


def _nothing(decision: Decision) -> Decision:
    return decision


def _redacted(decision: Decision, wanted: re.Pattern[str]) -> Decision:
    if isinstance(decision, Append):
        drafts = tuple(_draft(draft, wanted) for draft in decision.drafts)
        return (
            decision if drafts == decision.drafts else replace(decision, drafts=drafts)
        )
    if isinstance(decision, Complete | Release):
        return replace(decision, draft=_draft(decision.draft, wanted))
    if isinstance(decision, Enqueue):
        shown = _clean(decision.spec.shown, wanted)
        return replace(decision, spec=replace(decision.spec, shown=shown))
    if isinstance(decision, Answer):
        return replace(decision, answer=wanted.sub(REDACTED, decision.answer))
    return decision


def _draft(draft: Draft, wanted: re.Pattern[str]) -> Draft:
    # Most facts hold no secret: one look at their JSON tells, and only the others are taken apart.
    if draft.type in _ARTIFACTS or not wanted.search(draft.body.decode()):
        return draft
    event = from_json(draft.body)
    kept = {"type": event.pop("type"), **_clean(event, wanted)}
    return draft._replace(body=to_json(kept))


def _clean(value: Any, wanted: re.Pattern[str]) -> Any:
    if isinstance(value, str):
        return wanted.sub(REDACTED, value)
    if isinstance(value, Mapping):
        return {key: _clean(item, wanted) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_clean(item, wanted) for item in value]
    return value
