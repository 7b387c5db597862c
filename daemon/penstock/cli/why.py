"""`penstock why`: what a run waits for, and what stands before it."""

from __future__ import annotations

from typing import Any

import click

from penstock.cli.history import RunSource
from penstock.cli.options import run_argument
from penstock.cli.output import emit, show_line
from penstock.cli.reasons import (
    by_number,
    named_numbers,
    named_runs,
    with_numbers,
)
from penstock.cli.run_lines import command_of, folder_of, name_of, show_runs
from penstock.cli.run_lookup import call_source
from penstock.cli.session import Session, json_option, pass_session
from penstock.client.sync import SyncClient

#: Why it is where it is; the run itself; the first runs that are named; and the numbers of all of these.
Explained = tuple[
    dict[str, Any], dict[str, Any], list[dict[str, Any]], dict[str, int | None]
]


@click.command()
@run_argument
@json_option
@pass_session
def why(session: Session, run_id: str, as_json: bool) -> None:
    """Why a run is where it is: what it waits for, and what stands before it.

    Runs of embedded daemons are found too.

    Example: penstock why 12
    """

    def live(client: SyncClient) -> Explained:
        told = client.why(run_id)
        if as_json:
            return told, {}, [], {}
        others = named_runs(client, told["reasons"])
        numbers = named_numbers(client, run_id)
        return told, client.run(run_id), others, numbers

    def kept(source: RunSource) -> Explained:
        return source.why(run_id), source.view(run_id), [], {}

    told, run, others, numbers = call_source(session, run_id, live, kept)
    if as_json:
        emit(told)
        return
    folder = f" (in {where})" if (where := folder_of(run)) else ""
    name = f"{run.get('number') or ''} {name_of(run)}".strip()
    command = f": {said}{folder}" if (said := command_of(run)) else "."
    show_line(f"{name} is {told['state']}{command}")
    for reason in told["reasons"]:
        said = with_numbers(reason["text"], numbers)
        show_line(by_number(said, [run, *others]))
    if others:
        show_line("")
        show_runs(others)
