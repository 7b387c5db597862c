"""Correcting modules: what a model makes other than it was, and what it writes anew since it leaves all as it is."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import partial
from typing import Any

import trio

from penstock.kinds.coding.deciding import Cause, Decision
from penstock.kinds.coding.modules import Plan, PlannedModule
from penstock.kinds.coding.proving import import_name, same_program
from penstock.kinds.coding.stages import Work
from penstock.kinds.coding.work_tree import plain
from penstock.kinds.coding.writing import (
    as_file,
    ask_texts,
    describe,
    inputs_of_task,
    iterate,
    put,
    show_modules,
)
from penstock.pipeline import (
    CorrectionCompleted,
    CorrectionStarted,
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
    await iterate(work, name, started)
    await put(work, f"before correcting {number}", texts)
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
    return await ask_texts(
        work,
        module,
        ("code",),
        f"code of {module.name} {number}",
        "WriteModule",
        partial(inputs_of_task, work, plan, module, []),
        current=started,
        temperature=ANEW_TEMPERATURE,
    )


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
            "files": await show_modules(work, plan.modules),
            "module": describe(module),
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
            "module": describe(module),
            "problem": problem,
        }

    name = f"tests of {module.name} {number}"
    return await ask_texts(
        work, module, ("tests",), name, "RewriteTests", make_inputs, current=current
    )


def _correction(
    work: Work, module: PlannedModule, fields: Mapping[str, Any]
) -> dict[str, str]:
    """Those of its texts that are new, by path."""
    texts = {}
    for path, field in ((module.path, "code"), (module.tests, "tests")):
        text = plain(fields[field])
        if path and text.strip().strip("`.").lower() not in {"", UNCHANGED}:
            text = as_file(module, field, text)
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
