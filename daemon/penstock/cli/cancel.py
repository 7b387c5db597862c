"""`penstock cancel`: end runs, and prove that they are gone."""

from __future__ import annotations

from typing import Any

import click

from penstock.cli.options import runs_argument
from penstock.cli.output import emit, show_line
from penstock.cli.run_lookup import call_source
from penstock.cli.session import Session, json_option, pass_session
from penstock.words.cancel_receipt import left_of, receipt_line
from penstock.words.exit_codes import Exit


@click.command()
@runs_argument
@click.option("--reason", default="requested", show_default=True)
@click.option("--wait", is_flag=True, help="Until nothing of the run is left.")
@json_option
@pass_session
def cancel(
    session: Session, run_ids: tuple[str, ...], reason: str, wait: bool, as_json: bool
) -> None:
    """Cancel runs; the receipt says what became of each.

    An id that is not known is remembered for a day: such a run will not start.
    """

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
            show_line(receipt_line(receipt))
    if any(left_of(receipt) for receipt in receipts):
        raise click.exceptions.Exit(Exit.RUN_FAILED)
