"""What changed between two texts, as a unified diff, in time that grows with them and no faster.

Agents tell both texts whole, and an agent may send anything: the usual algorithm takes minutes for two
texts of a few megabytes that were made for it. So lines that both texts have once are found first, in
their order, and what stands between two of them is told as it was and as it is.
"""

from __future__ import annotations

import json
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import NamedTuple

#: Lines that are told before and after a change.
CONTEXT_LINES = 3
#: How often lines are looked for that are alike once more between two that are.
_DEEPEST = 4


class _Change(NamedTuple):
    """Lines `old_from` to `old_to` of the one text became lines `new_from` to `new_to` of the other."""

    old_from: int
    old_to: int
    new_from: int
    new_to: int


def unified_diff(old: str, new: str, path: str) -> str:
    """The diff as `git apply` takes it; `old` of "" is a file that was not there."""
    before, after = _lines(old), _lines(new)
    changes = list(_changes(before, after, _Change(0, len(before), 0, len(after)), 0))
    if not changes:
        return ""
    names = [_name("a", path, before), _name("b", path, after)]
    told = [f"--- {names[0]}\n+++ {names[1]}\n"]
    told += [_hunk(before, after, hunk) for hunk in _hunks(changes)]
    return "".join(told)


def _lines(text: str) -> list[str]:
    """Lines with their ends, which are newlines and nothing else, as git has them."""
    lines = [line + "\n" for line in text.split("\n")]
    lines[-1] = lines[-1][:-1]
    return lines if lines[-1] else lines[:-1]


def _name(side: str, path: str, lines: Sequence[str]) -> str:
    """The name of a file, quoted where it would not be one word of one line."""
    if not lines:
        return "/dev/null"
    name = f"{side}/{path}"
    return name if name.isprintable() and '"' not in name else json.dumps(name)


def _changes(
    old: Sequence[str], new: Sequence[str], span: _Change, depth: int
) -> Iterator[_Change]:
    """What changed within a span, in order."""
    a, b, c, d = span
    while a < b and c < d and old[a] == new[c]:
        a, c = a + 1, c + 1
    while a < b and c < d and old[b - 1] == new[d - 1]:
        b, d = b - 1, d - 1
    if a == b and c == d:
        return
    alike = _alike(old, new, _Change(a, b, c, d)) if depth < _DEEPEST else []
    if not alike:
        yield _Change(a, b, c, d)
        return
    for one, other in (*alike, (b, d)):
        yield from _changes(old, new, _Change(a, one, c, other), depth + 1)
        a, c = one, other


def _alike(
    old: Sequence[str], new: Sequence[str], span: _Change
) -> list[tuple[int, int]]:
    """Places of lines that each text has once in the span, as many as stand in the same order."""
    counts = Counter(old[span.old_from : span.old_to])
    counted = Counter(new[span.new_from : span.new_to])
    places = {
        new[k]: k for k in range(span.new_from, span.new_to) if counted[new[k]] == 1
    }
    pairs = [
        (k, places[old[k]])
        for k in range(span.old_from, span.old_to)
        if old[k] in places and counts[old[k]] == 1
    ]
    return _in_order(pairs)


def _in_order(pairs: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """The longest part of the pairs whose second numbers rise; their first ones do."""
    ends: list[int] = []
    at: list[int] = []
    before: list[int | None] = []
    for k, (_, place) in enumerate(pairs):
        length = bisect_left(ends, place)
        # The place after the last is made where it is needed.
        ends[length : length + 1], at[length : length + 1] = [place], [k]
        before.append(at[length - 1] if length else None)
    chosen = []
    last: int | None = at[-1] if at else None
    while last is not None:
        chosen.append(pairs[last])
        last = before[last]
    return chosen[::-1]


def _hunks(changes: Sequence[_Change]) -> Iterator[list[_Change]]:
    """Changes that stand so near that their context would overlap."""
    hunk: list[_Change] = []
    for change in changes:
        if hunk and change.old_from - hunk[-1].old_to > 2 * CONTEXT_LINES:
            yield hunk
            hunk = []
        hunk.append(change)
    if hunk:
        yield hunk


def _hunk(old: Sequence[str], new: Sequence[str], changes: Sequence[_Change]) -> str:
    first, last = changes[0], changes[-1]
    lead = min(CONTEXT_LINES, first.old_from)
    tail = min(CONTEXT_LINES, len(old) - last.old_to)
    told: list[str] = []
    place = first.old_from - lead
    for change in changes:
        told += [_line(" ", text) for text in old[place : change.old_from]]
        told += [_line("-", text) for text in old[change.old_from : change.old_to]]
        told += [_line("+", text) for text in new[change.new_from : change.new_to]]
        place = change.old_to
    told += [_line(" ", text) for text in old[place : place + tail]]
    was = _range(first.old_from - lead, last.old_to + tail)
    now = _range(first.new_from - lead, last.new_to + tail)
    return f"@@ -{was} +{now} @@\n" + "".join(told)


def _range(start: int, end: int) -> str:
    """As unified diffs count: from 1, and from 0 where there is nothing."""
    return f"{start + 1 if end > start else start},{end - start}"


def _line(mark: str, text: str) -> str:
    if text.endswith("\n"):
        return mark + text
    return f"{mark}{text}\n\\ No newline at end of file\n"
