"""What the verbs do that change how runs wait in line: ask for each, and say how it is then."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import click

from penstock.cli.output import emit, say
from penstock.cli.session import Session
from penstock.client.sync import SyncClient
from penstock.words.error_status import exit_code_of
from penstock.words.errors import DaemonUnreachable, PenstockError


def rearrange(
    session: Session, run_ids: Iterable[str], wanted: dict[str, Any], *, as_json: bool
) -> None:
    """Ask this of every run in line."""

    def ask(client: SyncClient, run_id: str) -> dict[str, Any]:
        return client.rearrange(run_id, **wanted)

    ask_each(session, run_ids, ask, as_json=as_json)


def ask_each(
    session: Session,
    run_ids: Iterable[str],
    ask: Callable[[SyncClient, str], dict[str, Any]],
    *,
    as_json: bool,
) -> None:
    """Ask for each run; what one refuses does not keep the others from it."""
    codes: list[int] = []
    for run_id in run_ids:
        try:
            told = session.call(_about(ask, run_id))
        except DaemonUnreachable:
            raise
        except PenstockError as error:
            say(f"{run_id}: {error}")
            codes.append(exit_code_of(error))
            continue
        show_place(session, told, as_json=as_json)
    if codes:
        raise click.exceptions.Exit(codes[0])


def _about(
    ask: Callable[[SyncClient, str], dict[str, Any]], run_id: str
) -> Callable[[SyncClient], dict[str, Any]]:
    return lambda client: ask(client, run_id)


def show_place(session: Session, told: dict[str, Any], *, as_json: bool) -> None:
    """How a run is now: as data, or on stderr why it waits."""
    if as_json:
        emit(told)
        return
    why = session.call(lambda client: client.why(told["run_id"]))
    say(f"{told['run_id']} ({told['priority']}) is {why['state']}. {why['text']}")
