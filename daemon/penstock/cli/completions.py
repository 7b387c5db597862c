"""`penstock completions`: completion for the shell, and the man page."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import click

from penstock.cli.completing import SCRIPTS
from penstock.cli.output import put_document, say, show_line
from penstock.cli.session import Session, pass_session
from penstock.words.errors import PenstockError


@click.command()
@click.argument("shell", type=click.Choice(sorted(SCRIPTS)), required=False)
@click.option(
    "--install", is_flag=True, help="Put it, and the man page, where they are found."
)
@click.option("--man", is_flag=True, help="The man page instead.")
@pass_session
def completions(session: Session, shell: str | None, install: bool, man: bool) -> None:
    """What completes verbs, runs, groups and filters in your shell; --install puts it there.

    With --install SHELL may be left out: it is the one of $SHELL. It tells the files it has written.
    """
    if man and not install:
        put_document(_man_page())
        return
    shell = shell or _own_shell(session.environ)
    if shell is None:
        raise click.UsageError(f"say which shell: {', '.join(sorted(SCRIPTS))}")
    script = SCRIPTS[shell].read_text(encoding="utf-8")
    if not install:
        put_document(script)
        return
    data = _folder(session.environ, "XDG_DATA_HOME", ".local/share")
    config = _folder(session.environ, "XDG_CONFIG_HOME", ".config")
    places = {
        "bash": data / "bash-completion/completions/penstock",
        "zsh": data / "zsh/site-functions/_penstock",
        "fish": config / "fish/completions/penstock.fish",
    }
    from penstock.cli.man_page import PLACE

    for place, text in ((places[shell], script), (data / PLACE, _man_page())):
        _write(place, text)
        show_line(str(place))
    if (hint := _what_is_left(shell, places[shell])) is not None:
        say(hint)


def _man_page() -> str:
    from penstock.cli.main import cli
    from penstock.cli.man_page import man_page

    return man_page(cli)


def _own_shell(environ: Mapping[str, str]) -> str | None:
    name = Path(environ.get("SHELL", "")).name
    return name if name in SCRIPTS else None


def _folder(environ: Mapping[str, str], name: str, below: str) -> Path:
    said = environ.get(name, "")
    return Path(said) if os.path.isabs(said) else Path.home() / below


def _write(place: Path, text: str) -> None:
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        fresh = place.with_name(f".{place.name}.new")
        fresh.write_text(text, encoding="utf-8")
        # A shell may be reading it.
        fresh.replace(place)
    except OSError as error:
        why = f"{place} cannot be written: {error.strerror}"
        raise PenstockError(why) from None


def _what_is_left(shell: str, place: Path) -> str | None:
    """What the person has to do once, where the shell does not look into such folders by itself."""
    if shell == "bash" and not any(map(os.path.exists, _LOADERS)):
        return f"without the package bash-completion, ~/.bashrc needs a line: . {place}"
    if shell == "zsh":
        return f"~/.zshrc needs, before compinit: fpath=({place.parent} $fpath)"
    return None


#: Where the package lies that loads such files when they are needed.
_LOADERS = (
    "/usr/share/bash-completion/bash_completion",
    "/usr/local/share/bash-completion/bash_completion",
    "/opt/homebrew/share/bash-completion/bash_completion",
)
