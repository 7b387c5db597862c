"""Which of the numbers of a test at random belong to the fast suite."""

from __future__ import annotations

from collections.abc import Iterable

import pytest
from _pytest.mark import ParameterSet


def some_fast(numbers: Iterable[int], fast: int) -> list[ParameterSet]:
    """All of them for the whole suite, and the first `fast` for the fast one as well.

    Each number is as good as another: a few tell at once what breaks most stories, and the others are
    there for what breaks only one of them.
    """
    return [
        pytest.param(number, marks=[pytest.mark.slow] if place >= fast else [])
        for place, number in enumerate(numbers)
    ]
