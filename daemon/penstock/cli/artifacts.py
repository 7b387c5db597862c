"""The texts that a run makes: which there are, and one of them."""

from __future__ import annotations

import hashlib
import os
from typing import Any, BinaryIO

import click

from penstock.cli.exchange_lines import lines_of_exchange, read_exchanges
from penstock.cli.history import RunSource, ask_source
from penstock.cli.offers import offer_artifacts
from penstock.cli.options import named_run_argument
from penstock.cli.output import emit, put_document, say, table
from penstock.cli.run_texts import read_text
from penstock.cli.session import Session, json_option, pass_session
from penstock.words.errors import NotFound
from penstock.words.near_words import did_you_mean

#: Begins the names of exchanges with models among the texts of a run.
EXCHANGE = "exchange/"


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
    """The texts that a run makes; with a NAME that text, as far as it has come.

    Each exchange with a model is one of them, as `penstock context RUN --sent` shows it.
    """
    if name is None:
        if out is not None:
            raise click.UsageError("--out needs the name of a text")
        known = ask_source(session, run_id, lambda source: _known(source, run_id))
        _list(known, as_json)
        return
    told, text = ask_source(session, run_id, lambda source: _read(source, run_id, name))
    if as_json:
        emit({"run_id": run_id, **told, "text": text})
    elif out is not None:
        out.write(text.encode())
    else:
        put_document(text)
    if told["size"] is None:
        say(f"{name} is not whole: these are the first {len(text)} characters")


def _known(source: RunSource, run_id: str) -> list[dict[str, Any]]:
    view = source.view(run_id)
    made: list[dict[str, Any]] = view["artifacts"]
    exchanges = _exchanges(source, view)
    return made + [_describe(name, text) for name, text in exchanges.items()]


def _exchanges(source: RunSource, view: dict[str, Any]) -> dict[str, str]:
    """The run's exchanges with models, by name.

    They are no artifacts of the log: that would hold them twice, and as artifacts without redaction.
    """
    if not view.get("tokens_in") and not view.get("tokens_out"):
        return {}
    made = {told["artifact_id"] for told in view["artifacts"]}
    texts = {
        f"{EXCHANGE}{number}": "\n".join(lines_of_exchange(exchange)) + "\n"
        for number, exchange in enumerate(read_exchanges(source, view["run_id"]), 1)
    }
    return {name: text for name, text in texts.items() if name not in made}


def _describe(name: str, text: str) -> dict[str, Any]:
    """An exchange as artifacts are told."""
    data = text.encode()
    return {
        "artifact_id": name,
        "attempt": 1,
        "characters": len(text),
        "size": len(data),
        "sha256": hashlib.sha256(data).hexdigest(),
        "path": None,
    }


def _read(source: RunSource, run_id: str, name: str) -> tuple[dict[str, Any], str]:
    """What is known of an artifact, and its text. NotFound tells the names there are."""
    view = source.view(run_id)
    known = {told["artifact_id"]: told for told in view["artifacts"]}
    if name not in known:
        exchanges = _exchanges(source, view)
        if name in exchanges:
            return _describe(name, exchanges[name]), exchanges[name]
        names = ", ".join([*known, *exchanges]) or "none"
        near = did_you_mean(name, [*known, *exchanges])
        raise NotFound(f"{run_id} has no text {name!r}; it has: {names}{near}")
    return known[name], read_text(source, run_id, known[name])


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
