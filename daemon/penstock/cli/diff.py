"""`penstock diff`: what runs changed."""

from __future__ import annotations

import sys
from functools import partial

import click

from penstock.cli.changes import (
    Changes,
    file_json,
    read_any_changes,
    read_changes,
)
from penstock.cli.comparison import show_comparison
from penstock.cli.diff_lines import show_diff
from penstock.cli.history import ask_source
from penstock.cli.options import runs_argument
from penstock.cli.output import emit, put_document, say, show_line
from penstock.cli.selecting import select, select_one
from penstock.cli.session import Session, json_option, pass_session
from penstock.words.unified_diff import change_in_words


@click.command()
@runs_argument
@click.option("--stat", is_flag=True, help="Only the files, and how much of them.")
@json_option
@pass_session
def diff(session: Session, words: tuple[str, ...], stat: bool, as_json: bool) -> None:
    """What a run changed, as a patch; of several runs which files, side by side.

    A pipe gets the patch as it is: `penstock diff 12 | git apply`. `penstock apply` does it with care.

    \b
    Examples: penstock diff 12
              penstock diff 12 13 --stat
    """
    run_ids = list(select(session, words)) if words else [select_one(session, None)]
    if len(run_ids) > 1:
        found = [
            ask_source(session, run_id, partial(read_any_changes, run_id=run_id))
            for run_id in run_ids
        ]
        show_comparison(found, as_json=as_json)
        return
    run_id = run_ids[0]
    changes = ask_source(session, run_id, lambda source: read_changes(source, run_id))
    if as_json:
        files = [file_json(file) for file in changes.files]
        emit({"run_id": changes.run_id, "files": files, "patch": changes.patch})
    elif stat:
        _show_files(changes)
    elif sys.stdout.isatty():
        show_diff(changes.patch)
        say(changes.size)
    else:
        put_document(changes.patch)


def _show_files(changes: Changes) -> None:
    for file in changes.files:
        moved = f"{file.before} -> " if file.word == "renamed" else ""
        what = "" if file.word in ("changed", "renamed") else f"  ({file.word})"
        much = "binary" if file.binary else change_in_words(file.added, file.removed)
        show_line(f"{moved}{file.path}  {much}{what}".rstrip())
    show_line(changes.size)
