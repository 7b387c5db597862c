"""VC: the vector clock, by example and by property."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.words.clocks import (
    LARGEST_COUNT,
    check_clock,
    concurrent,
    happens_before,
    merge,
    tick,
)

clocks = st.dictionaries(
    st.sampled_from(["a", "b", "c"]), st.integers(0, 3), max_size=3
)
process_ids = st.sampled_from(["a", "b", "c", "d"])


@given(clocks, process_ids)
def test_tick_adds_one_to_its_own_process_and_leaves_the_rest(
    clock: dict[str, int], process: str
) -> None:
    """VC-01"""
    before = dict(clock)
    ticked = tick(clock, process)
    assert ticked == {**clock, process: clock.get(process, 0) + 1}
    assert clock == before
    assert ticked is not clock


@given(clocks, clocks, clocks)
def test_merge_is_commutative_associative_and_idempotent(
    a: dict[str, int], b: dict[str, int], c: dict[str, int]
) -> None:
    """VC-02"""
    assert merge(a, b) == merge(b, a)
    assert merge(a, merge(b, c)) == merge(merge(a, b), c)
    assert merge(a, a) == a


@given(clocks, clocks)
def test_merge_is_the_maximum_over_the_union(
    a: dict[str, int], b: dict[str, int]
) -> None:
    """VC-02, VC-07: no process is lost, and a shared id takes the larger count."""
    expected = {p: max(a.get(p, 0), b.get(p, 0)) for p in a.keys() | b.keys()}
    assert merge(a, b) == expected


def test_merge_example() -> None:
    """VC-02"""
    assert merge({"p1": 5}, {"p1": 3, "p2": 1}) == {"p1": 5, "p2": 1}
    assert merge({}, {}) == {}


CAUSAL = [
    ({"p1": 1}, {"p1": 2}),
    ({"p1": 1}, {"p1": 1, "p2": 1}),
    ({"p1": 3}, {"p1": 5}),
    ({"p1": 0}, {"p1": 1}),
]
CONCURRENT = [
    ({"p1": 1}, {"p2": 1}),
    ({"p1": 2, "p2": 1}, {"p1": 1, "p2": 2}),
    ({"p1": 1}, {"p1": 1}),
    ({}, {"p1": 1}),
    ({"p1": 1}, {}),
    ({}, {}),
]


@pytest.mark.parametrize(("one", "other"), CAUSAL)
def test_the_smaller_clock_precedes_the_larger_and_not_the_reverse(
    one: dict[str, int], other: dict[str, int]
) -> None:
    """VC-03, VC-04, VC-06"""
    assert happens_before(one, other)
    assert not happens_before(other, one)
    assert not concurrent(one, other)
    assert not concurrent(other, one)


@pytest.mark.parametrize(("one", "other"), CONCURRENT)
def test_clocks_without_order_are_concurrent(
    one: dict[str, int], other: dict[str, int]
) -> None:
    """VC-04, VC-05: equal clocks and the empty clock are concurrent with everything."""
    assert not happens_before(one, other)
    assert not happens_before(other, one)
    assert concurrent(one, other)
    assert concurrent(other, one)


@given(clocks, clocks, clocks)
def test_precedence_is_irreflexive_asymmetric_and_transitive(
    a: dict[str, int], b: dict[str, int], c: dict[str, int]
) -> None:
    """VC-04"""
    assert not happens_before(a, a)
    assert not (happens_before(a, b) and happens_before(b, a))
    if happens_before(a, b) and happens_before(b, c):
        assert happens_before(a, c)


@given(clocks, clocks)
def test_exactly_one_of_before_after_and_concurrent_holds(
    a: dict[str, int], b: dict[str, int]
) -> None:
    """VC-04"""
    assert [happens_before(a, b), happens_before(b, a), concurrent(a, b)].count(
        True
    ) == 1


@given(clocks, process_ids)
def test_a_clock_that_knows_something_precedes_its_own_tick(
    clock: dict[str, int], process: str
) -> None:
    """VC-01, VC-03, VC-05"""
    assert happens_before(clock, tick(clock, process)) == bool(clock)


def test_the_largest_count_is_taken_and_never_wraps() -> None:
    """VC-06"""
    assert check_clock({"p": LARGEST_COUNT}) == {"p": LARGEST_COUNT}
    with pytest.raises(OverflowError, match="'p'"):
        tick({"p": LARGEST_COUNT}, "p")


@pytest.mark.parametrize(
    "value",
    [
        [("p", 1)],
        None,
        "p",
        {1: 1},
        {"p": True},
        {"p": 1.0},
        {"p": "1"},
        {"p": None},
        {"p": -1},
        {"p": 2**63},
    ],
)
def test_what_is_not_a_clock_is_refused(value: Any) -> None:
    """EV-09, VC-06"""
    with pytest.raises(ValueError, match=r"clock|count"):
        check_clock(value)


def test_a_checked_clock_is_a_copy() -> None:
    """EV-01"""
    theirs = {"p": 1}
    ours = check_clock(theirs)
    theirs["p"] = 9
    assert ours == {"p": 1}
