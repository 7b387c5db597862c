"""A run's history in few words: how it stands, old events in one line each, the newest whole."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic_core import from_json, to_json

from penstock.words.display import plain_text
from penstock.words.errors import Refused
from penstock.words.events import Log
from penstock.words.lifecycle import FIRST_STATE, TRANSITIONS, State
from penstock.words.printed import text_of
from penstock.words.recorded import Recorded
from penstock.words.text import shortened

#: Events at the end that a model sees whole.
KEEP = 5
#: Characters of an old event's line: 45 of them and 5 whole ones are a fifth of 50 whole ones.
LONGEST_LINE = 56
#: Characters of one value in such a line.
LONGEST_VALUE = 24

#: Characters of one text in an event that a model is told.
LONGEST_TOLD = 600
#: Ends of names of values that only programs read.
_NAMES = ("_id", "_hash", "sha256", "pid", "clock")

#: A history may be shown without its beginning.
_FIRST: Mapping[str, State] = TRANSITIONS[None] | TRANSITIONS[FIRST_STATE]


@dataclass(frozen=True, slots=True)
class Summary:
    """What a model gets to know of a run."""

    #: How the run stands, in one line.
    state: str
    #: Old events, one line each, in order.
    lines: tuple[str, ...] = ()
    #: The newest events as they were recorded, in order.
    whole: tuple[str, ...] = ()

    @property
    def events(self) -> str:
        """The events, old and new, as one text."""
        return "\n".join((*self.lines, *self.whole))


@dataclass(slots=True)
class _Tally:
    """What the state line counts."""

    modules: set[str]
    iterations: int = 0
    version: int = 0
    state: State | None = None


def summarise(
    events: Sequence[Recorded],
    keep: int = KEEP,
    show: Callable[[Recorded], str] | None = None,
) -> Summary:
    """Compress events that are in order; the last `keep` stay whole, or as `show` has them.

    Refused for a negative `keep`.
    """
    if keep < 0:
        raise Refused("keep", "must not be negative")
    cut = max(0, len(events) - keep)
    return Summary(
        state=describe(events),
        lines=tuple(one_line(event) for event in events[:cut]),
        whole=tuple(map(show or whole, events[cut:])),
    )


def describe(events: Iterable[Recorded]) -> str:
    """How a run stands: module count, iteration count, current version and status."""
    tally = _Tally(set())
    for event in events:
        _count(tally, event)
    return (
        f"status: {tally.state or 'not started'}; modules: {len(tally.modules)}; "
        f"iterations: {tally.iterations}; current version: {tally.version}"
    )


def one_line(event: Recorded) -> str:
    """An event in at most `LONGEST_LINE` characters, large values cut."""
    words = [f"#{event.sequence} {event.type}"]
    for key, value in body_of(event).items():
        if key != "type" and value not in (None, "", [], {}):
            words.append(f"{key}={_short(value)}")
    return shortened(" ".join(words), LONGEST_LINE)


def whole(event: Recorded) -> str:
    """An event as it was recorded; what a program printed, as it would be read on a terminal."""
    piece = _piece_of(event)
    if piece is None or piece.text == (said := _printed(piece))["text"]:
        return event.body.decode()
    return to_json(said).decode()


def told(event: Recorded) -> str:
    """An event as a model is told it: its type and its values, without those that say nothing to it."""
    said = {
        key: _bounded(value)
        for key, value in body_of(event).items()
        if key != "type" and not key.endswith(_NAMES) and _says_something(value)
    }
    return f"{event.type} {to_json(said).decode()}" if said else event.type


def _says_something(value: Any) -> bool:
    return value is not None and value != "" and value not in ([], {})


def _bounded(value: Any) -> Any:
    """The value without nulls and ids, and with long texts cut: what is large is told elsewhere."""
    if isinstance(value, str):
        return shortened(value, LONGEST_TOLD)
    if isinstance(value, list):
        return [_bounded(item) for item in value]
    if isinstance(value, dict):
        return {
            key: _bounded(item)
            for key, item in value.items()
            if not key.endswith(_NAMES) and _says_something(item)
        }
    return value


def body_of(event: Recorded) -> Mapping[str, Any]:
    """The event's own fields, as `whole` shows them; {} if its JSON is not an object."""
    if (piece := _piece_of(event)) is not None:
        # An old line shows little of it, and a piece may be long.
        return _printed(piece, 4 * LONGEST_LINE)
    try:
        value = from_json(event.body)
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}


def _piece_of(event: Recorded) -> Log | None:
    """The piece of output that an event is; most are none, and need not be read for that."""
    if event.type != "log" or not isinstance(piece := event.event, Log):
        return None
    return piece


def _printed(piece: Log, most: int | None = None) -> dict[str, Any]:
    return {
        "type": piece.type,
        "text": plain_text(text_of(piece)[:most]),
        "stream": piece.stream,
    }


def _count(tally: _Tally, event: Recorded) -> None:
    tally.version = max(tally.version, event.code_version)
    row = _FIRST if tally.state is None else TRANSITIONS[tally.state]
    tally.state = row.get(event.type, tally.state)
    if event.type == "module.started":
        tally.modules.add(str(body_of(event).get("module", "")))
    elif event.type == "module.iterated":
        tally.iterations += 1


def _short(value: Any) -> str:
    if isinstance(value, list | dict):
        return f"[{len(value)}]" if isinstance(value, list) else f"{{{len(value)}}}"
    # Only the beginning is looked at: a value may be megabytes.
    return shortened(" ".join(str(value)[: 4 * LONGEST_VALUE].split()), LONGEST_VALUE)
