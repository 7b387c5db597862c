"""The texts that a run makes: which there are, and one of them."""

from __future__ import annotations

import os
from typing import Any, BinaryIO

import click

from penstock.cli.history import ask_source
from penstock.cli.offers import offer_artifacts
from penstock.cli.options import named_run_argument
from penstock.cli.output import emit, put_document, say, table
from penstock.cli.run_texts import known_texts, read_text
from penstock.cli.session import Session, json_option, pass_session


@click.command()
@named_run_argument
@click.argument(
    "name", metavar="[NAME]", required=False, shell_complete=offer_artifacts
)
@click.option(
    "--out", "-o", type=click.File("wb", atomic=True), help="A file instead of stdout."
)
@json_option
@pass_session
def artifacts(
    session: Session, run_id: str, name: str | None, out: BinaryIO | None, as_json: bool
) -> None:
    """The texts that a run makes; with a NAME that text, as far as it has come."""
    if name is None:
        if out is not None:
            raise click.UsageError("--out needs the name of a text")
        known = ask_source(session, run_id, lambda source: known_texts(source, run_id))
        _list(known, as_json)
        return
    told, text = ask_source(
        session, run_id, lambda source: read_text(source, run_id, name)
    )
    if as_json:
        emit({"run_id": run_id, **told, "text": text})
    elif out is not None:
        out.write(text.encode())
    else:
        put_document(text)
    if told["size"] is None:
        say(f"{name} is not whole: these are the first {len(text)} characters")


def _list(known: list[dict[str, Any]], as_json: bool) -> None:
    if as_json:
        for told in known:
            emit(told)
        return
    table(
        ("NAME", "BYTES", "FILE"),
        (
            (
                told["artifact_id"],
                "not whole" if told["size"] is None else str(told["size"]),
                _still_there(told["path"]),
            )
            for told in known
        ),
    )


def _still_there(path: str | None) -> str:
    """The file, unless it went with the run's workspace or lies on another machine."""
    return path if path and os.path.exists(path) else ""
