"""The log's file, for verbs that read or write it without the daemon."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click

from penstock.words.errors import LogDamaged, StartRefused

database_option = click.option(
    "--database",
    type=click.Path(dir_okay=False, path_type=Path),
    help="This file instead of the daemon's own.",
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
