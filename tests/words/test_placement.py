"""MB-16: where a run may execute, as a function of what it needs and of what a box has."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.words.placement import (
    ANY_PLACE,
    Place,
    fits,
    has_its_caller,
    in_words,
    lacking,
    may_execute,
    pinned_to,
    place_of,
    place_run,
    stays,
    stranded,
)

A = place_of("a", {"gpu": "1"}, team=False, shared=True)
TEAM = place_of("b", {}, team=True, shared=True)
ALONE = place_of("a", {}, team=False, shared=False)
names = st.sampled_from(["gpu", "os", "box"])
labels = st.dictionaries(names, st.sampled_from(["1", "2", "a"]))


@given(labels, labels)
def test_what_fits_lacks_nothing(needs: dict[str, str], has: dict[str, str]) -> None:
    """MB-16: and what lacks nothing is among what the box has."""
    assert fits(needs, has) == (not lacking(needs, has))
    assert fits(needs, has) == (needs.items() <= has.items())


def test_a_box_has_its_name_as_a_label() -> None:
    """MB-16"""
    assert A.labels == {"gpu": "1", "box": "a"}
    assert may_execute({"box": "a"}, "a", A)
    assert not may_execute({"box": "b"}, "a", A)
    assert pinned_to({"box": "b"}) == "b"
    assert pinned_to({"gpu": "1"}) is None


@pytest.mark.parametrize(
    ("origin", "place", "takes"),
    [
        ("a", A, True),
        ("b", A, False),
        ("", A, False),
        ("a", TEAM, True),
        ("", TEAM, True),
        # The log of another box, which was copied here.
        ("b", ALONE, True),
        ("", ANY_PLACE, True),
    ],
)
def test_a_box_takes_its_own_runs_or_those_of_the_team(
    origin: str, place: Place, takes: bool
) -> None:
    """MB-16: of a log that it shares with nobody, all of them."""
    assert may_execute({}, origin, place) is takes


def test_what_has_files_stays_where_they_are() -> None:
    """MB-16"""
    assert place_run({}, A, home="a", local=True) == {"box": "a"}
    assert place_run({"gpu": "1"}, A, home="a", local=True) == {"gpu": "1", "box": "a"}
    assert place_run({}, A, home="a", local=True, anywhere=True) == {}
    assert place_run({}, A, home="a") == {}
    # Who names a box is taken at the word.
    assert place_run({"box": "b"}, A, home="a", local=True) == {"box": "b"}
    # Its files may be of another box than the one that submits it.
    assert place_run({}, TEAM, home="a", local=True) == {"box": "a"}


def test_nothing_is_pinned_where_there_is_one_box() -> None:
    """MB-16: a log that is copied to another box goes on there."""
    assert place_run({}, ALONE, home="a", local=True) == {}
    assert place_run({"gpu": "1"}, ALONE, home="a", local=True) == {"gpu": "1"}


def test_a_child_needs_what_its_parent_does() -> None:
    """MB-16"""
    parent = {"gpu": "1", "box": "b"}
    assert place_run({"os": "x"}, A, home="a", parent=parent, local=True) == {
        "gpu": "1",
        "box": "b",
        "os": "x",
    }
    assert place_run({}, A, home="a", parent={}, local=True) == {"box": "a"}


def test_needs_are_told_as_they_are_typed() -> None:
    """MB-16"""
    assert in_words({"gpu": "1", "os": "linux"}) == "gpu=1, os=linux"


@pytest.mark.parametrize(
    ("needs", "place", "there"),
    [({}, ALONE, True), ({}, A, False), ({"box": "a"}, A, True), ({"box": "b"}, A, False)],
)  # fmt: skip
def test_what_is_pinned_stays_and_so_does_all_where_there_is_one_box(
    needs: dict[str, str], place: Place, there: bool
) -> None:
    """MB-16"""
    assert stays(needs, place) is there


@pytest.mark.parametrize(
    ("needs", "origin", "has"),
    [({}, "", True), ({}, "a", False), ({"box": "a"}, "a", True), ({"box": "a"}, "b", False)],
)  # fmt: skip
def test_what_a_caller_had_is_where_it_was(
    needs: dict[str, str], origin: str, has: bool
) -> None:
    """MB-16: seen from the box a, which executes it."""
    assert has_its_caller(needs, origin, "a") is has


@pytest.mark.parametrize(
    ("asked", "refused"),
    [({"gpu": "1"}, False), ({"gpu": "2"}, True), ({"gpu": "2", "box": "a"}, False), ({}, False)],
)  # fmt: skip
def test_what_stays_and_can_never_start_is_refused(
    asked: dict[str, str], refused: bool
) -> None:
    """MB-16: who names a box means it, whatever that has today."""
    needs = place_run(asked, A, home="a", local=True)
    assert (stranded(needs, asked, A) is not None) is refused
