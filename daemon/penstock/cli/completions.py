"""`penstock completions`: a completion script for the shell."""

from __future__ import annotations

import click

from penstock.cli.output import show_line
from penstock.words.exit_codes import Exit


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
