"""The one grammar for choosing runs, on every surface.

    state:failed prio:high kind:command label:k="v w" group:g box:NAME parent:ID word !word "two words"

The same key twice means either value (labels: both); different keys must all hold. Words are looked
for in run id, kind, state, labels and command line, without case. What stands in quotes is always a
word; after a key quotes hold a value with spaces together.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from penstock.words.errors import Refused
from penstock.words.lifecycle import OPEN_STATES, TERMINAL_STATES
from penstock.words.near_words import did_you_mean
from penstock.words.priority import parse_priority
from penstock.words.run_id import check_run_id
from penstock.words.sentences import about

KEYS = ("state", "prio", "kind", "label", "group", "box", "parent")

#: Every word is one more comparison per run; a filter written by a person is far shorter.
LONGEST_FILTER = 1000

# Two names that stand for several states.
_STATES: dict[str, frozenset[str]] = {
    **{state: frozenset({state}) for state in (*OPEN_STATES, *TERMINAL_STATES)},
    "open": frozenset(OPEN_STATES),
    "ended": frozenset(TERMINAL_STATES),
}
_TERM = re.compile(r'(!?)"([^"]*)"(?!\S)|([a-z]+:[^\s"]*"[^"]*"(?!\S)|\S+)')


@dataclass(frozen=True, slots=True)
class RunFilter:
    """Which runs a list wants: all that is given must hold; `without` words must not occur.

    Words are looked for in run id, kind, state, labels and command line, without case.
    """

    states: frozenset[str] = frozenset()
    kinds: frozenset[str] = frozenset()
    priorities: frozenset[int] = frozenset()
    groups: frozenset[str] = frozenset()
    #: Boxes that execute them, or did last.
    boxes: frozenset[str] = frozenset()
    parents: frozenset[str] = frozenset()
    labels: Mapping[str, str] = field(default_factory=dict)
    words: tuple[str, ...] = ()
    without: tuple[str, ...] = ()
    #: Only the run of this number; only runs whose ids begin so ("": all).
    number: int | None = None
    begins: str = ""
    #: Only runs that are no child of another; only those that no run is a retry of.
    top: bool = False
    untried: bool = False
    #: Only runs whose place is below this one (paging, newest first).
    before: int | None = None
    #: Only runs whose place is above this one: how far back is searched.
    above: int = 0
    limit: int = 100


class RowLike(Protocol):
    """Whatever a client shows as one run."""

    @property
    def run_id(self) -> str: ...
    @property
    def kind(self) -> str: ...
    @property
    def state(self) -> str: ...
    @property
    def priority(self) -> int | str: ...
    @property
    def group(self) -> str | None: ...
    @property
    def box(self) -> str: ...
    @property
    def parent_id(self) -> str | None: ...
    @property
    def labels(self) -> Mapping[str, str]: ...
    @property
    def inputs(self) -> Mapping[str, Any]: ...


def parse_filter(
    text: str, *, before: int | None = None, limit: int = 100
) -> RunFilter:
    """The filter that `text` writes. Refused("q") names the term that does not fit."""
    if len(text) > LONGEST_FILTER:
        raise Refused("q", f"must have at most {LONGEST_FILTER} characters")
    found: dict[str, set[str]] = {key: set() for key in KEYS}
    priorities: set[int] = set()
    labels: dict[str, str] = {}
    words: list[str] = []
    without: list[str] = []
    for key, value, term in _terms(text):
        if key == "prio":
            priorities.add(_priority(value, term))
        elif key == "label":
            _add_label(labels, value, term)
        elif key == "state":
            found["state"] |= _states(value, term)
        elif key in found:
            found[key].add(_id(value, term) if key == "parent" else value)
        else:
            (without if key == "!" else words).append(value)
    return RunFilter(
        states=frozenset(found["state"]),
        kinds=frozenset(found["kind"]),
        priorities=frozenset(priorities),
        groups=frozenset(found["group"]),
        boxes=frozenset(found["box"]),
        parents=frozenset(found["parent"]),
        labels=labels,
        words=tuple(words),
        without=tuple(without),
        before=before,
        limit=limit,
    )


def matches(wanted: RunFilter, row: RowLike) -> bool:
    """Whether a run is wanted; `before` and `limit` are about pages and are not looked at."""
    return (
        (not wanted.states or row.state in wanted.states)
        and (not wanted.kinds or row.kind in wanted.kinds)
        and (not wanted.priorities or parse_priority(row.priority) in wanted.priorities)
        and (not wanted.groups or row.group in wanted.groups)
        and (not wanted.boxes or row.box in wanted.boxes)
        and (not wanted.parents or row.parent_id in wanted.parents)
        and all(row.labels.get(key) == value for key, value in wanted.labels.items())
        and all(_occurs(word, row) for word in wanted.words)
        and not any(_occurs(word, row) for word in wanted.without)
    )


def _terms(text: str) -> Iterator[tuple[str, str, str]]:
    """Key ("" for a word, "!" for a word that must not occur), value, and the term as written."""
    for match in _TERM.finditer(text):
        bang, quoted, bare = match.groups()
        term = match.group()
        if bare is None:
            key, value = bang, quoted
        elif bare.startswith("!"):
            key, value = "!", bare[1:]
        elif ":" in bare:
            key, value = bare.split(":", 1)
            key = "prio" if key == "priority" else key
            if value.endswith('"') and value.count('"') == 2:
                value = value.replace('"', "")
        else:
            key, value = "", bare
        if key not in ("", "!", *KEYS):
            hint = did_you_mean(key, KEYS)
            known = f"the keys are {', '.join(KEYS)}; quote it to look for the text"
            raise _refused(term, known + hint)
        if (
            key == "!"
            and bare is not None
            and value.split(":", 1)[0] in KEYS
            and ":" in value
        ):
            raise _refused(term, "only words can be excluded, as in !failed")
        if not value.strip():
            raise _refused(term, "nothing is looked for")
        yield key, value, term


def _states(value: str, term: str) -> frozenset[str]:
    if value not in _STATES:
        hint = did_you_mean(value, _STATES)
        raise _refused(term, f"the states are {', '.join(_STATES)}{hint}")
    return _STATES[value]


def _priority(value: str, term: str) -> int:
    try:
        return parse_priority(int(value) if value.isdecimal() else value)
    except Refused as error:
        raise _refused(term, str(error)) from None


def _add_label(labels: dict[str, str], value: str, term: str) -> None:
    key, equals, label = value.partition("=")
    if not key or not equals:
        raise _refused(term, "a label is written label:KEY=VALUE")
    if labels.setdefault(key, label) != label:
        raise _refused(
            term, f"a run has one label {key!r}, and another value was asked for"
        )


def _id(value: str, term: str) -> str:
    try:
        return check_run_id(value)
    except ValueError as error:
        raise _refused(term, str(error)) from None


def _refused(term: str, why: str) -> Refused:
    return Refused("q", f"{term!r}: {why}", term=term, keys=list(KEYS))


def _occurs(word: str, row: RowLike) -> bool:
    wanted = word.casefold()
    labels = (*row.labels, *row.labels.values())
    texts = (row.run_id, row.kind, row.state, *labels, about(row.inputs))
    return any(wanted in text.casefold() for text in texts)
