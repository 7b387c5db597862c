"""Redaction: what must not be read later is taken out before it is recorded.

Known secrets (the daemon's own token) are always taken out; patterns are the user's. Artifacts are
left alone: they are what a run was asked to make, and their pieces must stay the file.

A secret is taken out of a piece of output only if it is whole in it, so what may be the beginning
of one is held back until its line has ended. Colours within it do not hide it.
"""

from __future__ import annotations

import re
from base64 import b64decode
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from pydantic_core import from_json, to_json

from penstock.log.new_events import NewEvent
from penstock.log.results import Result
from penstock.log.writes import (
    AdvanceSchedule,
    Answer,
    Append,
    Complete,
    Edit,
    Enqueue,
    Park,
    Release,
    RequestCancel,
    SetPause,
    SetSchedule,
    Write,
)
from penstock.words.errors import StartRefused
from penstock.words.events import encode_event
from penstock.words.printed import piece_of

#: What stands where a secret stood.
REDACTED = "[redacted]"

#: Bytes at the end of a line without an end that are held back at most.
LARGEST_HELD_BACK = 4096


@dataclass(eq=False, slots=True)
class Secrets:
    """What is known to be secret: the daemon's own token, and those of runs while they execute.

    All of them are letters, digits and dashes only, if the look at them is to cost little.
    """

    known: dict[str, re.Pattern[str]] = field(default_factory=dict)

    @classmethod
    def made_of(cls, secrets: Secrets | Iterable[str]) -> Secrets:
        """These, or new ones that begin with these; an empty one is none."""
        if isinstance(secrets, Secrets):
            return secrets
        made = cls()
        for secret in filter(None, secrets):
            made.add(secret)
        return made

    def add(self, secret: str) -> None:
        """Take this one out from now on."""
        self.known[secret] = re.compile(re.escape(secret))

    def discard(self, secret: str) -> None:
        """It is worth nothing any more."""
        self.known.pop(secret, None)


Redact = Callable[[Write[Result]], Write[Result]]
_Patterns = Sequence[re.Pattern[str]]

#: What sets colours on a terminal (SGR), as one group, so that a split keeps it.
_COLOURS = re.compile(r"(\x1b\[[0-9;:]*m)")
#: Letters, digits and dashes only, as tokens have them.
_WORD = re.compile(r"(?:[A-Za-z0-9_-]|\\-)+")
_ARTIFACTS = frozenset({"artifact.partial", "artifact.completed"})


def make_redaction(
    patterns: Iterable[str], secrets: Secrets | Iterable[str] = ()
) -> Redact:
    """What takes these out of a write. StartRefused names a pattern that is none."""
    compiled = [_compiled(pattern) for pattern in patterns]
    known = Secrets.made_of(secrets).known

    def redact(write: Write[Result]) -> Write[Result]:
        wanted = [*known.values(), *compiled] if known else compiled
        return _redacted(write, wanted) if wanted else write

    return redact


def make_text_redaction(patterns: Iterable[str]) -> Callable[[str], str]:
    """What takes these out of a text. StartRefused names a pattern that is none."""
    wanted = [_compiled(pattern) for pattern in patterns]

    def redact(text: str) -> str:
        clean: str = _clean(text, wanted)
        return clean

    return redact


def make_held_back(
    patterns: Sequence[str], secrets: Secrets | Iterable[str] = ()
) -> Callable[[bytes], int]:
    """What tells how many bytes at the end of an output may be the beginning of one of these.

    Of a pattern nobody knows how it begins: with any, the line that has not ended is held back.
    """
    compiled = [_compiled(pattern) for pattern in patterns]
    known = Secrets.made_of(secrets).known
    if patterns:
        return lambda data: _unfinished_line(data, [*known.values(), *compiled])
    return lambda data: max((_begun(data, _bytes_of(one)) for one in known), default=0)


def _bytes_of(secret: str) -> bytes:
    return secret.encode("utf-8", "surrogateescape")


def _begun(data: bytes, secret: bytes) -> int:
    """How many bytes at the end are the beginning of the secret, and not all of it."""
    for count in range(min(len(secret) - 1, len(data)), 0, -1):
        if data.endswith(secret[:count]):
            return count
    return 0


def _unfinished_line(data: bytes, wanted: _Patterns) -> int:
    line = data[max(data.rfind(b"\n"), data.rfind(b"\r")) + 1 :]
    if len(line) <= LARGEST_HELD_BACK:
        return len(line)
    # A line may have no end; but no cut goes through what is known to be one.
    text = line[-2 * LARGEST_HELD_BACK :].decode("latin-1")
    cut = len(text) - LARGEST_HELD_BACK
    for pattern in wanted:
        for found in pattern.finditer(text):
            if found.start() < cut < found.end():
                cut = found.start()
    return len(text) - cut


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
            shown, labels = (
                _clean_fields(spec.shown, wanted),
                _clean(spec.labels, wanted),
            )
            return replace(write, spec=replace(spec, shown=shown, labels=labels))
        case Answer(answer=text):
            return replace(write, answer=_clean(text, wanted))
        case RequestCancel(reason=text) | SetPause(reason=text):
            return replace(write, reason=_clean(text, wanted))
        case AdvanceSchedule(skipped=text):
            return replace(write, skipped=_clean(text, wanted))
        case Edit(shown=shown):
            return replace(write, shown=_clean_fields(shown, wanted))
        case SetSchedule(row=row):
            clean = replace(row, shown=_clean_fields(row.shown, wanted))
            return replace(write, row=clean)
        case Park(waiting=waiting):
            subject = _clean(waiting.subject, wanted)
            return replace(write, waiting=replace(waiting, subject=subject))
        case _:
            # Ids, times and numbers: the others hold no word of anybody.
            return write


def _redacted_event(new_event: NewEvent, wanted: _Patterns) -> NewEvent:
    if new_event.type in _ARTIFACTS:
        return new_event
    if new_event.type == "log":
        return _redacted_piece(new_event, wanted)
    # Most facts hold no secret: one look at their JSON tells, and only the others are taken apart.
    text = new_event.body.decode()
    if not any(not _is_word(p) or p.search(text) for p in wanted):
        return new_event
    event = from_json(new_event.body)
    clean = _clean_fields(event, wanted)
    if clean == event:
        return new_event
    return new_event.with_body(to_json({**clean, "type": event["type"]}))


def _is_word(pattern: re.Pattern[str]) -> bool:
    """Whether JSON has what it finds as it is: quotes, lines and their ends look otherwise there."""
    return _WORD.fullmatch(pattern.pattern) is not None


def _redacted_piece(new_event: NewEvent, wanted: _Patterns) -> NewEvent:
    """What a program printed: JSON would hide its tabs and escapes, and base64 all of it."""
    piece = from_json(new_event.body)
    text = piece.get("text")
    if text is None:
        data = b64decode(piece.get("base64", ""))
        text = data.decode("utf-8", "surrogateescape")
    clean = _without_secrets(text, wanted)
    if clean == text:
        return new_event
    kept = piece_of(piece["stream"], clean.encode("utf-8", "surrogateescape"))
    return new_event.with_body(encode_event(kept))


def _without_secrets(text: str, wanted: _Patterns) -> str:
    clean: str = _clean(text, wanted)
    if "\x1b" not in clean:
        return clean
    # Once more without the colours: a secret may have one in its midst.
    parts = [part for part in _COLOURS.split(clean) if part]
    plain = "".join(part for part in parts if not _COLOURS.fullmatch(part))
    spans = [
        found.span()
        for pattern in wanted
        for found in pattern.finditer(plain)
        if found.end() > found.start()
    ]
    return _cut_out(parts, sorted(spans)) if spans else clean


def _cut_out(parts: Sequence[str], spans: Sequence[tuple[int, int]]) -> str:
    """The parts with these spans of their plain text replaced; the colours stay."""
    out: list[str] = []
    place = 0
    for part in parts:
        if _COLOURS.fullmatch(part):
            out.append(part)
            continue
        end, at = place + len(part), place
        for start, stop in spans:
            if stop <= at or start >= end:
                continue
            out.append(part[at - place : max(start, at) - place])
            if start >= at:
                out.append(REDACTED)
            at = min(stop, end)
        out.append(part[at - place :])
        place = end
    return "".join(out)


def _clean_fields(fields: Mapping[str, Any], wanted: _Patterns) -> dict[str, Any]:
    """What is said in a table whose own keys nobody chose."""
    return {key: _clean(value, wanted) for key, value in fields.items()}


def _clean(value: Any, wanted: _Patterns) -> Any:
    if isinstance(value, str):
        for pattern in wanted:
            # A pattern that matches nothing at all does so before every letter.
            value = pattern.sub(lambda found: REDACTED if found[0] else "", value)
        return value
    if isinstance(value, Mapping):
        # Keys are words of somebody as well: labels, variables, what a step found.
        return {
            _clean(key, wanted): _clean(item, wanted) for key, item in value.items()
        }
    if isinstance(value, list | tuple):
        return [_clean(item, wanted) for item in value]
    return value
