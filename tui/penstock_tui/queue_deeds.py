"""Pausing and resuming the queue, which everybody who submits would notice: asked before it is done."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from penstock.words.errors import PenstockError
from penstock_tui.deeds import Deeds
from penstock_tui.figures import is_paused
from penstock_tui.screens.confirm import ConfirmDialog

Change = Callable[[], Awaitable[dict[str, Any]]]


class QueueDeeds(Deeds):
    """The actions on the queue, beside those on runs."""

    def action_pause_queue(self) -> None:
        if self.feed is None:
            return
        if is_paused(self.model.queue):
            self.tell("the queue is paused already")
            return
        actions = self.feed.actions
        dialog = ConfirmDialog(
            "Pause the queue",
            "Start no more runs?\nThose that execute go on; new ones may still be submitted.",
            "Pause the queue",
        )
        self._change_queue(dialog, lambda: actions.pause(None, "dashboard"))

    def action_resume_queue(self) -> None:
        if self.feed is None:
            return
        if not is_paused(self.model.queue) and not self.model.queue.get("draining"):
            self.tell("the queue is not paused")
            return
        dialog = ConfirmDialog(
            "Resume the queue", "Start runs again?", "Resume the queue"
        )
        actions = self.feed.actions
        self._change_queue(dialog, lambda: actions.resume(None))

    def _change_queue(self, dialog: ConfirmDialog, change: Change) -> None:
        self.run_worker(self._ask_and_change(dialog, change), group="dialog")

    async def _ask_and_change(self, dialog: ConfirmDialog, change: Change) -> None:
        if await self.push_screen_wait(dialog) is not True:
            return
        try:
            self.model.queue = await change()
        except PenstockError as error:
            self.tell(str(error), severity="error")
        else:
            self.model.version += 1
