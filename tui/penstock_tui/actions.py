"""What the user can do to runs and to the queue; each key and each offer of the palette ends here."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any, Literal

from textual.app import App

from penstock.log.projections import RunView
from penstock.words.address import file_stem
from penstock.words.errors import PenstockError
from penstock.words.lifecycle import QUEUED_STATES
from penstock.words.priority import Priority
from penstock.words.recorded import Recorded
from penstock.words.text import shortened
from penstock_tui.drafts import Draft, draft_of
from penstock_tui.figures import is_paused
from penstock_tui.monitor import Monitor
from penstock_tui.screens.answer import AnswerDialog
from penstock_tui.screens.cancel import CancelDialog
from penstock_tui.screens.command import CommandDialog
from penstock_tui.screens.dialog import ConfirmDialog, SayDialog
from penstock_tui.screens.submit import SubmitDialog
from penstock_tui.wording import counted, plain, title_of

#: Runs that a question names.
MOST_NAMED = 5

Change = Callable[[], Awaitable[dict[str, Any]]]


class Actions(App[None]):
    """What the app can do at the daemon. The app itself says to which run."""

    monitor: Monitor
    #: What was typed as a command, oldest first.
    given: list[str]
    #: Held while runs in line are given other places.
    line: asyncio.Lock

    def current_run(self) -> str | None:
        """The run that the keys are about."""
        raise NotImplementedError

    def current_runs(self) -> list[str]:
        """The marked runs, or else the one that the keys are about."""
        raise NotImplementedError

    def announce(self, text: str, *, severity: str = "information") -> None:
        """A note in the corner; never read as markup."""
        self.notify(plain(text), severity=severity, markup=False)  # type: ignore[arg-type]

    def action_submit(self) -> None:
        self.run_worker(self._submit(), group="dialog", exclusive=True)

    def action_edit_run(self) -> None:
        """A new run, by the form as it was filled for this one."""
        run_id = self.current_run()
        run = self.monitor.model.runs.get(run_id) if run_id else None
        if run is not None:
            draft = draft_of(run.view)
            self.run_worker(self._submit(draft), group="dialog", exclusive=True)

    async def _submit(self, draft: Draft | None = None) -> None:
        if self.monitor.session is None:
            return
        try:
            kinds = (await self.monitor.session.calls.get("pipelines"))["pipelines"]
        except PenstockError as error:
            self.announce(str(error), severity="error")
            return
        reply = await self.push_screen_wait(
            SubmitDialog(kinds, self.monitor.session.calls.submit_here, draft)
        )
        if isinstance(reply, Mapping):
            self.announce(f"{reply['run_id']} {reply['state']}")

    def action_cancel_run(self) -> None:
        run_ids, session = self.current_runs(), self.monitor.session
        if not run_ids or session is None:
            return
        if len(run_ids) > 1:
            self.run_worker(
                self._do_to_all("cancel", self._open(run_ids)), group="dialog"
            )
            return
        run_id = run_ids[0]
        run = self.monitor.model.runs.get(run_id)
        if run is not None and run.view.ended:
            self.announce(f"{run_id} has ended already: {run.view.state}")
            return
        about = title_of(run.view) if run else ""
        self.push_screen(
            CancelDialog(
                run_id,
                about,
                lambda: session.calls.cancel(run_id, "dashboard", wait=True),
            )
        )

    def _open(self, run_ids: list[str]) -> list[str]:
        runs = self.monitor.model.runs
        return [key for key in run_ids if key in runs and not runs[key].view.ended]

    def action_retry_run(self) -> None:
        run_ids = self.current_runs()
        if len(run_ids) > 1:
            self.run_worker(self._do_to_all("retry", run_ids), group="dialog")
        elif run_ids:
            self.run_worker(self._retry(run_ids[0]))

    async def _do_to_all(
        self, verb: Literal["cancel", "retry"], run_ids: list[str]
    ) -> None:
        """Ask once, then do it to each; the first refusal ends it."""
        if self.monitor.session is None or not run_ids:
            self.announce(f"none of them is to {verb}")
            return
        calls, named = self.monitor.session.calls, counted(len(run_ids), "run")
        some = "\n".join(map(plain, run_ids[:MOST_NAMED]))
        more = "\n…" if len(run_ids) > MOST_NAMED else ""
        dialog = ConfirmDialog(
            verb.capitalize(),
            f"{verb.capitalize()} {named}?\n{some}{more}",
            f"{verb.capitalize()} them",
        )
        if await self.push_screen_wait(dialog) is not True:
            return
        done = 0
        try:
            for run_id in run_ids:
                await (
                    calls.retry(run_id)
                    if verb == "retry"
                    else calls.cancel(run_id, "dashboard")
                )
                done += 1
        except PenstockError as error:
            self.announce(f"{done} of {named}: {error}", severity="error")
        else:
            self.announce(f"penstock {verb} {shortened(' '.join(run_ids), 60)}")
        self.forget_marks()

    def forget_marks(self) -> None:
        """What was marked has been done."""
        raise NotImplementedError

    async def _retry(self, run_id: str) -> None:
        if self.monitor.session is None:
            return
        try:
            reply = await self.monitor.session.calls.retry(run_id)
        except PenstockError as error:
            self.announce(str(error), severity="error")
        else:
            self.announce(f"penstock retry {run_id}: {reply['run_id']}")

    def action_raise_run(self, by: int) -> None:
        """A priority more important, or less, for those that stand in line."""

        def raised(view: RunView) -> tuple[dict[str, str], str]:
            name = raised_priority(view.priority, by).name
            return {"priority": name}, f"priority {view.run_id} {name.lower()}"

        self.run_worker(self._rearrange(raised))

    def action_move_first(self) -> None:
        """Before all others of its priority."""
        self.run_worker(
            self._rearrange(
                lambda view: ({"move": "first"}, f"move {view.run_id} --first")
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
                self.announce(f"penstock {said}" if said else "it is not in line")

    def action_dismiss(self) -> None:
        """These failures need nobody any more."""
        self._dismiss(self.current_runs())

    def action_dismiss_all(self) -> None:
        """No failure needs anybody any more."""
        self._dismiss(list(self.monitor.model.runs))

    def _dismiss(self, run_ids: list[str]) -> None:
        self.run_worker(self.monitor.dismiss(run_ids), group="dismiss")

    def action_command(self) -> None:
        """The words of the command line, to the daemon that is looked at."""
        if self.monitor.session is None:
            return
        try:
            address = self.monitor.address()
        except PenstockError as error:
            self.announce(str(error), severity="error")
            return
        self.push_screen(CommandDialog(address, "", self.given))

    def action_answer_run(self) -> None:
        """The question of this run, or else of the first run that has one."""
        run_id = self.current_run()
        run = self.monitor.model.runs.get(run_id) if run_id else None
        if run is None or not run.asks:
            run = next(
                (run for run in self.monitor.model.runs.values() if run.asks), None
            )
        if run is None:
            self.announce("no run asks anything")
            return
        self.run_worker(self._answer(run.view.run_id), group="dialog", exclusive=True)

    async def _answer(self, run_id: str) -> None:
        ask = next(
            ask
            for ask in self.monitor.model.runs[run_id].view.asks.values()
            if ask.open
        )
        answer = await self.push_screen_wait(AnswerDialog(run_id, ask))
        if not isinstance(answer, str) or self.monitor.session is None:
            return
        try:
            await self.monitor.session.calls.answer(run_id, ask.name, answer)
        except PenstockError as error:
            self.announce(str(error), severity="error")
        else:
            self.announce(f"{run_id}: {answer}")

    def action_say(self) -> None:
        """Say something to the run, if it still listens."""
        run_id = self.current_run()
        run = self.monitor.model.runs.get(run_id) if run_id else None
        if run is None:
            return
        if run.view.ended:
            self.announce(f"{run_id} has ended already: {run.view.state}")
            return
        dialog = SayDialog(run.view.run_id, title_of(run.view))
        self.run_worker(self._say(run.view.run_id, dialog), group="dialog")

    async def _say(self, run_id: str, dialog: SayDialog) -> None:
        text = await self.push_screen_wait(dialog)
        if not isinstance(text, str) or self.monitor.session is None:
            return
        try:
            await self.monitor.session.calls.intervene(run_id, text)
        except PenstockError as error:
            self.announce(str(error), severity="error")
        else:
            self.announce(f"said to {run_id}: {text}")

    def action_copy_id(self) -> None:
        if (run_id := self.current_run()) is not None:
            self.copy_to_clipboard(run_id)
            self.announce(f"copied {run_id}")

    def action_export_run(self) -> None:
        if (run_id := self.current_run()) is not None:
            self.run_worker(self._export(run_id))

    async def _export(self, run_id: str) -> None:
        try:
            path, count = await export_facts(run_id, self.monitor.history(run_id, 0))
        except (PenstockError, OSError) as error:
            self.announce(str(error), severity="error")
        else:
            self.announce(f"{count} facts in {path}")

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
        self._change_queue(dialog, lambda: calls.pause(None, "dashboard"))

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
        self._change_queue(dialog, lambda: calls.resume(None))

    def _change_queue(self, dialog: ConfirmDialog, change: Change) -> None:
        self.run_worker(self._ask_and_change(dialog, change), group="dialog")

    async def _ask_and_change(self, dialog: ConfirmDialog, change: Change) -> None:
        if await self.push_screen_wait(dialog) is not True:
            return
        try:
            self.monitor.model.queue = await change()
        except PenstockError as error:
            self.announce(str(error), severity="error")
        else:
            self.monitor.model.version += 1


def raised_priority(priority: int, by: int) -> Priority:
    """The priority that is so many more important, as far as there is one."""
    names = list(Priority)
    at = names.index(Priority(priority)) - by
    return names[max(0, min(at, len(names) - 1))]


async def export_facts(
    run_id: str, pages: AsyncIterator[list[Recorded]], folder: Path | None = None
) -> tuple[Path, int]:
    """The file, in the folder one is in, and how many facts it has. It is there whole or not at all."""
    path = (folder or Path()) / f"{file_stem(run_id)}.ndjson"
    part = path.with_name(f".{path.name}.part")
    count = 0
    try:
        with part.open("wb") as file:
            async for facts in pages:
                count += len(facts)
                await asyncio.to_thread(
                    file.write, b"".join(fact.wire() + b"\n" for fact in facts)
                )
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)
    return path, count
