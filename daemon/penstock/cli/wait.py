"""`penstock wait`: until runs have ended."""

from __future__ import annotations

from typing import Any

import click
import trio

from penstock.cli.history import open_source
from penstock.cli.interrupts import run_detachable
from penstock.cli.options import runs_argument
from penstock.cli.output import emit, say, show_line
from penstock.cli.relay import exit_of, write_to_end
from penstock.cli.render import PieceWriter
from penstock.cli.replies import say_output_tail
from penstock.cli.session import Session, json_option, pass_session
from penstock.words.errors import PenstockError
from penstock.words.problems import Exit, exit_code_of


@click.command()
@runs_argument
@json_option
@pass_session
def wait(session: Session, run_ids: tuple[str, ...], as_json: bool) -> None:
    """Wait until runs have ended; exits as the first of them that did not complete.

    Ctrl-C leaves; the runs go on.
    """
    codes: dict[str, int] = {}

    async def one(run_id: str) -> None:
        try:
            view = await end_of(run_id)
        except PenstockError as error:
            # The others are waited for all the same.
            say(f"{run_id}: {error}" if len(run_ids) > 1 else str(error))
            codes[run_id] = exit_code_of(error)
            return
        if as_json:
            emit(view)
        else:
            say_output_tail(view)
            show_line(f"{run_id}  {view['state']}")

    async def end_of(run_id: str) -> dict[str, Any]:
        async with open_source(session, run_id) as source:
            view = await source.view(run_id)
            silent = PieceWriter(lambda fact: None)
            codes[run_id] = exit_of(
                await write_to_end(source, run_id, silent, view["position"] - 1)
            )
            return await source.view(run_id)

    async def work() -> int:
        async with trio.open_nursery() as nursery:
            for run_id in run_ids:
                nursery.start_soon(one, run_id)
        return next((codes[run_id] for run_id in run_ids if codes[run_id]), Exit.OK)

    raise click.exceptions.Exit(run_detachable(work, " ".join(run_ids)))
