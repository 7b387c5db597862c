"""Runs as others see them in a trace: what is recorded is told as spans, in the step of its commit."""

from __future__ import annotations

import logging
from collections.abc import Callable

from penstock.log.projections import RunView
from penstock.log.spans import SpanMaker, TraceSpan
from penstock.runs.table import RunTable
from penstock.words.recorded import Recorded

log = logging.getLogger("penstock.spans")


def attach_spans(table: RunTable, tell: Callable[[TraceSpan], None]) -> None:
    """Tell the spans of what this table folds from now on. Whatever `tell` raises ends no run."""
    maker = SpanMaker()

    def follow(fact: Recorded, view: RunView) -> None:
        try:
            for span in maker.take(fact, view):
                if table.is_ours(view):
                    tell(span)
        # Somebody else's library, in the step in which facts become true: it must not break that.
        except Exception:
            log.exception("a span was not told", extra={"run_id": fact.run_id})

    table.followers.append(follow)
