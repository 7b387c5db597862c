"""A model's review of the first whole code, while tests and corrections go on.

What it finds is a bug report like anybody's: about the version it has seen, and judged by whether
that is still the code.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any

import trio

from penstock.kinds.coding.deciding import mark_of
from penstock.kinds.coding.stages import Work
from penstock.pipeline import (
    BudgetSpent,
    BugReported,
    ContextTooLarge,
    DeferredFailure,
    ModelFailed,
    Recorded,
    judge_staleness,
)

#: Findings of one review: small models find something wrong with everything.
MOST_FINDINGS = 5


@asynccontextmanager
async def open_review(
    work: Work,
) -> AsyncGenerator[Callable[[], Awaitable[None]], None]:
    """Review what is written now, if the request wants it; gives a function that waits for the end."""
    reviewed = trio.Event()
    if not work.inputs.review:
        reviewed.set()
    failed = DeferredFailure()
    async with trio.open_nursery() as review_nursery:
        if work.inputs.review and work.code is not None:
            review_nursery.start_soon(
                _review, work, work.code, work.tree.shown(), reviewed
            )
        with failed:
            yield reviewed.wait
        review_nursery.cancel_scope.cancel(reason="the code is done")
    failed.reraise()


async def _review(work: Work, code: Recorded, files: str, reviewed: trio.Event) -> None:
    seen = mark_of(code, work.tree.code_hash)

    async def make_inputs() -> dict[str, str]:
        await trio.lowlevel.checkpoint()
        return {"files": files}

    try:
        findings = await work.ask(
            "review", "ReviewCode", make_inputs, current=code, shape=_findings
        )
        for number, text in enumerate(findings, 1):
            event = BugReported(
                text=text,
                version=seen.version,
                clock=dict(seen.clock),
                code_hash=seen.code_hash,
                verdict=judge_staleness(seen, work.current_mark()).verdict,
            )
            await work.history.tell(f"finding {number}", event, cause=code)
    except (ModelFailed, ContextTooLarge, BudgetSpent) as error:
        # The tests judge the code; a review is a help.
        await work.run.log(f"the review was not done: {error}")
    reviewed.set()


def _findings(fields: Mapping[str, Any]) -> list[str]:
    return [text for text in fields["findings"] if text.strip()][:MOST_FINDINGS]
