"""What the user can do to runs and to the queue; each key and each offer of the palette ends here."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

from textual.app import App

from penstock.words.address import file_stem
from penstock.words.errors import PenstockError
from penstock.words.recorded import Recorded
from penstock_tui.figures import is_paused
from penstock_tui.monitor import Monitor
from penstock_tui.screens.answer import AnswerDialog
from penstock_tui.screens.cancel import CancelDialog
from penstock_tui.screens.dialog import ConfirmDialog, SayDialog
from penstock_tui.screens.submit import SubmitDialog
from penstock_tui.wording import plain, title_of

Change = Callable[[], Awaitable[dict[str, Any]]]


class Actions(App[None]):
    """What the app can do at the daemon. The app itself says to which run."""

    monitor: Monitor

    def current_run(self) -> str | None:
        """The run that the keys are about."""
        raise NotImplementedError

    def announce(self, text: str, *, severity: str = "information") -> None:
        """A note in the corner; never read as markup."""
        self.notify(plain(text), severity=severity, markup=False)  # type: ignore[arg-type]

    def action_submit(self) -> None:
        self.run_worker(self._submit(), group="dialog", exclusive=True)

    async def _submit(self) -> None:
        if self.monitor.session is None:
            return
        try:
            kinds = (await self.monitor.session.calls.get("pipelines"))["pipelines"]
        except PenstockError as error:
            self.announce(str(error), severity="error")
            return
        reply = await self.push_screen_wait(
            SubmitDialog(kinds, self.monitor.session.calls.submit_here)
        )
        if isinstance(reply, Mapping):
            self.announce(f"{reply['run_id']} {reply['state']}")

    def action_cancel_run(self) -> None:
        run_id, session = self.current_run(), self.monitor.session
        if run_id is None or session is None:
            return
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

    def action_retry_run(self) -> None:
        if (run_id := self.current_run()) is not None:
            self.run_worker(self._retry(run_id))

    async def _retry(self, run_id: str) -> None:
        if self.monitor.session is None:
            return
        try:
            reply = await self.monitor.session.calls.retry(run_id)
        except PenstockError as error:
            self.announce(str(error), severity="error")
        else:
            self.announce(f"{run_id} again as {reply['run_id']}")

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
