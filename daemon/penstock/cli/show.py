"""`penstock show`: one run as it stands."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import click

from penstock.cli.history import RunSource
from penstock.cli.notes import WAITING_STATES
from penstock.cli.options import run_argument
from penstock.cli.output import emit, fields, show_line
from penstock.cli.reasons import by_number, known_runs
from penstock.cli.run_card import NAMING, card_of
from penstock.cli.run_lookup import call_source
from penstock.cli.session import Session, json_option, pass_session
from penstock.client.sync import SyncClient
from penstock.words.errors import PenstockError
from penstock.words.run_id import GENERATED

#: The run; why it stands in line or waits for something, if it does; and the runs that both name.
Looked = tuple[dict[str, Any], dict[str, Any] | None, list[dict[str, Any]]]


@click.command()
@run_argument
@json_option
@pass_session
def show(session: Session, run_id: str, as_json: bool) -> None:
    """One run as it stands; runs of embedded daemons are found too.

    Example: penstock show 12
    """

    def live(client: SyncClient) -> Looked:
        view, told = client.run(run_id), None
        if as_json:
            return view, None, []
        if view["state"] in WAITING_STATES:
            # It may be forgotten by now; what was read of it is told.
            with suppress(PenstockError):
                told = client.why(run_id)
        ids = [*view.get("after", ()), view.get("parent_id"), view.get("retry_of")]
        for reason in told["reasons"] if told else ():
            ids += reason.get("runs", ())
        unchosen = (name for name in ids if name and GENERATED.fullmatch(name))
        return view, told, known_runs(client, unchosen)

    def kept(source: RunSource) -> Looked:
        return source.view(run_id), None, []

    view, told, others = call_source(session, run_id, live, kept)
    if as_json:
        emit(view)
        return
    for name, value in (card := card_of(view, told)).items():
        if name in NAMING and isinstance(value, str):
            card[name] = by_number(value, [view, *others])
    fields(card)
    if tail := view.get("output_tail"):
        show_line("its last words")
        for line in tail:
            show_line(f"  {line}")
