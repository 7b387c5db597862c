"""How long to wait before something that failed is tried again. Values in, values out."""

from __future__ import annotations

#: Beyond so many doublings every limit holds anyway, and the number would have no float.
MOST_DOUBLINGS = 64


def backoff(failed: int, first: float, longest: float) -> float:
    """Seconds until the next try: `first` after one failure, doubled for each further one, up to `longest`."""
    return min(first * 2.0 ** min(max(failed - 1, 0), MOST_DOUBLINGS), longest)
