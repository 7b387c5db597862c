"""Failures that somebody has seen: they need nobody any more, on no screen and at no box.

That is in the log as long as the run is; whether a failure is news is a matter of minutes, so of these a
daemon keeps the newest in mind.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from penstock.words.run_id import MOST_DISMISSED


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

    def discard(self, run_id: str) -> None:
        """A run of this id is another by now."""
        self._ids.pop(run_id, None)
