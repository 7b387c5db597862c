"""Writing and correcting modules: a model's answer becomes files, and files a numbered version."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from penstock.kinds.coding.deciding import Decision
from penstock.kinds.coding.modules import Plan, PlannedModule
from penstock.kinds.coding.stages import Work
from penstock.kinds.coding.work_tree import plain, show_file
from penstock.pipeline import (
    CodeGenerated,
    CorrectionCompleted,
    CorrectionStarted,
    ModuleIterated,
    ModuleStarted,
    Recorded,
    Refused,
)

#: What a model says of a file that stays as it is.
UNCHANGED = "unchanged"

#: Characters of a correction's cause in its event.
LONGEST_CAUSE = 500


async def write_module(work: Work, plan: Plan, module: PlannedModule) -> None:
    """Have a model write one module with its tests, and put them into place."""
    started = await work.history.tell(
        f"module {module.name}", ModuleStarted(module=module.name)
    )
    await _iterate(work, module.name, started)

    async def make_inputs() -> dict[str, str]:
        return {
            "notes": work.notes or "(none)",
            "plan": plan.described(),
            "module": f"{module.name}: {module.purpose}\nfile: {module.path}"
            + (f"\ntests: {module.tests}" if module.tests else ""),
            "files": await _around(work, plan, module) or "(none)",
            "tests_run_by": " ".join(work.inputs.tests),
        }

    number = work.version + 1
    answer = await work.ask(
        f"write {module.name}",
        "WriteTestedModule" if module.tests else "WriteModule",
        make_inputs,
        current=started,
        shape=partial(_texts, module),
        check=partial(_check_code, module),
        artifacts=_artifacts(module, number),
    )
    await _put(work, f"before writing {module.name}", answer)
    work.version = number
    event = CodeGenerated(
        module=module.name, code_hash=work.tree.code_hash, files=tuple(answer)
    )
    work.code = await work.history.tell(
        f"code {number}", event, cause=started, code_version=number
    )


async def correct(
    work: Work, plan: Plan, number: int, decision: Decision, cause: Recorded | None
) -> str:
    """Have a model correct one module; what was corrected, and why."""
    named = next((c.module for c in decision.causes if plan.module(c.module)), "")
    why = "; ".join(f"{c.kind}: {c.text.strip()}" for c in decision.causes)
    event = CorrectionStarted(module=named, cause=why[:LONGEST_CAUSE])
    started = await work.history.tell(f"correction {number}", event, cause=cause)

    async def make_inputs() -> dict[str, str]:
        return {
            "notes": work.notes or "(none)",
            "plan": plan.described(),
            "problem": decision.problem,
            "files": await _all_files(work, plan),
        }

    must_change = any(c.kind != "intervention" for c in decision.causes)
    answer = await work.ask(
        f"correct {number}",
        "CorrectModule",
        make_inputs,
        current=cause or started,
        shape=partial(_correction, plan),
        check=partial(_check_correction, work, plan, must_change=must_change),
    )
    name, texts = answer["module"], answer["texts"]
    await _iterate(work, name, started)
    await _put(work, f"before correcting {number}", texts)
    work.version += 1
    work.code = await work.history.tell(
        f"code {work.version}",
        CorrectionCompleted(
            module=name, code_hash=work.tree.code_hash, files=tuple(texts)
        ),
        cause=started,
        code_version=work.version,
    )
    return f"{name}, because of {why}"


async def _iterate(work: Work, module: str, cause: Recorded) -> None:
    number = work.iterations.get(module, 0) + 1
    work.iterations[module] = number
    event = ModuleIterated(module=module, iteration=number)
    await work.history.tell(f"iteration {number} of {module}", event, cause=cause)


async def _put(work: Work, name: str, texts: Mapping[str, str]) -> None:
    """Write the files. What stood there before is recorded first: the patch is made of it."""
    new = [path for path in texts if path not in work.tree.before]

    async def look() -> dict[str, str | None]:
        return {path: await work.tree.read(path) for path in new}

    if new:
        work.tree.before.update(await work.run.step(name, look))
    for path, text in texts.items():
        await work.tree.write(path, text)


async def _around(work: Work, plan: Plan, module: PlannedModule) -> str:
    """The module's files as they are, and those of the modules it uses."""
    needed = [m for name in module.needs if (m := plan.module(name))]
    return await _shown(work, [module, *needed])


async def _all_files(work: Work, plan: Plan) -> str:
    return await _shown(work, list(plan.modules))


async def _shown(work: Work, modules: list[PlannedModule]) -> str:
    paths = [path for module in modules for path in module.files()]
    texts = [(path, await work.tree.read(path)) for path in paths]
    return "\n".join(show_file(path, text) for path, text in texts if text is not None)


def _artifacts(module: PlannedModule, version: int) -> dict[str, str]:
    shown = {"code": f"v{version}/{module.path}"}
    return shown | ({"tests": f"v{version}/{module.tests}"} if module.tests else {})


def _check_code(module: PlannedModule, fields: Mapping[str, Any]) -> None:
    for name in ("code", "tests") if module.tests else ("code",):
        if not plain(fields[name]).strip():
            raise Refused(name, "the file is empty")


def _texts(module: PlannedModule, fields: Mapping[str, Any]) -> dict[str, str]:
    texts = {module.path: plain(fields["code"])}
    return texts | ({module.tests: plain(fields["tests"])} if module.tests else {})


def _correction(plan: Plan, fields: Mapping[str, Any]) -> dict[str, Any]:
    """The corrected module's name, and its new texts by path."""
    name = fields["module"].strip()
    module = plan.module(name)
    if module is None:
        known = ", ".join(m.name for m in plan.modules)
        raise Refused("module", f"{name!r} is not planned (there are: {known})")
    texts = {}
    for path, field in ((module.path, "code"), (module.tests, "tests")):
        text = plain(fields[field])
        if path and text.strip().strip("`.").lower() not in {"", UNCHANGED}:
            texts[path] = text
    return {"module": name, "texts": texts}


def _check_correction(
    work: Work, plan: Plan, fields: Mapping[str, Any], *, must_change: bool
) -> None:
    texts = _correction(plan, fields)["texts"]
    known = work.tree.files
    if must_change and all(known.get(path) == text for path, text in texts.items()):
        raise Refused("code", "nothing was changed, and so the problem remains")
