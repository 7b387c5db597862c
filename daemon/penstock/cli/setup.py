"""What is set, the token, and the shell's completion."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from penstock.cli.output import emit, say, show_line, table
from penstock.cli.session import Session, json_option, pass_session
from penstock.words.errors import NotFound
from penstock.words.problems import Exit

#: Settings whose values are nobody's business on a screen.
_SECRET = ("key", "token", "secret", "password")


@click.command()
@click.argument("key", required=False)
@json_option
@pass_session
def config(session: Session, key: str | None, as_json: bool) -> None:
    """Every setting with its value and where it came from; or one, by its name."""
    values, sources = session.config()
    rows = [
        {"key": name, "value": value, "source": _source(name, sources)}
        for name, value in _flat(values.model_dump(mode="json"))
        if key is None or name == key or name.startswith(f"{key}.")
    ]
    if not rows:
        raise NotFound(f"there is no setting {key!r}")
    if as_json:
        for row in rows:
            emit(row)
        return
    _tell_file(session)
    table(
        ("KEY", "VALUE", "SOURCE"),
        (
            (row["key"], json.dumps(row["value"], ensure_ascii=False), row["source"])
            for row in rows
        ),
    )


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
@json_option
@pass_session
def rotate(session: Session, as_json: bool) -> None:
    """Make a new one; a running daemon takes it at its next start."""
    from penstock.server.token import rotate_token

    file = session.paths().token
    rotate_token(file)
    emit({"path": str(file), "exists": True}) if as_json else say(
        f"a new token is in {file}; a daemon that is running takes it at its next start"
    )


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completions(shell: str) -> None:
    """A completion script: `penstock completions bash > …/bash-completion/completions/penstock`."""
    from click.shell_completion import get_completion_class

    from penstock.cli.main import cli

    kind = get_completion_class(shell)
    if kind is None:
        raise click.exceptions.Exit(Exit.USAGE)
    show_line(kind(cli, {}, "penstock", "_PENSTOCK_COMPLETE").source())


def _tell_file(session: Session) -> None:
    """Where the config file is, or would be."""
    from penstock.words.config import config_path

    file = Path(session.config_file or config_path(session.environ))
    say(
        f"the config file is {file}{'' if file.exists() else ', and there is none yet'}"
    )


def _source(name: str, sources: dict[str, str]) -> str:
    """Where a setting came from; a table's source is that of its parts."""
    found = next(
        (s for key, s in sources.items() if name == key or name.startswith(f"{key}.")),
        "",
    )
    return found or "default"


def _flat(values: dict[str, Any], prefix: str = "") -> list[tuple[str, Any]]:
    rows: list[tuple[str, Any]] = []
    for name, value in values.items():
        if isinstance(value, dict) and value:
            rows += _flat(value, f"{prefix}{name}.")
        elif (
            any(word in name for word in _SECRET)
            and not name.endswith("_env")
            and value
        ):
            rows.append((prefix + name, "(not shown)"))
        else:
            rows.append((prefix + name, value))
    return rows
