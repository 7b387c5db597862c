"""`penstock retry`: the same inputs again, as a new run."""

from __future__ import annotations

from collections.abc import Collection
from functools import partial
from typing import Any

import click

from penstock.cli.archives import find_log
from penstock.cli.changed_inputs import inputs_option, wanted_changes
from penstock.cli.options import runs_argument
from penstock.cli.output import require_stdout, say
from penstock.cli.reasons import tell_nowhere
from penstock.cli.replies import show_started
from penstock.cli.run_options import needs_option, needs_said
from penstock.cli.selecting import select_named
from penstock.cli.session import Session, json_option, pass_session
from penstock.client.surroundings import trace_of
from penstock.client.sync import SyncClient
from penstock.words.error_status import exit_code_of
from penstock.words.errors import Conflict, DaemonUnreachable, PenstockError
from penstock.words.exit_codes import Exit


@click.command()
@runs_argument
@click.option(
    "--edit", is_flag=True, help="Change the inputs first, in $VISUAL or $EDITOR."
)
@inputs_option
@needs_option
@click.option(
    "--anywhere", is_flag=True, help="Its files are on every box: execute at any."
)
@json_option
@pass_session
def retry(
    session: Session,
    words: tuple[str, ...],
    edit: bool,
    inputs: Any,
    needs: tuple[str, ...],
    anywhere: bool,
    as_json: bool,
) -> None:
    """The same inputs again, as new runs; prints their ids.

    \b
    Examples: penstock retry 12
              penstock retry @failed
              penstock retry 12 --edit
              penstock retry 12 --on box=attic
    """
    require_stdout()
    where = needs_said(needs)
    run_ids = select_named(session, words, "retry")
    changes: dict[str, Any] = {}
    if edit or inputs is not None:
        changes = _changes_of_one(session, run_ids, inputs)
        if not changes:
            say("nothing was changed, and nothing retried")
            return
    again = partial(
        SyncClient.retry, changes=changes, traceparent=trace_of(session.environ),
        needs=where, anywhere=anywhere,
    )  # fmt: skip
    codes: list[int] = []
    for run_id in run_ids:
        try:
            _check_kept(session, run_id)
            reply = session.call(partial(again, run_id=run_id))
        except DaemonUnreachable:
            raise
        except PenstockError as error:
            say(f"{run_id}: {error}")
            codes.append(exit_code_of(error))
            continue
        show_started(reply, as_json=as_json)
        tell_nowhere(session, reply["run_id"], needs)
    raise click.exceptions.Exit(codes[0] if codes else Exit.OK)


def _changes_of_one(
    session: Session, run_ids: Collection[str], inputs: Any
) -> dict[str, Any]:
    """What is asked for otherwise, of the one run that is named; empty if nothing is, or none is named."""
    if len(run_ids) > 1:
        raise click.UsageError(f"of one run, and these are {len(run_ids)}")
    if not run_ids:
        return {}
    [run_id] = run_ids
    _check_kept(session, run_id)
    return wanted_changes(session, run_id, inputs)


def _check_kept(session: Session, run_id: str) -> None:
    """Conflict if the daemon could not have the run, since an embedded log has it.

    What an embedded daemon would start again would end with it.
    """
    if (log := find_log(session, run_id)) is not None:
        raise Conflict(
            f"it was made without the daemon and is in {log}: `penstock show {run_id}` tells its"
            " inputs, and `penstock run` or `penstock submit` makes another one of them"
        )
