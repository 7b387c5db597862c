"""`penstock audit`: whether the log keeps every law."""

from __future__ import annotations

from pathlib import Path

import click

from penstock.cli.chosen_log import choose_log, log_options
from penstock.cli.output import emit, say, show_line
from penstock.cli.session import Session, json_option, pass_session
from penstock.words.exit_codes import Exit


@click.command()
@log_options
@json_option
@pass_session
def audit(
    session: Session,
    database: Path | None,
    store: str | None,
    schema: str | None,
    as_json: bool,
) -> None:
    """Read the whole log and check that every law was kept; the daemon may be running.

    Exits 1 if one was not.
    """
    from penstock.log.audit import audit_whole

    chosen = choose_log(session, database, store, schema)
    with chosen.reading() as log:
        checked = audit_whole(log)
    chosen.say_if_older()
    findings = [str(finding) for finding in checked.findings]
    if as_json:
        emit({"facts": checked.facts, "findings": findings})
    else:
        for finding in findings:
            show_line(finding)
        say(f"{checked.facts} facts, {len(findings)} findings")
    if findings:
        raise click.exceptions.Exit(Exit.RUN_FAILED)
