"""A coding task: plan, modules, tests, corrections until the tests pass, and the result.

Every stage is a fact with a name of its own, every request to a model and every test run a step. So
an execution that follows a crash, a stop or a preemption goes through all stages again, tells
nothing twice, and repeats neither a finished step nor a paid request.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from contextlib import suppress
from itertools import count
from pathlib import Path
from typing import Any

from penstock.kinds.coding.analysis import ask_dead_code
from penstock.kinds.coding.correcting import correct
from penstock.kinds.coding.deciding import Decision, decide
from penstock.kinds.coding.history import CodingHistory
from penstock.kinds.coding.inputs import CodingInputs, CodingOutput
from penstock.kinds.coding.modules import Plan
from penstock.kinds.coding.planning import plan_work
from penstock.kinds.coding.proving import prove
from penstock.kinds.coding.reviewing import open_review
from penstock.kinds.coding.stages import Work
from penstock.kinds.coding.work_tree import WorkTree, make_branch, open_tree
from penstock.kinds.coding.writing import write_module
from penstock.pipeline import (
    BudgetSpent,
    ContextTooLarge,
    DeferredFailure,
    ModelFailed,
    PenstockError,
    Run,
    SourceUnusable,
    run_in_thread,
)

PATCH, REPORT = "changes.patch", "report.md"

_WORDS = ("bug.reported", "intervention.received")

_NO_END = "\\ No newline at end of file\n"


#: First line of the report, and of the file that says so in `out`, while the tests fail.
FAILING = "# FAILING: this code does not do what it was asked for"
FAILING_FILE = "FAILING.md"


class CorrectionsSpent(PenstockError):
    """The tests still fail after as many corrections as are allowed."""


#: Failures after which the code is worth a look. No others: a run that is cancelled, or has lost its
#: store, has nothing more to say.
_REMAINS = (CorrectionsSpent, ModelFailed, ContextTooLarge, BudgetSpent)


async def write_code(run: Run, inputs: CodingInputs) -> CodingOutput:
    """Do the task in a folder of the run's own; the result is a patch, a report, maybe a branch."""
    history = CodingHistory(run)
    await history.catch_up()
    work = Work(run, inputs, history, await open_tree(run, inputs.repository))
    await run.progress("plan", 0.0)
    plan = await plan_work(work)
    work.modules = plan.modules
    failed = DeferredFailure()
    with failed:
        return await _do_plan(work, plan)
    if isinstance(failed.error, _REMAINS):
        await _leave_failing(work, plan, str(failed.error))
    failed.reraise()
    raise AssertionError("unreachable")


async def _do_plan(work: Work, plan: Plan) -> CodingOutput:
    run = work.run
    for done, module in enumerate(plan.modules):
        await run.progress(f"write {module.name}", 0.1 + 0.5 * done / len(plan.modules))
        await write_module(work, plan, module)
    async with open_review(work) as wait_reviewed:
        findings = await _correct_until_done(work, plan, wait_reviewed)
    return await _finish(work, plan, findings)


async def _correct_until_done(
    work: Work, plan: Plan, wait_reviewed: Any
) -> list[dict[str, Any]]:
    """Test and correct until nothing is wrong; what the analysis found."""
    decided = 0
    for number in count(1):
        await work.run.progress(f"tests {number}", 0.6)
        failure, tested = await prove(work, number)
        if failure is None:
            await wait_reviewed()
        decision = await _decide(work, f"decision {number}", decided, failure)
        if not decision.causes:
            findings = await ask_dead_code(work)
            # The analysis may have waited long, and people may have spoken meanwhile.
            decision = await _decide(
                work, f"decision {number} again", decision.upto, failure
            )
            if not decision.causes:
                return findings
        if number > work.inputs.max_rounds:
            raise CorrectionsSpent(
                f"after {work.inputs.max_rounds} corrections this remains: {decision.problem}"
            )
        decided = decision.upto
        cause = tested if failure is not None else work.history.newest(*_WORDS)
        work.corrections.append(await correct(work, plan, number, decision, cause))
    raise AssertionError("unreachable")


async def _decide(work: Work, name: str, decided: int, failure: str | None) -> Decision:
    """What is to be done, as a step: a resumed run must not decide otherwise."""

    async def look() -> dict[str, Any]:
        await work.history.catch_up()
        made = decide(
            work.history.facts,
            heard=work.heard,
            decided=decided,
            current=work.current_mark(),
            failure=failure,
        )
        if made.overtaken:
            await work.run.log(
                f"{made.overtaken} reports were about code that is corrected since"
            )
        return made.to_json()

    return Decision.from_json(await work.run.step(name, look))


async def _finish(
    work: Work, plan: Plan, findings: list[dict[str, Any]]
) -> CodingOutput:
    inputs, tree = work.inputs, work.tree
    files = sorted(tree.files)
    report = make_report(
        plan,
        prompt=inputs.prompt,
        files=files,
        version=work.version,
        code_hash=tree.code_hash,
        corrections=work.corrections,
        findings=[
            f"`{f['path']}:{f['line']}` {f['problem']} {f['name']}".rstrip()
            for f in findings
        ],
    )
    await _show_result(work, report)
    if inputs.out is not None:
        await _write_out(work.run, tree.files, Path(inputs.out))
        await run_in_thread(_remove_mark, Path(inputs.out))
    if inputs.branch is not None and inputs.repository is not None:
        await make_branch(work.run, tree, inputs.repository, inputs.branch)
    return CodingOutput(
        summary=plan.summary,
        files=files,
        code_version=work.version,
        code_hash=tree.code_hash,
        corrections=len(work.corrections),
        findings=len(findings),
        patch=PATCH,
        report=REPORT,
        branch=inputs.branch,
    )


async def _leave_failing(work: Work, plan: Plan, why: str) -> None:
    """What there is, marked as failing: a person may mend in a minute what a small model cannot."""
    files = work.tree.files
    if not files:
        return
    report = make_report(
        plan,
        prompt=work.inputs.prompt,
        files=sorted(files),
        version=work.version,
        code_hash=work.tree.code_hash,
        corrections=work.corrections,
        findings=[],
        failing=why,
    )
    await _show_result(work, report)
    if work.inputs.out is not None:
        # The failure that is told is the run's own.
        with suppress(OSError, SourceUnusable):
            marked = {**files, FAILING_FILE: report}
            await _write_out(work.run, marked, Path(work.inputs.out))


async def _show_result(work: Work, report: str) -> None:
    tree = work.tree
    await _show(work.run, PATCH, make_patch(tree.before, tree.files))
    await _show(work.run, REPORT, report)


async def _write_out(run: Run, files: Mapping[str, str], folder: Path) -> None:
    place = WorkTree(folder, run.run_id)
    for path in sorted(files):
        await place.write(path, files[path])


def _remove_mark(folder: Path) -> None:
    """An earlier run into the same folder may have failed. Blocks."""
    mark = folder / FAILING_FILE
    if mark.is_file() and mark.read_bytes().startswith(FAILING.encode()):
        mark.unlink()


async def _show(run: Run, artifact_id: str, text: str) -> None:
    async with run.artifact(artifact_id) as artifact:
        await artifact.write(text)


def make_patch(before: Mapping[str, str | None], after: Mapping[str, str]) -> str:
    """What changed, in git's form, by path; "" if nothing did."""
    return "".join(
        _file_patch(path, before.get(path), after[path])
        for path in sorted(after)
        if before.get(path) != after[path]
    )


def _file_patch(path: str, before: str | None, after: str) -> str:
    head = [f"diff --git a/{path} b/{path}\n"]
    if before is None:
        head.append("new file mode 100644\n")
    # Not `splitlines`: a form feed, say, is no line's end to git.
    lines = difflib.unified_diff(
        _lines(before or ""),
        _lines(after),
        "/dev/null" if before is None else f"a/{path}",
        f"b/{path}",
    )
    marked = [line if line.endswith("\n") else f"{line}\n{_NO_END}" for line in lines]
    return "".join([*head, *marked])


def _lines(text: str) -> list[str]:
    parts = text.split("\n")
    lines = [f"{part}\n" for part in parts[:-1]]
    return [*lines, parts[-1]] if parts[-1] else lines


def make_report(
    plan: Plan,
    *,
    prompt: str,
    files: Sequence[str],
    version: int,
    code_hash: str,
    corrections: Sequence[str],
    findings: Sequence[str],
    failing: str | None = None,
) -> str:
    """What was done, as Markdown; `failing` says why it does not count as done."""
    state = f"at version {version}, SHA-256 `{code_hash}`"
    parts = [
        *([] if failing is None else [FAILING, _one_line(failing)]),
        "# Coding report",
        f"Task: {_one_line(prompt)}",
        plan.summary,
        "## Modules",
        "\n".join(f"- {m.name} (`{m.path}`): {m.purpose}" for m in plan.modules),
        "## Files",
        "\n".join(f"- `{path}`" for path in files),
        "## Corrections",
        "\n".join(f"{n}. {_one_line(c)}" for n, c in enumerate(corrections, 1))
        or "None were needed.",
        "## Code that nothing uses",
        "\n".join(f"- {finding}" for finding in findings) or "None was found.",
        f"The tests pass {state}."
        if failing is None
        else f"The tests do not pass {state}.",
    ]
    return "\n\n".join(parts) + "\n"


def _one_line(text: str, longest: int = 300) -> str:
    line = " ".join(text.split())
    return line if len(line) <= longest else line[: longest - 1] + "…"
