"""The analysis at the end of a coding run, done by a child that is worth no more than it is."""

from __future__ import annotations

from typing import Any

from penstock.kinds.coding.work import Work
from penstock.pipeline import (
    AnalysisCompleted,
    ChildNotCompleted,
    NotAvailable,
    Refused,
    ShuttingDown,
    priority_of_event,
)


async def analyse(work: Work) -> list[dict[str, Any]]:
    """What nothing uses in the code that was written. An analysis that fails is told and no more."""
    try:
        findings = await _ask_child(work)
        summary = f"{len(findings)} findings"
    except (Refused, NotAvailable, ChildNotCompleted, ShuttingDown) as error:
        findings, summary = [], f"not done: {error}"
    event = AnalysisCompleted(findings=tuple(findings), summary=summary)
    await work.history.tell(f"analysis {work.version}", event, cause=work.code)
    return findings


async def _ask_child(work: Work) -> list[dict[str, Any]]:
    run, name = work.run, f"dead-code-{work.version}"
    inputs = {"folder": str(work.tree.root), "files": sorted(work.tree.files)}
    priority = max(priority_of_event("analysis.completed"), run.priority)
    child = await run.spawn_run(name, "dead-code", inputs, priority=priority)
    found: list[dict[str, Any]] = child.result["findings"]
    return found
