"""What the user can do to runs; each key and each offer of the palette ends here, or in what this is built on."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any, Literal

from penstock.log.projections import AskView, RunView
from penstock.words.address import file_stem
from penstock.words.ask_details import ALLOW, DENY, is_permission
from penstock.words.errors import PenstockError, Refused
from penstock.words.lifecycle import QUEUED_STATES
from penstock.words.recorded import Recorded
from penstock_tui.drafts import Draft, changes_of, draft_of
from penstock_tui.equivalents import command_of, edit_command
from penstock_tui.screens.answer import AnswerDialog
from penstock_tui.screens.cancel import CancelDialog
from penstock_tui.screens.command import CommandDialog
from penstock_tui.screens.dialog import ConfirmDialog, SayDialog
from penstock_tui.screens.submit import SubmitDialog
from penstock_tui.steering import Steering
from penstock_tui.whereabouts import doubt_about
from penstock_tui.wording import counted, plain, title_of

#: Runs that a question names.
MOST_NAMED = 5


class Actions(Steering):
    """What the app can do at the daemon. The app itself says to which run."""

    #: What was typed as a command, oldest first.
    given: list[str]

    def action_submit(self) -> None:
        self.run_worker(self._submit(), group="dialog", exclusive=True)

    def action_edit_run(self) -> None:
        """Before it begins, what it is to do; afterwards a new run, by the form as it was filled for this one."""
        run_id = self.current_run()
        run = self.monitor.model.runs.get(run_id) if run_id else None
        if run is None:
            return
        view = run.view
        begun = view.attempt > 0 or view.state not in QUEUED_STATES
        work = self._submit(draft_of(view)) if begun else self._edit(view)
        self.run_worker(work, group="dialog", exclusive=True)

    async def _kinds(self) -> list[Mapping[str, Any]]:
        """What can be run; nothing where nobody answers, which is said."""
        if self.monitor.session is None:
            return []
        try:
            told = await self.monitor.session.calls.get("pipelines")
        except PenstockError as error:
            self.announce(str(error), severity="error")
            return []
        return list(told["pipelines"])

    async def _submit(self, draft: Draft | None = None) -> None:
        kinds = await self._kinds()
        if not kinds or self.monitor.session is None:
            return
        calls = self.monitor.session.calls

        async def send(request: Mapping[str, Any]) -> str:
            told, reply = await calls.ask_for(request)
            became = reply.get("run_id") or f"the schedule {reply['name']}"
            return f"{told}: {became}"

        await self._fill_in(SubmitDialog(kinds, send, draft))

    async def _edit(self, view: RunView) -> None:
        """Change what a run in line is to do."""
        kinds = [kind for kind in await self._kinds() if kind["name"] == view.kind]
        if not kinds or self.monitor.session is None:
            return
        draft, calls = draft_of(view), self.monitor.session.calls

        async def send(request: Mapping[str, Any]) -> str:
            changes = changes_of(draft.inputs, request["inputs"])
            if not changes:
                raise Refused("inputs", "nothing was changed")
            self.monitor.model.seed([await calls.edit(view.run_id, changes)])
            return edit_command(view.run_id, changes)

        await self._fill_in(
            SubmitDialog(kinds, send, draft, options=(), heading="Edit")
        )

    async def _fill_in(self, dialog: SubmitDialog) -> None:
        """Show a form until it is sent, and then what was done by it, or left."""
        if (said := await self.push_screen_wait(dialog)) is not None:
            self.announce(str(said))

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

        async def cancel() -> Mapping[str, Any]:
            receipt = await session.calls.cancel(run_id, "dashboard", wait=True)
            self.announce(command_of("cancel", run_id, "--wait"))
            return receipt

        def doubt() -> str:
            model = self.monitor.model
            run = model.runs.get(run_id)
            return doubt_about(run.view, model.boxes) if run else ""

        self.push_screen(CancelDialog(run_id, about, cancel, doubt))

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
            self.announce(command_of(verb, *run_ids))
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
            self.announce(f"{command_of('retry', run_id)}: {reply['run_id']}")

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
        """The question of this run, or else of the first run that has one.

        Whether something may be done is allowed at once, where one has seen what it is.
        """
        run_id = self.current_run()
        if run_id and self._decide(run_id, ALLOW):
            return
        run = self.monitor.model.runs.get(run_id) if run_id else None
        if run is None or not run.asks:
            run = next(
                (run for run in self.monitor.model.runs.values() if run.asks), None
            )
        if run is None:
            self.announce("no run asks anything")
            return
        self.run_worker(self._answer(run.view.run_id), group="dialog", exclusive=True)

    def action_deny_run(self) -> None:
        """What this run asks to do is not to be done."""
        run_id = self.current_run()
        if run_id and self.permission_of(run_id) and not self._decide(run_id, DENY):
            self.run_worker(self._answer(run_id), group="dialog", exclusive=True)

    def permission_of(self, run_id: str) -> AskView | None:
        """The question of the run, if it asks whether it may do something."""
        run = self.monitor.model.runs.get(run_id)
        ask = run.open_ask if run else None
        return ask if ask is not None and is_permission(ask.choices) else None

    def _decide(self, run_id: str, answer: str) -> bool:
        """Answer by one key; false where what is asked does not stand on the screen."""
        ask = self.permission_of(run_id)
        if ask is None or not self.monitor.shows_ask(run_id, ask.name):
            return False
        if not self.monitor.was_read(run_id, ask.name):
            self.announce("this question is new: look at it, then press again")
        else:
            self.run_worker(self._give(run_id, ask.name, answer))
        return True

    async def _answer(self, run_id: str) -> None:
        run = self.monitor.model.runs.get(run_id)
        if run is None or (ask := run.open_ask) is None:
            return
        answer = await self.push_screen_wait(AnswerDialog(run_id, ask))
        if isinstance(answer, str):
            await self._give(run_id, ask.name, answer)

    async def _give(self, run_id: str, name: str, answer: str) -> None:
        if self.monitor.session is None:
            return
        try:
            await self.monitor.session.calls.answer(run_id, name, answer)
        except PenstockError as error:
            self.announce(str(error), severity="error")
        else:
            self.announce(command_of("answer", run_id, name, answer))

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
            self.announce(command_of("intervene", run_id, text))

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
