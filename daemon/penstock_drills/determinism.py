"""Trio's choices by number, so that a story that broke a law can be told again.

The two private names of Trio have a contract test.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import trio


@contextmanager
def deterministic(seed: int) -> Iterator[None]:
    """Let Trio choose by this number which task goes on; as before afterwards."""
    run: Any = trio._core._run
    allowed, state = run._ALLOW_DETERMINISTIC_SCHEDULING, run._r.getstate()
    run._ALLOW_DETERMINISTIC_SCHEDULING = True
    run._r.seed(seed)
    try:
        yield
    finally:
        run._ALLOW_DETERMINISTIC_SCHEDULING = allowed
        run._r.setstate(state)
