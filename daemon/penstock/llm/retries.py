"""Whether a failed request is tried again, and when. Pure."""

from __future__ import annotations

from penstock.llm.chat import RequestRefused, StreamBroken
from penstock.words.errors import ModelFailed

#: Seconds before the second try; doubled for each further one.
FIRST_PAUSE = 0.5

#: Statuses by which a server says "not now" rather than "not like this".
PASSING = frozenset({408, 425, 429, 500, 502, 503, 504, 529})


def pause_before_retry(
    error: ModelFailed, *, failed: int, retries: int, longest: float
) -> float | None:
    """Seconds until the next try after `failed` tries; None if there is none.

    A server's `Retry-After` counts, unless it is longer than `longest` seconds. A server that is
    absent is not tried again: its run fails within the connect timeout.
    """
    if failed > retries:
        return None
    pause = FIRST_PAUSE * 2 ** (failed - 1)
    if isinstance(error, RequestRefused):
        if error.status not in PASSING:
            return None
        pause = pause if error.retry_after is None else error.retry_after
    elif not isinstance(error, StreamBroken):
        return None
    return pause if pause <= longest else None


def is_overflow(error: RequestRefused) -> bool:
    """Whether the server says that the prompt exceeds the model's window.

    There is no common code for it; every known server uses the word.
    """
    return error.status in (400, 413) and "context" in str(error).lower()
