"""The texts that a run makes, read where the run is kept."""

from __future__ import annotations

import hashlib
from typing import Any

from penstock.cli.history import RunSource
from penstock.words.errors import NotFound, PenstockError
from penstock.words.near_words import did_you_mean


def known_texts(source: RunSource, run_id: str) -> list[dict[str, Any]]:
    """What is known of each."""
    artifacts: list[dict[str, Any]] = source.view(run_id)["artifacts"]
    return artifacts


def read_text(source: RunSource, run_id: str, name: str) -> tuple[dict[str, Any], str]:
    """What is known of an artifact, and its text. NotFound tells the names there are."""
    known = {told["artifact_id"]: told for told in known_texts(source, run_id)}
    if name not in known:
        names = ", ".join(known) or "none"
        raise NotFound(
            f"{run_id} has no text {name!r}; it has: {names}{did_you_mean(name, known)}"
        )
    told = known[name]
    text = _joined(source, run_id, name, told["attempt"])
    digest = hashlib.sha256(text.encode()).hexdigest()
    if told["sha256"] not in (None, digest):
        raise PenstockError(f"{name} is damaged: its pieces do not make up the text")
    return told, text


def _joined(source: RunSource, run_id: str, name: str, attempt: int) -> str:
    """The pieces of this attempt."""
    pieces: list[str] = []
    after = 0
    while facts := source.page(run_id, after):
        after = facts[-1].position
        for fact in facts:
            piece = fact.event
            if (
                fact.type == "artifact.partial"
                and piece.artifact_id == name
                and piece.attempt == attempt
            ):
                pieces.append(piece.text)
    return "".join(pieces)
