"""What a run has recorded, as the layers that a model is told."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import TYPE_CHECKING

from penstock.llm.context import Layers, build_layers
from penstock.llm.prompts import PromptCache
from penstock.words.events import DROPPABLE_TYPES, EVENT_CLASSES
from penstock.words.recorded import Recorded

if TYPE_CHECKING:
    from penstock.runs.run import Run

#: Facts that a model is told of; those of older and newer daemons are not among them.
TOLD_TYPES = frozenset(EVENT_CLASSES) - DROPPABLE_TYPES - {"model.used"}

# Facts read at once.
_PAGE = 500


async def read_layers(run: Run, *, at: str | None = None) -> Layers:
    """The layers for a question about the run's newest fact of the type `at`, or about no fact.

    The event at hand stays empty: the question itself takes its place.
    """
    facts: list[Recorded] = []
    read = run.tools.reads.read
    after = 0
    while page := await read(run.run_id, after, _PAGE, types=TOLD_TYPES):
        facts += page
        after = page[-1].position
    return replace(layers_at(facts, at), current="")


def layers_at(facts: Iterable[Recorded], at: str | None) -> Layers:
    """The layers of a run's history, in order, with its newest fact of a type at hand."""
    told = [fact for fact in facts if fact.type in TOLD_TYPES]
    current = next((fact for fact in reversed(told) if fact.type == at), None)
    return build_layers(PromptCache(), told, current)
