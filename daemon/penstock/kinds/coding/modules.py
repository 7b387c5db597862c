"""The plan of a coding run: what it may be, and in which order it is worked off."""

from __future__ import annotations

import graphlib
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import PurePosixPath
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from penstock.pipeline import Refused

#: Characters of a module's name: it is part of step names.
LONGEST_NAME = 100
LONGEST_PATH = 200

_PART = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.+-]*|\.[A-Za-z0-9_][A-Za-z0-9_.+-]*")


class PlannedFile(BaseModel):
    """What a model decides of a file; all else follows from it."""

    model_config = ConfigDict(frozen=True, extra="ignore")
    path: str = Field(
        json_schema_extra={
            "pattern": r"^([A-Za-z0-9_-]{1,40}/){0,4}[A-Za-z0-9_-]{1,40}\.[a-z]{1,5}$"
        }
    )
    purpose: str = Field("", json_schema_extra={"maxLength": 200})
    needs: list[str] = Field(default_factory=list, json_schema_extra={"maxItems": 6})


class PlannedModule(BaseModel):
    """One file of code, with the file that tests it."""

    model_config = ConfigDict(frozen=True, extra="ignore")
    name: str = Field(description="short and unique")
    path: str = Field(description="relative path of its file")
    purpose: str = Field("", description="what it does, in a sentence or two")
    tests: str = Field(
        "", description="relative path of its test file, empty if none is to be written"
    )
    needs: list[str] = Field(
        default_factory=list, description="names of modules that it uses"
    )

    def files(self) -> tuple[str, ...]:
        """The paths it writes."""
        return (self.path, self.tests) if self.tests else (self.path,)


class Plan(BaseModel):
    """What a model planned, checked, in the order in which it is worked off."""

    model_config = ConfigDict(frozen=True)
    summary: str
    modules: tuple[PlannedModule, ...]
    questions: tuple[str, ...] = ()

    def module(self, name: str) -> PlannedModule | None:
        """The module of this name."""
        return next((m for m in self.modules if m.name == name), None)

    def described(self) -> str:
        """The plan as models are told it."""
        lines = [
            f"- {m.name} ({m.path}; tests: {m.tests or 'none'}): {m.purpose}"
            + (f" Uses {', '.join(m.needs)}." if m.needs else "")
            for m in self.modules
        ]
        return "\n".join([self.summary, *lines])


def check_path(text: str) -> str:
    """A path as it may be written: relative, plain, and nothing of git's own. ValueError says why."""
    path = PurePosixPath(text)
    if not text or len(text) > LONGEST_PATH:
        raise ValueError(f"a path has 1 to {LONGEST_PATH} characters")
    if path.is_absolute() or text.endswith("/"):
        raise ValueError(f"{text!r} is not the relative path of a file")
    for part in path.parts:
        if not _PART.fullmatch(part):
            raise ValueError(f"{text!r} has a part that is not allowed: {part!r}")
        if part.lower() == ".git" or part.startswith(".penstock-"):
            raise ValueError(f"{text!r} names what is not the task's to write")
    return str(path)


def place_of_tests(path: str, there: Sequence[str] | None) -> str:
    """Where the tests of a file of code go: no model needs to decide that.

    `there` are the files of the repository. "" for code that has tests there already; None: there
    is no repository.
    """
    file = PurePosixPath(path)
    stem, ext = file.stem, file.suffix
    known = {f"test_{stem}", f"{stem}_test", f"{stem}.test"}
    if any(PurePosixPath(one).stem in known for one in there or ()):
        return ""
    if ext == ".go":
        return str(file.with_name(f"{stem}_test.go"))
    if ext in {".js", ".mjs", ".ts"}:
        return str(file.with_name(f"{stem}.test{ext}"))
    if ext != ".py":
        return str(file.with_name(f"test_{stem}{ext}"))
    own = any(one.startswith("tests/") for one in there or ())
    # Python finds it from the folder above all, and two modules may have one name in two folders.
    name = "test_" + "_".join(file.with_suffix("").parts) + ".py"
    return f"tests/{name}" if own else name


def is_test(path: str) -> bool:
    """Whether a planned file is tests of something, by its name."""
    stem = PurePosixPath(path).stem.lower()
    return stem.startswith("test_") or stem.endswith(("_test", "_tests", ".test"))


def _code(
    modules: Sequence[PlannedModule], there: Sequence[str] | None
) -> Sequence[PlannedModule]:
    """The planned files without those of tests, unless tests of what is there are all that is planned."""
    code = [module for module in modules if not is_test(module.path)]
    return modules if there is not None and not code else code


def _complete(
    module: PlannedModule, planned: set[str], there: Sequence[str] | None
) -> PlannedModule:
    """With what no model needs to decide: where its tests are, and only needs that are planned."""
    try:
        path = check_path(module.path)
    except ValueError as error:
        raise Refused("modules", f"{module.name}: {error}") from None
    needs = [
        n for n in dict.fromkeys(module.needs) if n in planned and n != module.name
    ]
    tests = "" if is_test(path) else place_of_tests(path, there)
    return module.model_copy(update={"path": path, "tests": tests, "needs": needs})


def name_files(files: Sequence[PlannedFile]) -> list[PlannedModule]:
    """Planned files as modules, named by their paths; needs may say paths or names."""
    names = {file.path: _name_of(file.path) for file in files}
    return [
        PlannedModule(
            name=names[file.path],
            path=file.path,
            purpose=file.purpose,
            tests="",
            needs=[names.get(need, _name_of(need)) for need in file.needs],
        )
        for file in files
    ]


def _name_of(path: str) -> str:
    return (
        ".".join(PurePosixPath(path).with_suffix("").parts)
        if path.strip("./")
        else path
    )


def make_plan(
    fields: Mapping[str, Any], *, most: int, there: Sequence[str] | None = None
) -> Plan:
    """The plan in a model's answer; `there` as for `place_of_tests`. Refused says what is wrong with it."""
    named = {m.name for m in fields["modules"]}
    modules: Sequence[PlannedModule] = [
        _complete(m, named, there) for m in _code(fields["modules"], there)
    ]
    if not modules:
        raise Refused("modules", "there are none")
    if len(modules) > most:
        raise Refused("modules", f"there are {len(modules)}, and {most} is the limit")
    _check_names(modules)
    _check_files(modules)
    return Plan(
        summary=fields["summary"],
        modules=in_order(modules),
        questions=tuple(q.strip() for q in fields.get("questions", ()) if q.strip()),
    )


def in_order(modules: Iterable[PlannedModule]) -> tuple[PlannedModule, ...]:
    """What is needed comes first; otherwise as planned. Refused names a cycle."""
    by_name = {module.name: module for module in modules}
    try:
        order = list(
            graphlib.TopologicalSorter(
                {m.name: m.needs for m in by_name.values()}
            ).static_order()
        )
    except graphlib.CycleError as error:
        cycle = " → ".join(reversed(error.args[1]))
        raise Refused("modules", f"they need each other: {cycle}") from None
    done: set[str] = set()
    ordered: list[PlannedModule] = []
    while len(ordered) < len(order):
        ready = next(
            m
            for m in by_name.values()
            if m.name not in done and done.issuperset(m.needs)
        )
        done.add(ready.name)
        ordered.append(ready)
    return tuple(ordered)


def _check_names(modules: Sequence[PlannedModule]) -> None:
    seen: set[str] = set()
    for module in modules:
        if not module.name.strip() or len(module.name) > LONGEST_NAME:
            raise Refused("modules", f"a name has 1 to {LONGEST_NAME} characters")
        if module.name in seen:
            raise Refused("modules", f"two are named {module.name!r}")
        seen.add(module.name)


def _check_files(modules: Sequence[PlannedModule]) -> None:
    seen: set[str] = set()
    for module in modules:
        for path in module.files():
            if path in seen:
                raise Refused("modules", f"two write {path!r}")
            seen.add(path)
