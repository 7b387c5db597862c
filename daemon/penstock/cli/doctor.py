"""`penstock doctor`: what is amiss on this box, and how to put it right."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from itertools import chain

import click

from penstock.cli import agent_checks, checks, daemon_checks
from penstock.cli.checks import Box, CheckResult, Findings
from penstock.cli.output import Word, emit, show_line
from penstock.cli.session import Session, json_option, pass_session, read_pid
from penstock.words.address import Paths
from penstock.words.errors import DaemonUnreachable, StartRefused
from penstock.words.exit_codes import Exit

_COLOURS = {"ok": "green", "warning": "yellow", "failure": "red"}

CHECKS: tuple[Callable[[Box], Findings], ...] = (
    checks.check_folders,
    daemon_checks.check_token,
    daemon_checks.check_port,
    daemon_checks.check_service,
    daemon_checks.check_unit,
    daemon_checks.check_log,
    daemon_checks.check_containment,
    daemon_checks.check_models,
    agent_checks.check_agents,
    checks.check_git,
    checks.check_disk,
    checks.check_clock,
)


@click.command()
@click.option(
    "--prove-cancel",
    is_flag=True,
    help="Also cancel a loop whose turn will not go, and look what is left of it.",
)
@json_option
@pass_session
def doctor(session: Session, prove_cancel: bool, as_json: bool) -> None:
    """What is amiss on this box, each with its fix; exits 1 if something must be mended."""
    from penstock.cli import proof

    failures = 0
    proven = proof.prove_cancel(session) if prove_cancel else ()
    for finding in chain(look_at(session), proven):
        failures += finding.state == "failure"
        if as_json:
            emit(asdict(finding))
            continue
        state = Word(finding.state.ljust(7), _COLOURS[finding.state])
        show_line(state, f"  {finding.check.ljust(14)}  {finding.found}")
        if finding.fix:
            show_line(f"{' ' * 25}{finding.fix}")
    raise click.exceptions.Exit(Exit.RUN_FAILED if failures else Exit.OK)


def look_at(session: Session) -> Findings:
    """Every finding, in the order in which one would put things right."""
    yield from checks.check_system()
    yield from checks.check_names(session)
    try:
        config, sources = session.config()
    except StartRefused as error:
        yield CheckResult("config", "failure", str(error), "correct that line")
        return
    files = sorted(set(sources.values()) - {"flag", "environment"})
    yield CheckResult("config", "ok", ", ".join(files) or "no file; the defaults hold")
    paths = session.paths(config)
    box = Box(session, config, paths, pid_of(paths))
    for check in CHECKS:
        yield from check(box)


def pid_of(paths: Paths) -> int | None:
    """The daemon of these folders, if one runs."""
    try:
        return read_pid(paths.lock)
    except DaemonUnreachable:
        return None
