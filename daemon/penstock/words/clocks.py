"""Vector clocks: who knew what when.

The rule is that of Fidge (1988) and Mattern (1989), with one deliberate exception: an empty clock
carries no causal knowledge, so it precedes nothing and is concurrent with everything. A clock is a
plain mapping of process id to count; an absent process counts as 0.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Clock = Mapping[str, int]

#: Counts are kept as signed 64-bit integers by every store.
LARGEST_COUNT = 2**63 - 1


def check_clock(value: Any) -> dict[str, int]:
    """A copy of `value` if it is a clock; ValueError says which entry is not."""
    if not isinstance(value, Mapping):
        raise ValueError("a clock is an object of process id to count")
    for process, count in value.items():
        if not isinstance(process, str):
            raise ValueError("a clock's process ids are strings")
        if isinstance(count, bool) or not isinstance(count, int):
            raise ValueError(f"the count of {process!r} must be an integer")
        if not 0 <= count <= LARGEST_COUNT:
            raise ValueError(f"the count of {process!r} must be from 0 to 2^63-1")
    return dict(value)


def tick(clock: Clock, process: str) -> dict[str, int]:
    """A new clock in which `process` counts one more. OverflowError at 2^63-1."""
    return {**clock, process: next_count(clock.get(process, 0), process)}


def next_count(count: int, process: str) -> int:
    """One more. OverflowError at 2^63-1."""
    if count >= LARGEST_COUNT:
        raise OverflowError(f"the count of {process!r} is at its largest")
    return count + 1


def merge(one: Clock, other: Clock) -> dict[str, int]:
    """The maximum per process over both clocks."""
    merged = dict(one)
    for process, count in other.items():
        if count > merged.get(process, -1):
            merged[process] = count
    return merged


def happens_before(one: Clock, other: Clock) -> bool:
    """Whether everything `one` knows, `other` knew too, and something more."""
    if not one or not other:
        return False
    processes = one.keys() | other.keys()
    return all(one.get(p, 0) <= other.get(p, 0) for p in processes) and any(
        one.get(p, 0) < other.get(p, 0) for p in processes
    )


def concurrent(one: Clock, other: Clock) -> bool:
    """Whether neither precedes the other; true of equal and of empty clocks."""
    return not happens_before(one, other) and not happens_before(other, one)
