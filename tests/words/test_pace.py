"""PT-04: pieces come at once while a run has had few, and the fewer are left the rarer and larger."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from penstock.words.batching import LARGEST_PIECE, Pace

PACE = Pace(shortest=0.1, smallest_bytes=64 * 1024)
AGES = st.floats(0, 30 * 86400.0)
COUNTS = st.integers(0, 200_000)


def test_a_young_run_is_seen_at_once() -> None:
    """PT-04, QA-04: and its pieces are small."""
    assert PACE.seconds(0.0, PACE.at_once // 2, 0) == 0.1
    assert PACE.piece_bytes(0.0, 0, 0) == 64 * 1024
    assert PACE.turns(0.0, 0) == PACE.most_turns


def test_a_run_that_has_had_all_waits_until_it_may_have_another() -> None:
    """PT-04: what comes then comes no faster than its days give."""
    assert PACE.seconds(0.0, PACE.at_once, 0) == 86400 / PACE.a_day
    assert PACE.piece_bytes(0.0, PACE.at_once, 0) == LARGEST_PIECE
    assert PACE.turns(0.0, PACE.at_once) == 2


@given(AGES, COUNTS, COUNTS, st.integers(0, 1 << 40))
def test_the_more_a_run_has_had_the_rarer_its_pieces(
    age: float, sent: int, more: int, recorded: int
) -> None:
    """PT-04: and the older it is, the more often they come; within bounds always."""
    seconds = PACE.seconds(age, sent, recorded)
    assert PACE.shortest <= seconds <= 86400 / PACE.a_day
    assert PACE.seconds(age, sent + more, recorded) >= seconds
    assert PACE.seconds(age + 86400, sent, recorded) <= seconds
    size = PACE.piece_bytes(age, sent, recorded)
    assert PACE.smallest_bytes <= size <= LARGEST_PIECE
    assert PACE.piece_bytes(age, sent + more, recorded) >= size


@given(AGES, COUNTS, st.integers(0, 1 << 40))
def test_pieces_and_bytes_are_spent_each_for_itself(
    age: float, sent: int, recorded: int
) -> None:
    """PT-04"""
    pieces = sent >= PACE.at_once + PACE.a_day * age / 86400
    printed = recorded >= PACE.bytes_at_once + PACE.bytes_a_second * age
    assert PACE.spent(age, sent, recorded) == (pieces or printed)
