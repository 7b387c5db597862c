"""Whether the tests of a coding run pass, and whether that says anything about the code.

A test program that ends well has proved nothing if it ran no test, ran tests of other files, or ran
some that pass without the code. So the planned test files are run by name, tests are counted, and
what passes must fail once a stub stands in the code's place.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Collection, Sequence
from pathlib import PurePosixPath
from typing import Any

import trio

from penstock.kinds.coding.inputs import DEFAULT_TESTS
from penstock.kinds.coding.modules import PlannedModule
from penstock.kinds.coding.stages import Work
from penstock.pipeline import (
    Recorded,
    TestFailed,
    TestPassed,
    TestStarted,
    end_in_words,
    run_in_thread,
)

#: Characters of a test run's output that a model is shown: its end, where the summary stands.
LONGEST_OUTPUT = 6000
#: Lines and characters of a test run's output in the event; the whole is in the run's log.
SUMMARY_LINES = 3
LONGEST_SUMMARY = 500

#: Seconds for putting a module back after its stub was tested: one write, on a busy disk.
_PUT_BACK_SECONDS = 10.0

#: Compiled files carry times in whole seconds, and corrections come faster than that; and what a
#: test said before it hung must not be stuck in its buffer.
_TEST_ENVIRONMENT = {"PYTHONDONTWRITEBYTECODE": "1", "PYTHONUNBUFFERED": "1"}

_UNITTEST = ("python3", "-m", "unittest")

# How unittest, cargo and node count; and how pytest and go say that there was nothing to count.
_COUNTED = re.compile(
    r"^(?:Ran (\d+) tests? in|running (\d+) tests?$|(?:#|\u2139) tests (\d+)$)",
    re.MULTILINE,
)
_SKIPPED = re.compile(r"^OK \(.*skipped=(\d+)", re.MULTILINE)
_NOTHING = re.compile(
    r"\bno tests ran\b|\bno tests to run\b|\[no test files\]|^=* ?\d+ (?:skipped|deselected)[^,]* in ",
    re.MULTILINE,
)

_MADE = re.compile(r"^(?:async +def|def|class) +(\w+)", re.MULTILINE)
_STUB = """\
def _nothing(*args, **kwargs):
    return None


def __getattr__(name):
    if name.startswith("__"):
        raise AttributeError(name)
    return _nothing

"""


def commands_to_run(
    tests: Sequence[str], modules: Sequence[PlannedModule], *, fresh: bool
) -> list[tuple[str, ...]]:
    """What is run, one after the other.

    Python's own runner is given the planned files by name: what it discovers depends on folders
    and their `__init__.py`. In a repository it goes on to what else there is. A program of the
    user's is run as it is.
    """
    files = tuple(m.tests for m in modules if m.tests.endswith(".py"))
    if tuple(tests) != DEFAULT_TESTS or not files:
        return [tuple(tests)]
    named = (*_UNITTEST, *files)
    return [named] if fresh else [named, DEFAULT_TESTS]


def own_frames(output: str, *names: str) -> str:
    """What tests said, without the frames of tracebacks that are not of the files at hand, which stand without
    their folder, whichever of its names is told: what a test runner calls inside itself fills a small model's
    window and says nothing.
    """
    own = "|".join(re.escape(name.rstrip("/")) for name in names)
    foreign = rf'^  File "(?!(?:{own})/)/[^"\n]*", line \d+.*\n(?:    .*\n)*'
    frozen = r'^  File "<frozen [^"\n]*", line \d+.*\n(?:    .*\n)*'
    for frames in (foreign, frozen):
        output = re.sub(frames, "", output, flags=re.MULTILINE)
    # The longer first: one may be the end of the other.
    for name in sorted(names, key=len, reverse=True):
        output = output.replace(f"{name.rstrip('/')}/", "")
    return output


def count_tests(output: str) -> int | None:
    """How many tests were run and not skipped, as far as the output tells; None if it does not."""
    counted = [int(next(filter(None, found))) for found in _COUNTED.findall(output)]
    if counted:
        return max(0, sum(counted) - sum(map(int, _SKIPPED.findall(output))))
    return 0 if _NOTHING.search(output) else None


def judge_tests(tests: Sequence[str], output: str) -> str | None:
    """Why tests whose program ended well have not passed; None if they have.

    Python's own runner says how many it ran, unless the code under test ended it early.
    """
    ran = count_tests(output)
    if ran is None and tuple(tests) == DEFAULT_TESTS:
        return "the tests ended before they were run"
    return "no test was run" if ran == 0 else None


def make_stub(module: PlannedModule, code: str) -> str:
    """A file with the names of the code and nothing of what it does; empty if it is no Python."""
    if not module.path.endswith(".py"):
        return ""
    names = dict.fromkeys(_MADE.findall(code))
    return _STUB + "".join(f"{name} = _nothing\n" for name in names)


def same_program(path: str, one: str, other: str) -> bool:
    """Whether two texts of a file do the same for certain: Python that differs in comments and layout only."""
    if one == other or not path.endswith(".py"):
        return one == other
    try:
        return ast.dump(ast.parse(one)) == ast.dump(ast.parse(other))
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False


def import_name(path: str) -> str:
    """How a Python file is imported from the folder it is below."""
    return ".".join(PurePosixPath(path).with_suffix("").parts)


def mentions(test: str, path: str) -> bool:
    """Whether a test file imports a module, or names its file to run it."""
    stem = re.escape(PurePosixPath(path).stem)
    imported = rf"^\s*(?:from|import)\s[^#\n]*\b{stem}\b"
    return (
        re.search(imported, test, re.MULTILINE) is not None
        or PurePosixPath(path).name in test
    )


#: A test as pytest has them, which unittest does not see.
_TEST_FUNCTION = re.compile(
    r"^(?:async )?def test\w*\(\)(?: *-> *None)? *:", re.MULTILINE
)
_LOAD_TESTS = """

def load_tests(loader, tests, pattern):
    # Functions, as pytest has them, for unittest.
    import asyncio, inspect, unittest

    def as_case(test):
        if inspect.iscoroutinefunction(test):
            return unittest.FunctionTestCase(lambda: asyncio.run(test()))
        return unittest.FunctionTestCase(test)

    for name, test in sorted(globals().items()):
        if name.startswith("test") and callable(test):
            tests.addTest(as_case(test))
    return tests
"""


def import_module(test: str, path: str) -> str:
    """The test file with an import of its module, if it has none: small models forget it."""
    if not path.endswith(".py") or not test.strip() or mentions(test, path):
        return test
    line = f"from {import_name(path)} import *\n"
    first = re.search(r"^(?:import|from)\s+(?!__future__)", test, re.MULTILINE)
    place = first.start() if first else 0
    return test[:place] + line + test[place:]


def make_runnable(test: str) -> str:
    """A Python test file of plain functions, so that unittest runs them too: most examples are for pytest."""
    if not _TEST_FUNCTION.search(test) or "TestCase" in test or "load_tests" in test:
        return test
    return f"{test.rstrip()}\n{_LOAD_TESTS}"


async def prove(work: Work, number: int) -> tuple[str | None, Recorded]:
    """Run the tests as a step; what they said if they failed, and the fact that tells it."""
    name = f"tests {number}"
    commands = commands_to_run(
        work.inputs.tests, work.modules, fresh=not work.tree.base
    )
    event = TestStarted(argv=commands[0])
    started = await work.history.tell(f"{name} started", event, cause=work.code)

    async def look() -> dict[str, Any]:
        found = await run_tests(work)
        if found["failure"] is None:
            found |= await _look_for_idle(work)
        return found

    result = await work.run.step(name, look)
    work.idle = result.get("idle", "")
    summary = _summary_of(result["output"])
    failure = result["failure"]
    fact = await work.history.tell(
        f"{name} ended",
        TestPassed(summary=summary)
        if failure is None
        else TestFailed(reason=failure, summary=summary),
        cause=started,
    )
    return (None if failure is None else f"{failure}\n{result['output']}"), fact


def _summary_of(output: str) -> str:
    lines = [line for line in output.splitlines() if any(map(str.isalnum, line))]
    return "\n".join(lines[-SUMMARY_LINES:])[-LONGEST_SUMMARY:]


async def run_tests(
    work: Work, modules: Collection[PlannedModule] | None = None
) -> dict[str, Any]:
    """Run the tests in contained processes; how they failed, and the end of what they said.

    A run that takes too long is ended with its whole process tree.
    """
    history, inputs = work.history, work.inputs
    planned = work.modules if modules is None else tuple(modules)
    commands = commands_to_run(inputs.tests, planned, fresh=not work.tree.base)
    if modules is not None:
        commands = commands[:1]
    await history.catch_up()
    begin = history.position
    failure: str | None = "timeout"
    with work.run.limited(inputs.test_timeout) as deadline:
        failure = await _run_all(work, commands)
    if deadline.cancelled_caught:
        failure = f"timeout after {inputs.test_timeout:g} s"
    said = await history.output_since(begin, LONGEST_OUTPUT)
    # Python tells real paths, others those that they were given.
    real = await run_in_thread(work.tree.root.resolve)
    output = own_frames(said, str(work.tree.root), str(real))
    return {"failure": failure or judge_tests(inputs.tests, output), "output": output}


async def _run_all(work: Work, commands: Sequence[Sequence[str]]) -> str | None:
    for argv in commands:
        ended = await work.run.exec(
            argv, cwd=work.tree.root, env=_TEST_ENVIRONMENT, check=False
        )
        if ended.exit_code != 0:
            return end_in_words(ended)
    return None


async def _look_for_idle(work: Work) -> dict[str, Any]:
    """The failure of tests that pass though the code is not there; nothing if there are none."""
    modules = [m for m in work.modules if m.tests and m.path in work.tree.files]
    if not modules:
        return {}
    by_name = tuple(work.inputs.tests) == DEFAULT_TESTS
    for group in [[m] for m in modules] if by_name else [modules]:
        found = await _run_with_stubs(work, group)
        if found["failure"] is None:
            files = ", ".join(m.tests for m in group)
            why = f"{files}: these tests pass without the code, so they test nothing"
            return {**found, "failure": why, "idle": group[0].name}
    return {}


async def _run_with_stubs(
    work: Work, modules: Sequence[PlannedModule]
) -> dict[str, Any]:
    """The tests of some modules while stubs stand in their place.

    What a crash leaves of it is mended by the run that resumes: it writes its files again.
    """
    tree = work.tree
    try:
        for module in modules:
            await tree.place(module.path, make_stub(module, tree.files[module.path]))
        return await run_tests(work, modules)
    finally:
        with trio.move_on_after(_PUT_BACK_SECONDS, shield=True):
            for module in modules:
                await tree.place(module.path, tree.files[module.path])
