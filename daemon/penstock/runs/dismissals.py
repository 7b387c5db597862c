"""Failures that somebody has seen: they need nobody any more, on no screen and on no other one.

Whether a failure is news is a matter of minutes, and no fact of the run; so this is kept as long as the
daemon lives, and bounded.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

#: Ids that are kept, the newest: more failures than anybody looks through in a quarter of an hour.
MOST_DISMISSED = 2000


@dataclass(eq=False, slots=True)
class Dismissals:
    """The ids, in the order in which they came."""

    _ids: dict[str, None] = field(default_factory=dict)

    @property
    def run_ids(self) -> tuple[str, ...]:
        """Whose failures were dismissed, the newest last."""
        return tuple(self._ids)

    def add(self, run_ids: Iterable[str]) -> None:
        """These need nobody any more."""
        for run_id in run_ids:
            self._ids.pop(run_id, None)
            self._ids[run_id] = None
        for run_id in list(self._ids)[:-MOST_DISMISSED]:
            del self._ids[run_id]
