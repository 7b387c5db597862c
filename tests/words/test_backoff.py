"""How long to wait before another try: the one rule of all that tries again."""

from __future__ import annotations

import math

from penstock.words.backoff import backoff


def test_pauses_double_up_to_the_longest() -> None:
    """DU-04 DT-04: however often it failed, and whatever the limit."""
    assert [backoff(failed, 0.5, 3.0) for failed in range(1, 6)] == [0.5, 1, 2, 3, 3]
    assert backoff(10**9, 1.0, 60.0) == 60.0
    assert backoff(10**9, 1.0, math.inf) == 2.0**64
    assert backoff(0, 1.0, 60.0) == 1.0
    assert backoff(7, 0.0, 60.0) == 0.0
