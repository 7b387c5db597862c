"""The look for code that nothing uses, and the question for it of a coding run that is done."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import trio

from penstock.kinds.coding.dead_code import DeadCodeInputs, DeadCodeOutput
from penstock.kinds.coding.modules import check_path
from penstock.kinds.coding.names import Names, find_dead_code
from penstock.kinds.coding.stages import Work
from penstock.kinds.coding.work_tree import list_files
from penstock.kinds.strangers import read_confined
from penstock.pipeline import (
    AnalysisCompleted,
    ChildNotCompleted,
    NotAvailable,
    Refused,
    Run,
    ShuttingDown,
    priority_of_event,
    run_in_thread,
)

#: Files of the folder that are searched for uses.
MOST_FILES = 2000
#: What tells the names of a file, in a process of its own.
NAMES = "penstock.kinds.coding.names"
#: Findings of one run: more say no more.
MOST_FINDINGS = 100


async def analyse(run: Run, inputs: DeadCodeInputs) -> DeadCodeOutput:
    """Look at the files, and for uses at all others of the folder; what is no text is left out."""
    root = Path(inputs.folder)
    there = await run_in_thread(list_files, root, MOST_FILES)
    paths = [p for p in dict.fromkeys([*inputs.files, *there]) if _may_be_module(p)]
    files: dict[str, Names] = {}

    async def take(number: int, reply: Any) -> None:
        await trio.lowlevel.checkpoint()
        if reply:
            files[paths[number]] = Names.from_json(reply)

    requests = [{"path": path} for path in paths]
    await read_confined(run, NAMES, requests, take, lambda: {"root": str(root)})
    find = partial(find_dead_code, files, frozenset(inputs.files))
    findings = await run_in_thread(find)
    return DeadCodeOutput(findings=findings[:MOST_FINDINGS])


def _may_be_module(path: str) -> bool:
    """Names with blanks in them, or that lead elsewhere, are nobody's modules."""
    try:
        return check_path(path) == path and path.endswith(".py")
    except ValueError:
        return False


async def ask_dead_code(work: Work) -> list[dict[str, Any]]:
    """What nothing uses in the code that a coding run wrote, found by a child.

    An analysis that fails is told and no more.
    """
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
