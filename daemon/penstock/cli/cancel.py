"""`penstock cancel`: end runs, and prove that they are gone."""

from __future__ import annotations

from typing import Any

import click

from penstock.cli.offers import offer_groups
from penstock.cli.options import runs_argument
from penstock.cli.output import emit, show_line
from penstock.cli.run_lookup import call_source
from penstock.cli.selecting import is_known, select_named
from penstock.cli.session import Session, json_option, pass_session
from penstock.words.cancel_receipt import is_under_way, left_of, receipt_line
from penstock.words.errors import RunNotFound
from penstock.words.exit_codes import Exit


@click.command()
@runs_argument
@click.option(
    "--group", "-g", shell_complete=offer_groups, help="All open runs of this group."
)
@click.option(
    "--tombstone",
    is_flag=True,
    help="An id that is not known yet is remembered for a day: such a run will not start.",
)
@click.option("--reason", default="requested", show_default=True)
@click.option("--wait", is_flag=True, help="Until nothing of the run is left.")
@json_option
@pass_session
def cancel(
    session: Session,
    words: tuple[str, ...],
    group: str | None,
    tombstone: bool,
    reason: str,
    wait: bool,
    as_json: bool,
) -> None:
    """Cancel runs; the receipt says what became of each.

    \b
    Examples: penstock cancel 12
              penstock cancel @running
              penstock cancel 'group:disk state:queued'
    """
    run_ids = _which(session, words, group, tombstone=tombstone)

    def work(run_id: str) -> dict[str, Any]:
        return call_source(
            session,
            run_id,
            live=lambda client: client.cancel(run_id, reason, wait=wait),
            kept=lambda source: source.cancel(run_id, reason, wait=wait),
        )

    receipts = list(map(work, run_ids))
    for receipt in receipts:
        if as_json:
            emit(receipt)
        else:
            show_line(receipt_line(receipt, waited=wait))
    if any(left_of(one) or (wait and is_under_way(one)) for one in receipts):
        raise click.exceptions.Exit(Exit.RUN_FAILED)


def _which(
    session: Session, words: tuple[str, ...], group: str | None, *, tombstone: bool
) -> list[str]:
    """The runs that are meant. RunNotFound for an id that is not known, unless it may be remembered."""
    if group is not None:
        words = (*words, f"group:{group} state:open")
    if tombstone:
        # It is about ids alone: another run's id may begin with this one.
        return list(words)
    runs = select_named(session, words, "cancel")
    for run_id, number in runs.items():
        if not number and not is_known(session, run_id):
            why = f"there is no run {run_id!r} (`--tombstone` keeps it from starting)"
            raise RunNotFound(why)
    return list(runs)
