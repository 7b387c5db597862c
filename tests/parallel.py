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

        # Only workers collect, so here the mark is known by its text.
        @cache
        def is_alone(module: str) -> bool:
            return "pytest.mark.alone" in (config.rootpath / module).read_text()

        self.is_alone = is_alone

    def _split_scope(self, nodeid: str) -> str:
        module = nodeid.partition("::")[0]
        return ALONE if self.is_alone(module) else module

    def _assign_work_unit(self, node: Any) -> None:
        if next(iter(self.workqueue)) == ALONE:
            self.workqueue.move_to_end(ALONE)
            if len(self.workqueue) == 1 and self._others_work(node):
                return
        super()._assign_work_unit(node)

    def _reschedule(self, node: Any) -> None:
        if list(self.workqueue) != [ALONE]:
            super()._reschedule(node)
            return
        staying = [other for other in self.nodes if not other.shutting_down]
        # A worker keeps its last test until it is given more or told to end; so all but one are told.
        for other in staying[1:]:
            other.shutdown()
        if staying and not self._others_work(staying[0]):
            self._assign_work_unit(staying[0])

    def _others_work(self, node: Any) -> bool:
        others = (other for other in self.nodes if other is not node)
        return any(self._pending_of(self.assigned_work[other]) for other in others)
