"""The types of the events that end a run, for whoever must know when a story is over and no more."""

from __future__ import annotations

TERMINAL_TYPES = frozenset({"run.completed", "run.failed", "run.cancelled"})
