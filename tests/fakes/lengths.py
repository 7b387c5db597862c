"""How much the tests of much do: what finds the same faults, or with PENSTOCK_TEST_LONG=1 all of it."""

from __future__ import annotations

import os
from typing import TypeVar

T = TypeVar("T")

LONG = bool(os.environ.get("PENSTOCK_TEST_LONG"))


def length(usual: T, long: T) -> T:
    """`long` in the runs of `make test-long`; whatever else runs the tests has the `usual` length."""
    return long if LONG else usual
