"""`penstock attach`: the terminal of a run that has one."""

from __future__ import annotations

import click

from penstock.cli.options import named_run_argument
from penstock.cli.raw_terminal import attach_to
from penstock.cli.session import Session, pass_session, run_async
from penstock.cli.terminal_run import at_terminal, conclude, read_keys
from penstock.client.sync import SyncClient
from penstock.words.errors import Conflict


@click.command()
@named_run_argument
@click.option("--watch", is_flag=True, help="See what it shows, and type nothing.")
@pass_session
@click.pass_context
def attach(ctx: click.Context, session: Session, run_id: str, watch: bool) -> None:
    """The terminal of a run that was started with `--tty`.

    Ctrl-C, Ctrl-Z and Ctrl-\\ are the program's. C-\\ C-\\ (the setting `detach_keys`) leaves, and
    the run goes on. Exits as the run does. One types, any number look on with `--watch`.

    Example: penstock attach build-1
    """

    def work() -> int:
        address = session.address()
        keys = read_keys(session)
        try:
            parted = run_async(
                lambda: attach_to(address, run_id, keys=keys, watch=watch)
            )
        except Conflict as error:
            if type(error) is not Conflict or watch:
                raise
            why = f"{error}; `penstock attach --watch {run_id}` looks on"
            raise Conflict(why) from None
        return conclude(SyncClient(address), run_id, parted)

    ctx.exit(at_terminal(work))
