"""The log's file, for verbs that read or write it without the daemon."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click

from penstock.cli.output import say
from penstock.words.errors import LogDamaged, StartRefused

database_option = click.option(
    "--database",
    type=click.Path(dir_okay=False, path_type=Path),
    help="This file instead of the daemon's own.",
)


def say_if_older(path: Path) -> None:
    """A word on a log of an older version, which is read as it is."""
    from penstock.log.sqlite.migrations import log_version
    from penstock.log.sqlite.schema import VERSION

    if (found := log_version(path)) is not None and found < VERSION:
        say(
            f"the log {path} has schema version {found}; it is read as it is, and the daemon"
            f" migrates it to {VERSION} when it starts"
        )


@contextmanager
def readable(path: Path) -> Iterator[None]:
    """What is amiss with a file that SQLite cannot use, as a sentence that names the file."""
    try:
        yield
    except sqlite3.Error as error:
        raise StartRefused(f"the log {path} cannot be read: {error}") from None
    except LogDamaged as error:
        raise LogDamaged(f"{path}: {error}") from None
