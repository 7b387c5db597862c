"""`penstock wait`: until runs have ended."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import click
import trio

from penstock.cli.history import open_source
from penstock.cli.interrupts import run_detachable
from penstock.cli.notes import RunNotes
from penstock.cli.options import quiet_option, runs_argument
from penstock.cli.output import emit, say, show_line
from penstock.cli.patience import open_telling
from penstock.cli.relay import write_to_end
from penstock.cli.render import PieceWriter
from penstock.cli.replies import say_output_tail
from penstock.cli.run_end import failure_json, tell_end
from penstock.cli.session import Session, json_option, pass_session
from penstock.words.error_codes import exit_code_of
from penstock.words.errors import PenstockError
from penstock.words.exit_codes import CODES_OF_RUNS, RUN_VERBS, Exit, in_a_line
from penstock.words.run_exit import exit_json


@click.command(epilog=f"Exit codes: {in_a_line(CODES_OF_RUNS)}.")
@runs_argument
@json_option
@quiet_option
@pass_session
def wait(
    session: Session, run_ids: tuple[str, ...], as_json: bool, quiet: bool
) -> None:
    """Wait until runs have ended; exits as the first of them, as they are given, that is not 0.

    Ctrl-C leaves; the runs go on.
    """
    waiting = _Waiting(session, len(run_ids) > 1, as_json, quiet)

    async def work() -> int:
        async with trio.open_nursery() as nursery:
            for run_id in run_ids:
                nursery.start_soon(waiting.wait, run_id)
        codes = (waiting.codes[run_id] for run_id in run_ids)
        return next((code for code in codes if code), Exit.OK)

    raise click.exceptions.Exit(run_detachable(work, " ".join(run_ids)))


@dataclass(slots=True)
class _Waiting:
    """Waits for runs, each in a task of its own, and tells each end."""

    session: Session
    several: bool
    as_json: bool
    quiet: bool
    #: By run: what its end makes this command exit with.
    codes: dict[str, int] = field(default_factory=dict)

    async def wait(self, run_id: str) -> None:
        """Tell the run's end; a failure to is its own, and the others are waited for all the same."""
        try:
            view = await self._end_of(run_id)
        except PenstockError as error:
            say(f"{run_id}: {error}" if self.several else str(error))
            self.codes[run_id] = exit_code_of(error, RUN_VERBS[0])
            if self.as_json:
                emit({"run_id": run_id, **failure_json(error)})
            return
        if self.as_json:
            emit(view)
        else:
            say_output_tail(view)
            show_line(f"{run_id}  {view['state']}")

    async def _end_of(self, run_id: str) -> dict[str, Any]:
        async with open_source(self.session, run_id) as source:
            view = await source.view(run_id)
            notes = RunNotes.of_view(run_id, view, PieceWriter(lambda fact: None))
            prefix = f"{run_id}: " if self.several else ""
            async with open_telling(
                source.client, notes, quiet=self.quiet, prefix=prefix
            ):
                await write_to_end(source, run_id, notes, view["position"] - 1)
            self.codes[run_id] = tell_end(notes, quiet=self.quiet, output_shown=False)
            return {**await source.view(run_id), **exit_json(notes.exit)}
