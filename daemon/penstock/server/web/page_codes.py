"""The codes by which a browser is let in: each is good once, and for a moment.

One stands in the address that a browser is started with, where other programs can see it. What they
see is worth nothing once the page has used it.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field

import trio

from penstock.words.errors import Unauthorised

#: Bytes of randomness: who may guess for a minute guesses none.
CODE_BYTES = 24


@dataclass(eq=False, slots=True)
class PageCodes:
    """The codes that nobody has used yet: `most` of them, the oldest go first; each for `seconds`."""

    seconds: float
    most: int
    #: By code, in the order in which they were made: when it ends.
    _ends: dict[str, float] = field(default_factory=dict, repr=False)

    def make(self) -> str:
        """A code that nobody has seen."""
        if len(self._ends) >= self.most:
            del self._ends[next(iter(self._ends))]
        code = secrets.token_urlsafe(CODE_BYTES)
        self._ends[code] = trio.current_time() + self.seconds
        return code

    def use(self, code: str) -> None:
        """Use it up. Unauthorised if it was used before, is too old, or never was one."""
        if self._ends.pop(code, 0.0) <= trio.current_time():
            why = "this code was used, or is too old: `penstock open` makes another"
            raise Unauthorised(why)
