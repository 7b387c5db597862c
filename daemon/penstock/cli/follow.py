"""`penstock follow`: a run from its beginning to its end, live."""

from __future__ import annotations

import click

from penstock.cli.history import open_source
from penstock.cli.interrupts import run_detachable
from penstock.cli.notes import RunNotes
from penstock.cli.options import after_option, quiet_option, run_argument
from penstock.cli.patience import Telling
from penstock.cli.relay import write_to_end
from penstock.cli.render import open_writer
from penstock.cli.run_end import failures_in_json, tell_end
from penstock.cli.session import Session, json_option, pass_session
from penstock.words.exit_codes import CODES_OF_RUNS, in_a_line


@click.command(epilog=f"Exit codes: {in_a_line(CODES_OF_RUNS)}.")
@run_argument
@after_option
@json_option
@quiet_option
@pass_session
def follow(
    session: Session, run_id: str, after: int, as_json: bool, quiet: bool
) -> None:
    """A run from its beginning to its end, live; exits as the run ended.

    Ctrl-C leaves; the run goes on.

    Example: penstock follow 12
    """

    def work() -> int:
        with open_source(session, run_id) as source:
            view = source.view(run_id)
            with open_writer(view["kind"], json_wanted=as_json, quiet=quiet) as writer:
                notes = RunNotes.of_view(run_id, view, writer)
                telling = Telling(source.client, notes, quiet=quiet)
                write_to_end(source, run_id, notes, after, telling)
        return tell_end(notes, quiet=quiet)

    with failures_in_json(as_json):
        code = run_detachable(work, run_id)
    raise click.exceptions.Exit(code)
