"""Pausing, resuming and draining the queue, or one group of it.

A pause is a recorded fact and outlives the daemon: nothing starts, while submits queue up and what
executes goes on. A drain is the present daemon's alone: nothing new is taken in, and what is there
goes on to its end.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from datetime import datetime

import trio

from penstock.log.projections import RunView
from penstock.log.recorder import Recorder
from penstock.log.writes import SetPause
from penstock.runs.table import RunTable
from penstock.words.errors import Conflict, Refused, ShuttingDown
from penstock.words.lifecycle import QUEUED_STATES


@dataclass(eq=False, slots=True)
class Pausing:
    """See the module's text. A group of None is the whole queue."""

    table: RunTable
    recorder: Recorder
    groups: Collection[str]
    now: Callable[[], datetime]
    #: What is drained: new runs of it are refused.
    draining: set[str | None] = field(default_factory=set)
    _waiting: dict[trio.CancelScope, str | None] = field(default_factory=dict)

    async def pause(self, group: str | None, reason: str) -> None:
        """Start nothing more of it. Twice is once; Refused for an unknown group."""
        self._check(group)
        await self.recorder.decide(SetPause(True, self.now(), group, reason))

    async def resume(self, group: str | None) -> None:
        """Start, and take in, what belongs to it again; ends a drain too."""
        if group not in self.table.paused:
            # A paused group may have gone from the configuration since.
            self._check(group)
        self.draining.discard(group)
        for scope, waited_for in self._waiting.items():
            if waited_for == group:
                scope.cancel(reason="resumed")
        await self.recorder.decide(SetPause(False, self.now(), group))

    def drain(self, group: str | None) -> None:
        """Take nothing new in until `resume`. Conflict if what is queued could never start."""
        self._check(group)
        held = [name for name in (None, group) if name in self.table.paused]
        if held and any(v.state in QUEUED_STATES for v in self._open(group)):
            raise Conflict(
                f"{name_of(held[0])} is paused, and runs are queued: resume it first"
            )
        self.draining.add(group)

    async def wait_drained(self, group: str | None) -> None:
        """Wait until none of its runs is open. ShuttingDown if the daemon stops first.

        Returns also when the drain was ended by `resume`.
        """
        with trio.CancelScope() as scope:
            self._waiting[scope] = group
            try:
                while group in self.draining and self._open(group):
                    if self.table.stopping:
                        raise ShuttingDown("the daemon stops; what is queued is kept")
                    await self.table.bus.wait_published(None)
            finally:
                del self._waiting[scope]

    def drained(self, group: str | None) -> str | None:
        """Why a new run of this group is refused now, if it is."""
        for name in (None, group):
            if name in self.draining:
                return (
                    f"{name_of(name)} is drained and takes no new runs until `resume`"
                )
        return None

    def _open(self, group: str | None) -> list[RunView]:
        views = self.table.views.values()
        return [v for v in views if group is None or v.group == group]

    def _check(self, group: str | None) -> None:
        if group is not None and group not in self.groups:
            raise Refused("group", f"the configuration has no group {group!r}")


def name_of(group: str | None) -> str:
    """What is meant, in a sentence."""
    return "the queue" if group is None else f"the group {group!r}"
