"""`penstock health`: whether the daemon is well."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import click

from penstock.cli.output import Word, emit, fields
from penstock.cli.run_lines import long_span
from penstock.cli.session import Session, json_option, pass_session
from penstock.words.exit_codes import Exit
from penstock.words.sentences import size


@click.command()
@json_option
@pass_session
def health(session: Session, as_json: bool) -> None:
    """Whether the daemon is well; exits 1 if it is not."""
    told = session.call(lambda client: client.health())
    if as_json:
        emit(told)
    else:
        fields(described(told))
    raise click.exceptions.Exit(Exit.OK if told["status"] == "ok" else Exit.RUN_FAILED)


def described(told: Mapping[str, Any]) -> dict[str, str | Word]:
    """What a person wants to know of a daemon: whether it is well, and what it has to do."""
    queue, kept = told.get("queue", {}), told.get("store", {}).get("size")
    lease = told.get("lease", {})
    # An older daemon does not tell how much of its lease it uses.
    usable = lease.get("usable", lease.get("seconds"))
    models, uptime = told.get("models", {}), told.get("uptime")
    return {
        "daemon": Word(told["status"], "green" if told["status"] == "ok" else "red"),
        "because": "; ".join(told.get("reasons", ())),
        "version": told.get("version", ""),
        "up": "" if uptime is None else long_span(timedelta(seconds=uptime)),
        "running": f"{queue['running']} of {queue['slots']} slots" if queue else "",
        "queued": f"{queue['queued']} of {queue['capacity']}" if queue else "",
        "lease": f"{lease['left']:.0f} of {usable:.0f} s left" if lease else "",
        "log": "" if kept is None else size(kept),
        "models": ", ".join(f"{name}: {state}" for name, state in models.items()),
    }
