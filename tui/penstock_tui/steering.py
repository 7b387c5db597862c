"""What the user can do to the line, the slots, the queue, the schedules, and a program that goes on."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

from textual.app import App

from penstock.log.projections import RunView
from penstock.words.errors import PenstockError
from penstock.words.lifecycle import PAUSED, QUEUED_STATES
from penstock.words.priority import Priority
from penstock_tui.equivalents import command_of
from penstock_tui.figures import is_paused
from penstock_tui.monitor import Monitor
from penstock_tui.screens.dialog import ConfirmDialog
from penstock_tui.screens.queue_dialogs import (
    ScheduleChoice,
    SchedulesDialog,
    SlotsDialog,
    WantedSlots,
)
from penstock_tui.wording import plain

Change = Callable[[], Awaitable[dict[str, Any]]]


class Steering(App[None]):
    """The app as far as it changes who executes when. It says what it did in the words of the command line."""

    monitor: Monitor
    #: Held while runs in line are given other places.
    line: asyncio.Lock

    def current_run(self) -> str | None:
        """The run that the keys are about."""
        raise NotImplementedError

    def current_runs(self) -> list[str]:
        """The marked runs, or else the one that the keys are about."""
        raise NotImplementedError

    def action_submit(self) -> None:
        """Have a run, or a schedule of them, filled in."""
        raise NotImplementedError

    def announce(self, text: str, *, severity: str = "information") -> None:
        """A note in the corner; never read as markup."""
        self.notify(plain(text), severity=severity, markup=False)  # type: ignore[arg-type]

    def action_raise_run(self, by: int) -> None:
        """A priority more important, or less, for those that stand in line."""

        def raised(view: RunView) -> tuple[dict[str, str], str]:
            name = raised_priority(view.priority, by).name
            said = command_of("priority", view.run_id, name.lower())
            return {"priority": name}, said

        self.run_worker(self._rearrange(raised))

    def action_move_first(self) -> None:
        """Before all others of its priority."""
        self.run_worker(
            self._rearrange(
                lambda view: (
                    {"move": "first"},
                    command_of("move", view.run_id, "--first"),
                )
            )
        )

    async def _rearrange(
        self, wanted: Callable[[RunView], tuple[dict[str, str], str]]
    ) -> None:
        """Have runs wait otherwise; `wanted`: what to ask for, and the words of the command line for it."""
        if self.monitor.session is None:
            return
        calls, model, said = self.monitor.session.calls, self.monitor.model, ""
        # One key after the other: the next goes by what the one before has made of it.
        async with self.line:
            try:
                # The last one first, so that those that go before all others keep their order.
                for run_id in reversed(self.current_runs()):
                    run = model.runs.get(run_id)
                    if run is not None and run.view.state in QUEUED_STATES:
                        asked, said = wanted(run.view)
                        model.seed([await calls.rearrange(run_id, **asked)])
            except PenstockError as error:
                self.announce(str(error), severity="error")
            else:
                self.announce(said or "it is not in line")

    def action_toggle_run(self) -> None:
        """Stop the programs of these runs where they are, or let them go on."""
        self.run_worker(self._toggle_runs())

    async def _toggle_runs(self) -> None:
        if self.monitor.session is None:
            return
        calls, model = self.monitor.session.calls, self.monitor.model
        for run_id in self.current_runs():
            run = model.runs.get(run_id)
            paused = run is not None and run.view.state == PAUSED
            try:
                told = await (calls.resume_run if paused else calls.pause_run)(run_id)
            except PenstockError as error:
                self.announce(str(error), severity="error")
                return
            model.seed([told])
            self.announce(command_of("resume" if paused else "pause", run_id))

    def action_slots(self) -> None:
        """How many runs may execute at once."""
        self.run_worker(self._slots(), group="dialog", exclusive=True)

    async def _slots(self) -> None:
        if self.monitor.session is None:
            return
        calls = self.monitor.session.calls
        try:
            dialog = SlotsDialog(await calls.get("queue"))
        except PenstockError as error:
            self.announce(str(error), severity="error")
            return
        wanted = await self.push_screen_wait(dialog)
        if isinstance(wanted, WantedSlots):
            change = partial(calls.slots, wanted.group, wanted.slots)
            await self._change(change, command_of(*wanted.words))

    def action_schedules(self) -> None:
        """What is run again and again: look, make, remove."""
        self.run_worker(self._schedules(), group="dialog", exclusive=True)

    async def _schedules(self) -> None:
        if self.monitor.session is None:
            return
        calls = self.monitor.session.calls
        try:
            rows = (await calls.get("schedules"))["schedules"]
        except PenstockError as error:
            self.announce(str(error), severity="error")
            return
        dialog = SchedulesDialog(rows, changes=not self.monitor.read_only)
        chosen = await self.push_screen_wait(dialog)
        if not isinstance(chosen, ScheduleChoice):
            return
        if chosen.verb == "new":
            # By the form of a run, where `every` is filled.
            self.action_submit()
            return
        name = chosen.name
        sure = ConfirmDialog(
            "Schedules", f"Make no more runs of {plain(name)}?", "Remove it"
        )
        if await self.push_screen_wait(sure) is not True:
            return
        try:
            await calls.remove_schedule(name)
        except PenstockError as error:
            self.announce(str(error), severity="error")
        else:
            self.announce(command_of("schedules", "--remove", name))

    # -- the queue: everybody who submits would notice, so it is asked before it is done

    def action_toggle_queue(self) -> None:
        """Pause the queue, or let it go on."""
        if is_paused(self.monitor.model.queue):
            self.action_resume_queue()
        else:
            self.action_pause_queue()

    def action_pause_queue(self) -> None:
        if self.monitor.session is None:
            return
        if is_paused(self.monitor.model.queue):
            self.announce("the queue is paused already")
            return
        calls = self.monitor.session.calls
        dialog = ConfirmDialog(
            "Pause the queue",
            "Start no more runs?\nThose that execute go on; new ones may still be submitted.",
            "Pause the queue",
        )
        self._change_queue(
            dialog, lambda: calls.pause(None, "dashboard"), command_of("pause")
        )

    def action_resume_queue(self) -> None:
        if self.monitor.session is None:
            return
        if not is_paused(self.monitor.model.queue) and not self.monitor.model.queue.get(
            "draining"
        ):
            self.announce("the queue is not paused")
            return
        dialog = ConfirmDialog(
            "Resume the queue", "Start runs again?", "Resume the queue"
        )
        calls = self.monitor.session.calls
        self._change_queue(dialog, lambda: calls.resume(None), command_of("resume"))

    def _change_queue(self, dialog: ConfirmDialog, change: Change, said: str) -> None:
        self.run_worker(self._ask_and_change(dialog, change, said), group="dialog")

    async def _ask_and_change(
        self, dialog: ConfirmDialog, change: Change, said: str
    ) -> None:
        if await self.push_screen_wait(dialog) is True:
            await self._change(change, said)

    async def _change(self, change: Change, said: str) -> None:
        """Have the queue changed, and show what it is then; `said`: the words of the command line."""
        try:
            self.monitor.model.queue = await change()
        except PenstockError as error:
            self.announce(str(error), severity="error")
        else:
            self.monitor.model.version += 1
            self.announce(said)


def raised_priority(priority: int, by: int) -> Priority:
    """The priority that is so many more important, as far as there is one."""
    names = list(Priority)
    at = names.index(Priority(priority)) - by
    return names[max(0, min(at, len(names) - 1))]
