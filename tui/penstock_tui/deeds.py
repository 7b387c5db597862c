"""What can be done to a run from the dashboard; each key ends in one of these."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping

from textual.app import App

from penstock.words.errors import PenstockError
from penstock.words.recorded import Recorded
from penstock_tui.export import export_facts
from penstock_tui.model import DashboardState
from penstock_tui.screens.answer import AnswerDialog
from penstock_tui.screens.cancel import CancelDialog
from penstock_tui.screens.say import SayDialog
from penstock_tui.screens.submit import SubmitDialog
from penstock_tui.session import Feed
from penstock_tui.wording import plain, title_of


class Deeds(App[None]):
    """What the app can do to runs. The app itself says which run, and how to ask."""

    model: DashboardState
    feed: Feed | None

    def current_run(self) -> str | None:
        """The run that the keys are about."""
        raise NotImplementedError

    def history(self, run_id: str, after: int) -> AsyncIterator[list[Recorded]]:
        """The recorded facts of a run, page by page."""
        raise NotImplementedError

    def tell(self, text: str, *, severity: str = "information") -> None:
        """A note in the corner; never read as markup."""
        self.notify(plain(text), severity=severity, markup=False)  # type: ignore[arg-type]

    def action_submit(self) -> None:
        self.run_worker(self._submit(), group="dialog", exclusive=True)

    async def _submit(self) -> None:
        if self.feed is None:
            return
        try:
            kinds = (await self.feed.actions.get("pipelines"))["pipelines"]
        except PenstockError as error:
            self.tell(str(error), severity="error")
            return
        reply = await self.push_screen_wait(
            SubmitDialog(kinds, self.feed.actions.submit)
        )
        if isinstance(reply, Mapping):
            self.tell(f"{reply['run_id']} {reply['state']}")

    def action_cancel_run(self) -> None:
        run_id, feed = self.current_run(), self.feed
        if run_id is None or feed is None:
            return
        run = self.model.runs.get(run_id)
        if run is not None and run.view.ended:
            self.tell(f"{run_id} has ended already: {run.view.state}")
            return
        about = title_of(run.view) if run else ""
        self.push_screen(
            CancelDialog(
                run_id,
                about,
                lambda: feed.actions.cancel(run_id, "dashboard", wait=True),
            )
        )

    def action_retry_run(self) -> None:
        if (run_id := self.current_run()) is not None:
            self.run_worker(self._retry(run_id))

    async def _retry(self, run_id: str) -> None:
        if self.feed is None:
            return
        try:
            reply = await self.feed.actions.retry(run_id)
        except PenstockError as error:
            self.tell(str(error), severity="error")
        else:
            self.tell(f"{run_id} again as {reply['run_id']}")

    def action_answer_run(self) -> None:
        """The question of this run, or else of the first run that has one."""
        run_id = self.current_run()
        run = self.model.runs.get(run_id) if run_id else None
        if run is None or not run.asks:
            run = next((run for run in self.model.runs.values() if run.asks), None)
        if run is None:
            self.tell("no run asks anything")
            return
        self.run_worker(self._answer(run.view.run_id), group="dialog", exclusive=True)

    async def _answer(self, run_id: str) -> None:
        ask = next(
            ask for ask in self.model.runs[run_id].view.asks.values() if ask.open
        )
        answer = await self.push_screen_wait(AnswerDialog(run_id, ask))
        if not isinstance(answer, str) or self.feed is None:
            return
        try:
            await self.feed.actions.answer(run_id, ask.name, answer)
        except PenstockError as error:
            self.tell(str(error), severity="error")
        else:
            self.tell(f"{run_id}: {answer}")

    def action_say(self) -> None:
        """Say something to the run, if it still listens."""
        run_id = self.current_run()
        run = self.model.runs.get(run_id) if run_id else None
        if run is None:
            return
        if run.view.ended:
            self.tell(f"{run_id} has ended already: {run.view.state}")
            return
        dialog = SayDialog(run.view.run_id, title_of(run.view))
        self.run_worker(self._say(run.view.run_id, dialog), group="dialog")

    async def _say(self, run_id: str, dialog: SayDialog) -> None:
        text = await self.push_screen_wait(dialog)
        if not isinstance(text, str) or self.feed is None:
            return
        try:
            await self.feed.actions.intervene(run_id, text)
        except PenstockError as error:
            self.tell(str(error), severity="error")
        else:
            self.tell(f"said to {run_id}: {text}")

    def action_copy_id(self) -> None:
        if (run_id := self.current_run()) is not None:
            self.copy_to_clipboard(run_id)
            self.tell(f"copied {run_id}")

    def action_export_run(self) -> None:
        if (run_id := self.current_run()) is not None:
            self.run_worker(self._export(run_id))

    async def _export(self, run_id: str) -> None:
        try:
            path, count = await export_facts(run_id, self.history(run_id, 0))
        except (PenstockError, OSError) as error:
            self.tell(str(error), severity="error")
        else:
            self.tell(f"{count} facts in {path}")
