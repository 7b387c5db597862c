"""Writing and correcting modules: a model's answer becomes files, and files a numbered version."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import partial
from typing import Any

import trio

from penstock.kinds.coding.deciding import Cause, Decision
from penstock.kinds.coding.modules import Plan, PlannedModule
from penstock.kinds.coding.proving import (
    import_module,
    import_name,
    make_runnable,
    same_program,
)
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

#: How tracebacks end, and other runners' lines that say what is wrong.
_ERROR = re.compile(r"^(?:\w+\.)*\w*(?:Error|Exception)\b.*", re.MULTILINE)

#: What a model says of a file that stays as it is.
UNCHANGED = "unchanged"

#: How freely code is written that was written before, and wrong: it is to be other code.
ANEW_TEMPERATURE = 0.8

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
            "module": _describe(module),
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
    """Have a model correct one module; what was corrected, and why.

    What says nothing about the code, or stays as it is though the tests fail, is written anew from the
    task: see `_write_anew`.
    """
    named = next((c.module for c in decision.causes if plan.module(c.module)), "")
    why = "; ".join(f"{c.kind}: {brief(c)}" for c in decision.causes)
    event = CorrectionStarted(module=named, cause=why[:LONGEST_CAUSE])
    started = await work.history.tell(f"correction {number}", event, cause=cause)
    only_tests = all(c.kind == "tests" for c in decision.causes)
    if only_tests and (idle := plan.module(work.idle)) is not None:
        name = idle.name
        texts = await _rewrite_tests(work, number, idle, decision.problem, started)
    else:
        module = await _choose(work, plan, number, decision, cause or started)
        name = module.name
        texts = await _ask_correction(
            work, plan, module, number, decision, cause or started
        )
        if only_tests and module.tests and not _does_else(work, texts):
            texts = await _write_anew(
                work, plan, module, number, decision.problem, started
            )
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


def brief(cause: Cause) -> str:
    """A cause as its event tells it: of what tests said how they ended, and the errors."""
    text = cause.text.strip()
    if cause.kind != "tests":
        return text
    return "; ".join(dict.fromkeys([text.partition("\n")[0], *_ERROR.findall(text)]))


def _does_else(work: Work, texts: Mapping[str, str]) -> bool:
    """Whether any of these texts says other than what stands there, be it in its comments."""
    return any(
        not same_program(path, work.tree.files.get(path, ""), text)
        for path, text in texts.items()
    )


async def _write_anew(
    work: Work,
    plan: Plan,
    module: PlannedModule,
    number: int,
    problem: str,
    started: Recorded,
) -> dict[str, str]:
    """Half of a module from the task alone, after a model has left all as it is though the tests fail.

    First its tests, which small models get wrong as often; the code if other tests, of nobody who saw it,
    condemn it too. It is not shown: what they are shown they repeat.
    """
    code = work.tree.files.get(module.path)
    if work.retested.get(module.name) != code:
        work.retested[module.name] = code
        return await _rewrite_tests(work, number, module, problem, started)

    async def make_inputs() -> dict[str, str]:
        needed = [m for name in module.needs if (m := plan.module(name))]
        return {
            "notes": work.notes or "(none)",
            "plan": plan.described(),
            "module": _describe(module),
            "files": await _shown(work, needed) or "(none)",
            "tests_run_by": " ".join(work.inputs.tests),
        }

    def shape(fields: Mapping[str, Any]) -> dict[str, str]:
        return {module.path: plain(fields["code"])}

    def check(fields: Mapping[str, Any]) -> None:
        if not plain(fields["code"]).strip():
            raise Refused("code", "the file is empty")

    texts: dict[str, str] = await work.ask(
        f"code of {module.name} {number}",
        "WriteModule",
        make_inputs,
        current=started,
        shape=shape,
        check=check,
        artifacts={"code": f"v{work.version + 1}/{module.path}"},
        temperature=ANEW_TEMPERATURE,
    )
    return texts


async def _choose(
    work: Work, plan: Plan, number: int, decision: Decision, current: Recorded
) -> PlannedModule:
    """The module to correct: what the causes tell, and a model is asked only if they do not."""
    if (told := find_module(plan, decision)) is not None:
        return told

    async def make_inputs() -> dict[str, str]:
        await trio.lowlevel.checkpoint()
        return {"files": plan.described(), "problem": decision.problem}

    def chosen(fields: Mapping[str, Any]) -> str:
        path = fields["path"].strip("`'\" ")
        found = next((m for m in plan.modules if path in {m.name, *m.files()}), None)
        if found is None:
            known = ", ".join(m.path for m in plan.modules)
            raise Refused("path", f"{path!r} is not planned (there are: {known})")
        return found.name

    def check(fields: Mapping[str, Any]) -> None:
        chosen(fields)

    name = await work.ask(
        f"choose {number}",
        "ChooseModule",
        make_inputs,
        current=current,
        shape=chosen,
        check=check,
    )
    return plan.module(name) or plan.modules[-1]


def find_module(plan: Plan, decision: Decision) -> PlannedModule | None:
    """The module that the causes of a correction speak of; None if they name none."""
    for cause in decision.causes:
        if (named := plan.module(cause.module)) is not None:
            return named
    if len(plan.modules) == 1:
        return plan.modules[0]
    # The error stands at the end of what tests say, and the innermost file last.
    text = decision.problem
    last = {
        m.name: max(text.rfind(path) for path in _spoken_of(m)) for m in plan.modules
    }
    best = max(plan.modules, key=lambda m: last[m.name])
    return best if last[best.name] >= 0 else None


def _spoken_of(module: PlannedModule) -> list[str]:
    """How tracebacks and people name a module."""
    names = [path for path in module.files() if path]
    if module.tests:
        names.append(f"{import_name(module.tests)}.")
    return names


async def _ask_correction(
    work: Work,
    plan: Plan,
    module: PlannedModule,
    number: int,
    decision: Decision,
    current: Recorded,
) -> dict[str, str]:
    """Those texts of the module that a model has made other than before, by path."""

    async def make_inputs() -> dict[str, str]:
        return {
            "notes": work.notes or "(none)",
            "plan": plan.described(),
            "problem": decision.problem,
            "files": await _all_files(work, plan),
            "module": _describe(module),
        }

    # A model that left this code as it was would do so again.
    again = work.retested.get(module.name, "") == work.tree.files.get(module.path)
    # Failing tests may be wrong themselves, if they are the model's own.
    must_change = any(c.kind == "bug report" for c in decision.causes)
    texts: dict[str, str] = await work.ask(
        f"correct {number}",
        "CorrectModule",
        make_inputs,
        current=current,
        shape=partial(_correction, work, module),
        check=partial(
            _check_correction, work, module, decision, must_change=must_change
        ),
        temperature=ANEW_TEMPERATURE if again else None,
    )
    return texts


async def _rewrite_tests(
    work: Work, number: int, module: PlannedModule, problem: str, current: Recorded
) -> dict[str, str]:
    """New tests of one module, by path."""

    async def make_inputs() -> dict[str, str]:
        await trio.lowlevel.checkpoint()
        return {
            "notes": work.notes or "(none)",
            "module": _describe(module),
            "problem": problem,
        }

    def shape(fields: Mapping[str, Any]) -> dict[str, str]:
        return {module.tests: _as_tests(plain(fields["tests"]), module)}

    def check(fields: Mapping[str, Any]) -> None:
        if not plain(fields["tests"]).strip():
            raise Refused("tests", "the file is empty")

    texts: dict[str, str] = await work.ask(
        f"tests of {module.name} {number}",
        "RewriteTests",
        make_inputs,
        current=current,
        shape=shape,
        check=check,
        artifacts={"tests": f"v{work.version + 1}/{module.tests}"},
    )
    return texts


def _describe(module: PlannedModule) -> str:
    lines = [f"{module.name}: {module.purpose}", f"file: {module.path}"]
    if module.tests:
        lines.append(f"tests: {module.tests}")
        if module.path.endswith(".py"):
            name = import_name(module.path)
            lines += [
                "the test file begins with:",
                "import unittest",
                f"from {name} import *",
            ]
    return "\n".join(lines)


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
    if module.tests:
        texts[module.tests] = _as_tests(plain(fields["tests"]), module)
    return texts


def _as_tests(text: str, module: PlannedModule) -> str:
    """A test file that imports its module, and whose tests are found."""
    text = import_module(text, module.path)
    return make_runnable(text) if module.path.endswith(".py") else text


def _correction(
    work: Work, module: PlannedModule, fields: Mapping[str, Any]
) -> dict[str, str]:
    """Those of its texts that are new, by path."""
    texts = {}
    for path, field in ((module.path, "code"), (module.tests, "tests")):
        text = plain(fields[field])
        if path and text.strip().strip("`.").lower() not in {"", UNCHANGED}:
            text = text if field == "code" else _as_tests(text, module)
            if work.tree.files.get(path) != text:
                texts[path] = text
    return texts


def _check_correction(
    work: Work,
    module: PlannedModule,
    decision: Decision,
    fields: Mapping[str, Any],
    *,
    must_change: bool,
) -> None:
    failing = any(c.kind == "tests" for c in decision.causes)
    if _correction(work, module, fields) or not (must_change or failing):
        return
    if must_change or not module.tests:
        raise Refused("code", "nothing was changed, and so the problem remains")
