"""The keys of pages: what lets a page in that a browser opened, and what it may ask then.

A browser shows the address of a page to histories and to other programs, and a page runs in it beside
what the user installed there. So a page never has the token. Its key ends by itself, and whoever got
hold of one could look, answer and cancel, but start nothing.
"""

from __future__ import annotations

import hashlib
import hmac
import math
import re
import time
from collections.abc import Callable
from dataclasses import dataclass, field

#: What a page asks for, by method: rows, states and their reasons, what was printed, questions, and streams of events.
_ALLOWED = {
    "GET": re.compile(r"/runs|/runs/[^/]+(/output|/why|/events)?|/asks|/dismissals|/boxes|/queue|/ws(/[^/]+)?"),
    "POST": re.compile(r"/why|/runs/[^/]+/(cancel|asks/[^/]+)"),
}  # fmt: skip
#: The last second that a key can name, some thirty thousand years from now.
LATEST = 10**12 - 1
_KEY = re.compile(r"page\.([0-9]{1,12})\.[0-9a-f]{64}")


def page_may_ask(method: str, path: str) -> bool:
    """Whether the key of a page is enough for such a request."""
    allowed = _ALLOWED.get("GET" if method == "HEAD" else method)
    return allowed is not None and allowed.fullmatch(path) is not None


@dataclass(frozen=True, slots=True)
class PageKeys:
    """Keys are made of the token and hold for `seconds`, so none is kept: they outlive the daemon's
    restart, and end with the token. `now` is the time of day, in seconds.
    """

    token: str = field(repr=False)
    seconds: float
    now: Callable[[], float] = time.time

    def make(self) -> str:
        """A key that holds from now on."""
        until = math.ceil(self.now() + self.seconds)
        return self._sign(min(until, LATEST))

    def admits(self, key: str, method: str, path: str) -> bool:
        """Whether this key is good for this request; takes the same time however much of it is right."""
        told = _KEY.fullmatch(key)
        if told is None or not page_may_ask(method, path):
            return False
        until = int(told[1])
        # One whose end is further off than any that is made now was made by another clock.
        holds = self.now() < until <= self.now() + self.seconds + 1
        return hmac.compare_digest(key, self._sign(until)) and holds

    def seconds_left(self, key: str) -> float:
        """How long a key that was admitted is good from now on."""
        told = _KEY.fullmatch(key)
        return int(told[1]) - self.now() if told is not None else 0.0

    def _sign(self, until: int) -> str:
        said = f"the key of a page, until {until}"
        digest = hmac.new(self.token.encode(), said.encode(), hashlib.sha256)
        return f"page.{until}.{digest.hexdigest()}"
