"""The texts that a run makes, read where the run is kept."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

from penstock.cli.history import RunSource
from penstock.words.errors import PenstockError


def read_text(source: RunSource, run_id: str, told: Mapping[str, Any]) -> str:
    """The text of an artifact, as far as it has come; `told` is what is known of it.

    PenstockError if its pieces do not make up what was written.
    """
    name, attempt = told["artifact_id"], told["attempt"]
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
    text = "".join(pieces)
    digest = hashlib.sha256(text.encode()).hexdigest()
    if told["sha256"] not in (None, digest):
        raise PenstockError(f"{name} is damaged: its pieces do not make up the text")
    return text
