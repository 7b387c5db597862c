"""Who runs which tests when several processes do."""

from __future__ import annotations

from functools import cache
from typing import Any

import pytest
from xdist.scheduler import LoadScopeScheduling  # type: ignore[import-untyped]

#: What is run last, as one unit of work.
ALONE = "alone"


class Scheduling(LoadScopeScheduling):  # type: ignore[misc]
    """Module by module; at last, on one worker and with no other at work, what must be alone."""

    def __init__(self, config: pytest.Config, log: Any) -> None:
        super().__init__(config, log)
        # As they were collected, which is what takes long first; xdist would begin with the modules of
        # the most tests.
        config.option.loadscopereorder = False

        # Only workers collect, so here the mark is known by its text.
        @cache
        def is_alone(module: str) -> bool:
            return "pytest.mark.alone" in (config.rootpath / module).read_text()

        self.is_alone = is_alone

    def _split_scope(self, nodeid: str) -> str:
        module = nodeid.partition("::")[0]
        return ALONE if self.is_alone(module) else module

    def schedule(self) -> None:
        """Begin, or let one that takes a lost worker's place begin."""
        begun = self.collection is not None
        super().schedule()
        if begun:
            # As xdist does at the beginning: a worker keeps its last test until it is given more, and what
            # a lost one has left may be no more than one.
            super().schedule()

    def _assign_work_unit(self, node: Any) -> None:
        if next(iter(self.workqueue)) == ALONE:
            self.workqueue.move_to_end(ALONE)
            if len(self.workqueue) == 1 and self._others_work(node):
                return
        super()._assign_work_unit(node)

    def _reschedule(self, node: Any) -> None:
        if list(self.workqueue) != [ALONE]:
            if self._is_ready(node):
                super()._reschedule(node)
            return
        staying = [
            other
            for other in self.nodes
            if not other.shutting_down and self._is_ready(other)
        ]
        # A worker keeps its last test until it is given more or told to end; so all but one are told.
        for other in staying[1:]:
            other.shutdown()
        if staying and not self._others_work(staying[0]):
            self._assign_work_unit(staying[0])

    def remove_node(self, node: Any) -> str | None:
        """A worker is gone: the test that ended it, if one did, which is not run again.

        xdist runs it again, and ends another worker; and it hands out what was finished as well, which
        no worker has anything to say of, so that all wait for each other for ever.
        """
        units = self.assigned_work.pop(node)
        left = {
            scope: unit
            for scope, tests in units.items()
            if (unit := _unfinished(tests))
        }
        if not left:
            return None
        scope, unit = next(iter(left.items()))
        crashed = next(iter(unit))
        del unit[crashed]
        if not unit:
            del left[scope]
        self.workqueue.update(left)
        for other in self.nodes:
            self._reschedule(other)
        return crashed

    def _is_ready(self, node: Any) -> bool:
        """Whether it has said what it can run; one that takes a lost worker's place does so later."""
        return node in self.registered_collections

    def _others_work(self, node: Any) -> bool:
        others = (other for other in self.nodes if other is not node)
        return any(self._pending_of(self.assigned_work[other]) for other in others)


def _unfinished(tests: dict[str, bool]) -> dict[str, bool]:
    return {test: done for test, done in tests.items() if not done}
