"""`penstock token`: the secret that clients over TCP show."""

from __future__ import annotations

import sys

import click

from penstock.cli.output import emit, say, show_line
from penstock.cli.session import Session, json_option, pass_session
from penstock.words.errors import NotFound


@click.group(invoke_without_command=True)
@click.pass_context
def token(ctx: click.Context) -> None:
    """The secret that clients over TCP show; without a verb, its file."""
    if ctx.invoked_subcommand is None:
        ctx.invoke(path)


@token.command()
@json_option
@pass_session
def path(session: Session, as_json: bool = False) -> None:
    """The file that holds it."""
    file = session.paths().token
    emit({"path": str(file), "exists": file.exists()}) if as_json else show_line(
        str(file)
    )


@token.command()
@click.option("--show", is_flag=True, help="Yes, print it.")
@pass_session
def show(session: Session, show: bool) -> None:
    """Print it, if asked for with --show: it lets its holder run anything as you."""
    from penstock.words.address import read_token

    if not show:
        raise click.UsageError("add --show to print a secret on this screen")
    secret = read_token(session.paths().token)
    if secret is None:
        raise NotFound("there is no token yet; `penstock serve` makes one")
    show_line(secret)


@token.command()
@pass_session
def header(session: Session) -> None:
    """Print the header that shows it, as JSON, to a program: a host's helper for headers."""
    from penstock.words.address import Address, read_token

    if sys.stdout.isatty():
        raise click.UsageError(
            "it is for programs; `penstock token show --show` prints it"
        )
    secret = session.environ.get("PENSTOCK_TOKEN") or read_token(session.paths().token)
    if secret is None:
        raise NotFound("there is no token yet; `penstock serve` makes one")
    emit(Address(base="", token=secret).authorization())


@token.command()
@json_option
@pass_session
def rotate(session: Session, as_json: bool) -> None:
    """Make a new one; a running daemon takes it at its next start."""
    from penstock.server.bearer import rotate_token

    file = session.paths().token
    rotate_token(file)
    emit({"path": str(file), "exists": True}) if as_json else say(
        f"a new token is in {file}; a daemon that is running takes it at its next start"
    )
