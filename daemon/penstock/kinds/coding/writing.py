"""Writing modules: a model's answer becomes files, and files a numbered version."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from typing import Any, Literal

from penstock.kinds.coding.modules import Plan, PlannedModule
from penstock.kinds.coding.proving import import_module, import_name, make_runnable
from penstock.kinds.coding.stages import Work
from penstock.kinds.coding.work_tree import plain, show_file
from penstock.pipeline import (
    CodeGenerated,
    ModuleIterated,
    ModuleStarted,
    Recorded,
    Refused,
)

#: The files of a module that are asked for, as the fields of an answer.
Wanted = Sequence[Literal["code", "tests"]]


async def write_module(work: Work, plan: Plan, module: PlannedModule) -> None:
    """Have a model write one module with its tests, and put them into place."""
    started = await work.history.tell(
        f"module {module.name}", ModuleStarted(module=module.name)
    )
    await iterate(work, module.name, started)
    texts = await ask_texts(
        work,
        module,
        ("code", "tests") if module.tests else ("code",),
        f"write {module.name}",
        "WriteTestedModule" if module.tests else "WriteModule",
        partial(inputs_of_task, work, plan, module, [module]),
        current=started,
    )
    await put(work, f"before writing {module.name}", texts)
    work.version += 1
    event = CodeGenerated(
        module=module.name, code_hash=work.tree.code_hash, files=tuple(texts)
    )
    work.code = await work.history.tell(
        f"code {work.version}", event, cause=started, code_version=work.version
    )


async def ask_texts(
    work: Work,
    module: PlannedModule,
    wanted: Wanted,
    name: str,
    signature: str,
    make_inputs: Callable[[], Awaitable[Mapping[str, Any]]],
    *,
    current: Recorded,
    temperature: float | None = None,
) -> dict[str, str]:
    """What a model writes as these files of a module, by path."""
    version = work.version + 1
    texts: dict[str, str] = await work.ask(
        name,
        signature,
        make_inputs,
        current=current,
        shape=partial(_texts, module, wanted),
        check=partial(_check_texts, wanted),
        artifacts={one: f"v{version}/{_path(module, one)}" for one in wanted},
        temperature=temperature,
    )
    return texts


async def inputs_of_task(
    work: Work, plan: Plan, module: PlannedModule, shown: Sequence[PlannedModule]
) -> dict[str, str]:
    """What a module is written of: its task, and these files with those of the modules that it uses."""
    needed = [m for name in module.needs if (m := plan.module(name))]
    return {
        "notes": work.notes or "(none)",
        "plan": plan.described(),
        "module": describe(module),
        "files": await show_modules(work, [*shown, *needed]) or "(none)",
        "tests_run_by": " ".join(work.inputs.tests),
    }


def describe(module: PlannedModule) -> str:
    """A module as models are told of it."""
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


async def iterate(work: Work, module: str, cause: Recorded) -> None:
    """Tell that a module is written once more."""
    number = work.iterations.get(module, 0) + 1
    work.iterations[module] = number
    event = ModuleIterated(module=module, iteration=number)
    await work.history.tell(f"iteration {number} of {module}", event, cause=cause)


async def put(work: Work, name: str, texts: Mapping[str, str]) -> None:
    """Write the files. What stood there before is recorded first: the patch is made of it."""
    new = [path for path in texts if path not in work.tree.before]

    async def look() -> dict[str, str | None]:
        return {path: await work.tree.read(path) for path in new}

    if new:
        work.tree.before.update(await work.run.step(name, look))
    for path, text in texts.items():
        await work.tree.write(path, text)


async def show_modules(work: Work, modules: Sequence[PlannedModule]) -> str:
    """The files of modules as they are now; those that are there."""
    paths = [path for module in modules for path in module.files()]
    texts = [(path, await work.tree.read(path)) for path in paths]
    return "\n".join(show_file(path, text) for path, text in texts if text is not None)


def _path(module: PlannedModule, field: str) -> str:
    return module.path if field == "code" else module.tests


def _texts(
    module: PlannedModule, wanted: Wanted, fields: Mapping[str, Any]
) -> dict[str, str]:
    return {
        _path(module, one): as_file(module, one, plain(fields[one])) for one in wanted
    }


def _check_texts(wanted: Wanted, fields: Mapping[str, Any]) -> None:
    for one in wanted:
        if not plain(fields[one]).strip():
            raise Refused(one, "the file is empty")


def as_file(module: PlannedModule, field: str, text: str) -> str:
    """What a model wrote; a test file imports its module, and has its tests found."""
    if field == "code":
        return text
    text = import_module(text, module.path)
    return make_runnable(text) if module.path.endswith(".py") else text
