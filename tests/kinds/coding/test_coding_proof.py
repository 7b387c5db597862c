"""Whether "the tests pass" is true: what is run, what is counted, and what the code has to do with it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from fakes.coding import (
    CORRECT,
    PLAN,
    SLUG,
    SLUG_PLAN,
    SLUG_TESTS,
    WRITE,
    Place,
    artifact_of,
    coding,
    history,
    once,
    open_coding,
    place,
    plan,
    slug_script,
    story,
)
from fakes.model_server import ModelServer
from penstock.kinds.coding.inputs import DEFAULT_TESTS
from penstock.kinds.coding.modules import PlannedModule
from penstock.kinds.coding.proving import (
    commands_to_run,
    count_tests,
    import_module,
    judge_tests,
    make_runnable,
    make_stub,
    own_frames,
    same_program,
)
from penstock.kinds.coding.solving import FAILING, FAILING_FILE
from penstock.words.recorded import Recorded

REWRITE = "You write the tests of one file of a program anew"

WRONG_SLUG = SLUG.replace('"-".join', '"_".join')
IDLE_TESTS = """import unittest

from slug import slug


class TestSlug(unittest.TestCase):
    def test_it_can_be_called(self):
        slug("a")
"""
#: It tests a function of its own, as small models do that forget the import.
OWN_TESTS = IDLE_TESTS.replace("from slug import slug", SLUG)
WRONG_TESTS = SLUG_TESTS.replace('"hello-world"', '"hello--world"')
ENDS_EARLY = SLUG + "\nraise SystemExit(0)\n"


async def do(
    where: Place, server: ModelServer, *script: Any, **inputs: Any
) -> list[Recorded]:
    """A run whose model answers so."""
    server.script(once(PLAN, **plan(SLUG_PLAN)), *script)
    async with open_coding(where) as core:
        await core.submitter.submit(coding("Write slug(text).", **inputs))
        return await history(core)


def reasons(facts: list[Recorded]) -> list[str]:
    """Why tests failed."""
    return [f.event.reason for f in facts if f.type == "test.failed"]  # type: ignore[union-attr]


@pytest.mark.processes
async def test_tests_in_a_folder_without_an_init_file_are_run(
    where: Place, model_server: ModelServer
) -> None:
    """WF-02: wrong code is called wrong wherever its plan has put the tests."""
    planned = [{**SLUG_PLAN[0], "path": "lib/slug.py", "tests": "tests/test_slug.py"}]
    tests = SLUG_TESTS.replace("from slug", "from lib.slug")
    model_server.script(
        once(PLAN, **plan(planned)), once(WRITE, code=WRONG_SLUG, tests=tests)
    )
    async with open_coding(where) as core:
        await core.submitter.submit(coding(max_rounds=0))
        facts = await history(core)
    assert facts[-1].type == "run.failed"
    assert reasons(facts) == ["exit status 1"]


@pytest.mark.processes
@pytest.mark.parametrize(
    ("code", "tests", "why"),
    [
        (SLUG, "import slug\n", "no test was run"),
        (ENDS_EARLY, SLUG_TESTS, "the tests ended before they were run"),
        (SLUG, IDLE_TESTS, "test_slug.py: these tests pass without the code, so they test nothing"),
        (WRONG_SLUG, OWN_TESTS, "test_slug.py: these tests pass without the code, so they test nothing"),
    ],
)  # fmt: skip
async def test_tests_that_prove_nothing_have_not_passed(
    where: Place, model_server: ModelServer, code: str, tests: str, why: str
) -> None:
    """SM-03 WF-02: an exit status of 0 is not enough."""
    facts = await do(
        where, model_server, once(WRITE, code=code, tests=tests), max_rounds=0
    )
    assert facts[-1].type == "run.failed"
    assert reasons(facts) == [why]


@pytest.mark.processes
async def test_tests_that_say_nothing_are_written_anew_from_the_task(
    where: Place, model_server: ModelServer
) -> None:
    """SM-03 WF-02: no model is asked to correct code for tests that prove nothing; stubs leave no trace."""
    facts = await do(
        where,
        model_server,
        once(WRITE, code=SLUG, tests=IDLE_TESTS),
        once(REWRITE, tests=SLUG_TESTS),
    )
    assert facts[-1].type == "run.completed"
    assert len(model_server.log()) == 3
    asked = model_server.log()[-1]["messages"][-1]["content"]
    assert "Write slug(text)." in asked
    # From the task: the code would only be repeated in them.
    assert "re.findall" not in asked
    assert "+from slug import slug" in artifact_of(facts, "changes.patch")
    assert "def _nothing" not in artifact_of(facts, "changes.patch")


@pytest.mark.processes
async def test_code_that_stays_the_same_gets_new_tests(
    where: Place, model_server: ModelServer
) -> None:
    """WF-02: a model that gives the same code again may be right, and its tests wrong."""
    facts = await do(
        where,
        model_server,
        once(WRITE, code=SLUG, tests=WRONG_TESTS),
        once(CORRECT, module="slug", code=SLUG, tests=WRONG_TESTS),
        once(REWRITE, tests=SLUG_TESTS),
    )
    assert facts[-1].type == "run.completed"
    assert len(model_server.log()) == 4
    assert story(facts).count("correction.completed") == 1


@pytest.mark.processes
async def test_code_that_other_tests_condemn_too_is_written_anew_unseen(
    where: Place, model_server: ModelServer
) -> None:
    """WF-02 WF-08: a 1.5B model gave the same wrong code five times, once without a comment, and repaired good tests."""
    wrong = f"# slug.py\n{WRONG_SLUG}"
    facts = await do(
        where,
        model_server,
        once(WRITE, code=wrong, tests=SLUG_TESTS),
        once(CORRECT, code=WRONG_SLUG, tests=SLUG_TESTS),
        once(REWRITE, tests=SLUG_TESTS),
        once(CORRECT, code=WRONG_SLUG, tests="unchanged"),
        once(WRITE, code=SLUG),
    )
    assert facts[-1].type == "run.completed", facts[-1].event
    log = model_server.log()
    assert len(log) == 6
    system, asked = (message["content"] for message in log[-1]["messages"])
    assert "`tests`" not in system
    assert "Write slug(text)." in asked
    assert WRONG_SLUG not in asked
    heat = [record["options"]["temperature"] for record in log]
    assert heat[4] == heat[5] > heat[1] == heat[2]
    causes = [f.event.cause for f in facts if f.type == "correction.started"]  # type: ignore[union-attr]
    assert all(
        cause.startswith("tests: exit status 1; AssertionError: ") for cause in causes
    )


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("a = 1\n", "# a.py\na = 1", True),
        ("a = 1\n", "a = 2\n", False),
        ("def f():\n    'x'\n", "def f():\n    'y'\n", False),
        ("a =", "# a\na =", False),
        ("a =", "a =", True),
        ("a" + "." * 9, "b", False),
        ("(" * 5000, "(" * 5001, False),
    ],
)
def test_what_differs_in_comments_only_is_the_same_program(
    one: str, other: str, same: bool
) -> None:
    assert same_program("a.py", one, other) is same
    assert not same_program("a.js", one, f"{one} ")


@pytest.mark.processes
async def test_a_failed_run_leaves_what_it_has_marked_as_failing(
    where: Place, model_server: ModelServer, tmp_path: Path
) -> None:
    """SM-03 WF-11: patch, report and files; the mark goes when a later run succeeds."""
    out = tmp_path / "out"
    facts = await do(
        where,
        model_server,
        once(WRITE, code=WRONG_SLUG, tests=SLUG_TESTS),
        max_rounds=0,
        out=str(out),
    )
    assert facts[-1].type == "run.failed"
    report = artifact_of(facts, "report.md")
    assert report.startswith(FAILING)
    assert "The tests do not pass at version 1" in report
    assert '+    return "_".join' in artifact_of(facts, "changes.patch")
    assert (out / "slug.py").read_text() == WRONG_SLUG
    assert (out / FAILING_FILE).read_text().strip() == report.strip()

    model_server.script(*slug_script())
    async with open_coding(where) as core:
        await core.submitter.submit(coding(run_id="second", out=str(out)))
        facts = await history(core, "second")
    assert facts[-1].type == "run.completed"
    assert "The tests pass at version 1" in artifact_of(facts, "report.md")
    assert sorted(p.name for p in out.iterdir()) == ["slug.py", "test_slug.py"]


@pytest.mark.processes
async def test_a_model_that_fails_later_costs_no_file_that_is_written(
    where: Place, model_server: ModelServer
) -> None:
    """WF-11: what one module cost is there though the next could not be corrected."""
    facts = await do(
        where,
        model_server,
        once(WRITE, code=WRONG_SLUG, tests=SLUG_TESTS),
        {"match": CORRECT, "status": 400, "error": "no"},
    )
    assert facts[-1].type == "run.failed"
    assert artifact_of(facts, "report.md").startswith(FAILING)


def module(path: str, tests: str) -> PlannedModule:
    return PlannedModule(name=path, path=path, purpose="", tests=tests)


def test_planned_tests_are_run_by_name() -> None:
    """WF-02: and in a repository those that are there too; a program of the user's as it is."""
    modules = [module("a.py", "tests/test_a.py"), module("b.py", "")]
    named = ("python3", "-m", "unittest", "tests/test_a.py")
    assert commands_to_run(DEFAULT_TESTS, modules, fresh=True) == [named]
    assert commands_to_run(DEFAULT_TESTS, modules, fresh=False) == [
        named,
        DEFAULT_TESTS,
    ]
    assert commands_to_run(DEFAULT_TESTS, modules[1:], fresh=True) == [DEFAULT_TESTS]
    assert commands_to_run(["go", "test"], modules, fresh=True) == [("go", "test")]


@pytest.mark.parametrize(
    ("output", "count"),
    [
        ("Ran 0 tests in 0.000s\n\nOK\n", 0),
        ("Ran 1 test in 0.000s\n\nOK\nRan 2 tests in 0.1s\n\nOK\n", 3),
        ("Ran 2 tests in 0.000s\n\nOK (skipped=2)\n", 0),
        ("===== no tests ran in 0.01s =====\n", 0),
        ("===== 3 skipped in 0.01s =====\n", 0),
        ("===== 2 passed, 1 skipped in 0.01s =====\n", None),
        ("running 0 tests\n\ntest result: ok. 0 passed\n", 0),
        ("running 0 tests\n\nrunning 4 tests\n", 4),
        ("?   \tmod\t[no test files]\n", 0),
        ("# tests 0\n# pass 0\n", 0),
        ("all is well\n", None),
    ],
)
def test_tests_are_counted_as_runners_tell_them(output: str, count: int | None) -> None:
    """WF-02"""
    assert count_tests(output) == count
    judged = judge_tests(["make", "test"], output)
    assert judged == ("no test was run" if count == 0 else None)


@pytest.mark.parametrize(
    ("test", "begins"),
    [
        ("import unittest\n", "from lib.slug import *\nimport unittest\n"),
        ('"""A."""\nfrom __future__ import annotations\nimport re\n',
         '"""A."""\nfrom __future__ import annotations\nfrom lib.slug import *\nimport re\n'),
        ("def test():\n    pass\n", "from lib.slug import *\ndef test():\n"),
        ("from lib.slug import slug\n", "from lib.slug import slug\n"),
        ("import lib.slug as s\n", "import lib.slug as s\n"),
        ("from lib import other, slug\n", "from lib import other, slug\n"),
        ("RUN = ['python3', 'lib/slug.py']\n", "RUN = "),
    ],
)  # fmt: skip
def test_tests_import_the_module_they_are_about(test: str, begins: str) -> None:
    """WF-02: of eight recorded answers none did."""
    assert import_module(test, "lib/slug.py").startswith(begins)


TRACEBACK = """\
Traceback (most recent call last):
  File "<frozen runpy>", line 88, in _run_code
  File "/usr/lib/python3.11/unittest/loader.py", line 162, in loadTestsFromName
    module = __import__(module_name)
             ^^^^^^^^^^^^^^^^^^^^^^^
  File "/runs/it's (1)/tree/test_a.py", line 1, in <module>
    from a import *
  File "/runs/it's (1)/tree/lib/a.py", line 2, in <module>
    (code)
     ^^^^
NameError: name 'code' is not defined
"""
OWN = """\
Traceback (most recent call last):
  File "test_a.py", line 1, in <module>
    from a import *
  File "lib/a.py", line 2, in <module>
    (code)
     ^^^^
NameError: name 'code' is not defined
"""


def test_of_tracebacks_only_the_files_at_hand_are_told() -> None:
    """CX-05: the runner's own frames took half of a small model's prompt, three times over."""
    assert own_frames(TRACEBACK, "/runs/it's (1)/tree") == OWN
    assert own_frames(OWN, "/runs/it's (1)/tree") == OWN
    said = "FAIL: test_a\n  File it\n    x\n"
    assert own_frames(said, "/tree") == said


@pytest.mark.processes
async def test_a_state_folder_behind_a_link_loses_no_frame(
    tmp_path: Path, model_server: ModelServer
) -> None:
    """CX-05: Python tells files by their real paths, and none of them counted as one at hand."""
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    await do(
        place(tmp_path / "link", model_server.url),
        model_server,
        once(WRITE, code="def slug(text):\n    return gone", tests=SLUG_TESTS),
        once(CORRECT, code=SLUG, tests="unchanged"),
    )
    asked = model_server.log()[2]["messages"][-1]["content"]
    assert 'File "slug.py", line 2, in slug' in asked


def test_a_stub_has_the_names_of_the_code_and_does_nothing() -> None:
    """WF-02: tests must fail for what the code does, and not because a name is missing."""
    code = (
        "LIMIT = 1\nclass A:\n    def inner(self): ...\nasync def f(x):\n    return x\n"
    )
    stub = make_stub(module("a.py", ""), code)
    made: dict[str, object] = {"__name__": "a"}
    exec(stub, made)
    assert made["A"](1, b=2) is None  # type: ignore[operator]
    assert made["__getattr__"]("LIMIT")() is None  # type: ignore[operator]
    assert "inner" not in made
    assert make_stub(module("a.go", ""), code) == ""


@pytest.mark.processes
@pytest.mark.parametrize(
    "head", ["def test_one():", "def test_one() -> None:", "async def test_one():"]
)
def test_functions_as_pytest_has_them_are_tests_of_unittest_too(
    tmp_path: Path, head: str
) -> None:
    """WF-06: small models write what most examples look like."""
    (tmp_path / "f.py").write_text("def f():\n    return 1\n")
    made = make_runnable(f"from f import *\n\n\n{head}\n    assert f() == 1\n")
    (tmp_path / "test_f.py").write_text(made)
    argv = [sys.executable, "-m", "unittest", "test_f.py"]
    good = subprocess.run(argv, cwd=tmp_path, capture_output=True, text=True)
    (tmp_path / "f.py").write_text("def f():\n    return 22\n")
    bad = subprocess.run(argv, cwd=tmp_path, capture_output=True, text=True)
    assert good.returncode == 0
    assert "Ran 1 test" in good.stderr
    assert bad.returncode == 1
    assert make_runnable(made) == made


@pytest.mark.parametrize(
    "test",
    ["import unittest\nclass T(unittest.TestCase):\n    def test_x(self): ...\n", "x = 1\n", "def test(a): ...\n"],
)  # fmt: skip
def test_what_unittest_finds_itself_stays_as_it_is(test: str) -> None:
    assert make_runnable(test) == test
