"""`penstock audit`: whether the log keeps every law."""

from __future__ import annotations

from pathlib import Path

import click

from penstock.cli.log_file import database_option, readable, say_if_older
from penstock.cli.output import emit, say, show_line
from penstock.cli.session import Session, json_option, pass_session
from penstock.words.exit_codes import Exit


@click.command()
@database_option
@json_option
@pass_session
def audit(session: Session, database: Path | None, as_json: bool) -> None:
    """Read the whole log and check that every law was kept; the daemon may be running.

    Exits 1 if one was not.
    """
    from penstock.log.audit import audit_file

    path = session.log_file(database)
    with readable(path):
        checked = audit_file(path)
    say_if_older(path)
    findings = [str(finding) for finding in checked.findings]
    if as_json:
        emit({"facts": checked.facts, "findings": findings})
    else:
        for finding in findings:
            show_line(finding)
        say(f"{checked.facts} facts, {len(findings)} findings")
    if findings:
        raise click.exceptions.Exit(Exit.RUN_FAILED)
