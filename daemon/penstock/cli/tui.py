"""`penstock tui`: hands over to the dashboard, which is a program of its own."""

from __future__ import annotations

import importlib.util
import os
import shutil
import sys
from pathlib import Path

import click

from penstock.cli.session import Session, pass_session
from penstock.client.surroundings import shell_environ
from penstock.words.errors import NotAvailable

PROGRAM = "penstock-tui"


@click.command(
    # Its options are the dashboard's own, its help too.
    context_settings={"ignore_unknown_options": True, "help_option_names": []},
)
@click.argument("options", nargs=-1, type=click.UNPROCESSED)
@pass_session
def tui(session: Session, /, options: tuple[str, ...]) -> None:
    """Watch and steer the daemon on the terminal."""
    program = find_program()
    environ = shell_environ(session.environ)
    if session.url:
        environ["PENSTOCK_URL"] = session.url
    if session.config_file:
        environ["PENSTOCK_CONFIG"] = session.config_file
    if session.debug:
        options = ("--debug", *options)
    os.execve(program, [PROGRAM, *options], environ)


def find_program() -> str:
    """The dashboard beside this Python, or on the PATH. NotAvailable says how to install it."""
    missing = [
        name for name in ("textual", "websockets") if not importlib.util.find_spec(name)
    ]
    beside = Path(sys.executable).with_name(PROGRAM)
    program = str(beside) if beside.is_file() else shutil.which(PROGRAM)
    if missing or program is None:
        raise NotAvailable(
            "the dashboard is not installed: pip install 'penstock[tui]'"
        )
    return program
