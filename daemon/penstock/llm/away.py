"""When a model server counts as away, and how a run waits for it. Values in, values out."""

from __future__ import annotations

from dataclasses import dataclass

from penstock.llm.chat import ModelStopped, RequestRefused, StreamBroken
from penstock.words.backoff import backoff
from penstock.words.errors import ModelFailed, ModelUnreachable

#: Statuses by which a server says "not now" rather than "not like this".
PASSING = frozenset({408, 425, 429, 500, 502, 503, 504, 529})

#: Those of them that pass with a server, and not with the next request: a server that loads its model
#: answers 503, a proxy before one that is restarted 502 or 504.
AWAY = frozenset({429, 502, 503, 504, 529})

#: Seconds before a server that is away is looked at the first time; doubled for each further time.
FIRST_LOOK = 1.0
#: Seconds to which these pauses grow: who starts a server wants it used soon.
LONGEST_LOOK = 30.0

#: Characters of the reason with which a run waits.
LONGEST_REASON = 300


def is_away(error: ModelFailed, longest_pause: float) -> bool:
    """Whether to wait for the server helps: it is absent, loading, restarting or broke off.

    One that asks for more than the longest pause is not waited for.
    """
    if isinstance(error, RequestRefused):
        asked = error.retry_after
        return error.status in AWAY and (asked is None or asked <= longest_pause)
    if isinstance(error, ModelStopped):
        return False
    return isinstance(error, ModelUnreachable | StreamBroken)


def pause_before_look(looked: int) -> float:
    """Seconds until a server that is away is looked at, after so many looks."""
    return backoff(looked + 1, FIRST_LOOK, LONGEST_LOOK)


@dataclass(slots=True)
class Patience:
    """How long one question waits for its server in all; an answer gives all of it back.

    Only waiting counts: an answer that breaks off late, or a slot that is long in coming, uses up none.
    """

    seconds: float
    waited: float = 0.0
    looked: int = 0

    @property
    def left(self) -> float:
        """Seconds that are left."""
        return self.seconds - self.waited

    def restore(self) -> None:
        """The server has answered."""
        self.waited, self.looked = 0.0, 0
