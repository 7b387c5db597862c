"""`penstock wait`: until runs have ended."""

from __future__ import annotations

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
    codes: dict[str, int] = {}
    several = len(run_ids) > 1

    async def one(run_id: str) -> None:
        try:
            view = await end_of(run_id)
        except PenstockError as error:
            # The others are waited for all the same.
            say(f"{run_id}: {error}" if several else str(error))
            codes[run_id] = exit_code_of(error, RUN_VERBS[0])
            if as_json:
                emit({"run_id": run_id, **failure_json(error)})
            return
        if as_json:
            emit(view)
        else:
            say_output_tail(view)
            show_line(f"{run_id}  {view['state']}")

    async def end_of(run_id: str) -> dict[str, Any]:
        async with open_source(session, run_id) as source:
            view = await source.view(run_id)
            notes = RunNotes.of_view(run_id, view, PieceWriter(lambda fact: None))
            prefix = f"{run_id}: " if several else ""
            async with open_telling(source.client, notes, quiet=quiet, prefix=prefix):
                await write_to_end(source, run_id, notes, view["position"] - 1)
            codes[run_id] = tell_end(notes, quiet=quiet, output_shown=False)
            return {**await source.view(run_id), **exit_json(notes.exit)}

    async def work() -> int:
        async with trio.open_nursery() as nursery:
            for run_id in run_ids:
                nursery.start_soon(one, run_id)
        return next((codes[run_id] for run_id in run_ids if codes[run_id]), Exit.OK)

    raise click.exceptions.Exit(run_detachable(work, " ".join(run_ids)))
