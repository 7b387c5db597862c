"""What a coding run decides and renders: values in, values out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import trio

from fakes.coding import git
from fakes.history import recorded
from penstock.kinds.coding.correcting import find_module
from penstock.kinds.coding.deciding import Cause, Decision, decide
from penstock.kinds.coding.history import CodingHistory
from penstock.kinds.coding.inputs import CodingInputs
from penstock.kinds.coding.modules import (
    Plan,
    PlannedModule,
    check_path,
    make_plan,
)
from penstock.kinds.coding.names import find_dead_code, names_of
from penstock.kinds.coding.solving import make_patch
from penstock.kinds.coding.work_tree import WorkTree, plain
from penstock.words import events
from penstock.words.config import Config
from penstock.words.errors import Refused, SourceUnusable
from penstock.words.events import BugReported, InterventionReceived
from penstock.words.recorded import Recorded
from penstock.words.staleness import CodeMark

CURRENT = CodeMark(3, {"life": 7}, "abc")


def report(verdict: Any, **about: Any) -> BugReported:
    about = {"version": 3, "clock": {"life": 8}, "code_hash": "abc", **about}
    return BugReported(text="it is wrong", verdict=verdict, **about)


def made(facts: list[Recorded], **known: Any) -> Decision:
    known = {"heard": 0, "decided": 0, "current": CURRENT, "failure": None, **known}
    return decide(facts, **known)


def facts_of(*told: Any) -> list[Recorded]:
    return [recorded(event, sequence) for sequence, event in enumerate(told, 1)]


def kinds(decision: Decision) -> list[str]:
    return [cause.kind for cause in decision.causes]


def test_nothing_to_correct_is_done() -> None:
    decision = made(facts_of(events.TestFailed()))
    assert decision == Decision((), 1)


def test_a_person_s_word_comes_first() -> None:
    """WF-09"""
    facts = facts_of(report("valid"), InterventionReceived(text="shorter"))
    decision = made(facts, failure="boom")
    assert kinds(decision) == ["intervention", "bug report", "tests"]
    assert decision.problem.startswith("The user says:\nshorter")
    assert Decision.from_json(decision.to_json()) == decision


def test_what_was_heard_or_decided_on_is_not_taken_again() -> None:
    """WF-08"""
    facts = facts_of(report("valid"), InterventionReceived(text="shorter"))
    assert kinds(made(facts, heard=2, decided=1)) == []
    assert kinds(made(facts, heard=1, decided=2)) == ["intervention"]


@pytest.mark.parametrize("verdict", ["stale", "invalid", None])
def test_only_valid_reports_count(verdict: Any) -> None:
    """WF-08, OR-01"""
    assert made(facts_of(report(verdict))).causes == ()


@pytest.mark.parametrize(
    "about", [{"version": 2}, {"clock": {"life": 6}}, {"code_hash": "abd"}]
)
def test_a_report_that_was_overtaken_by_a_correction_does_not_count(
    about: dict[str, Any],
) -> None:
    """OR-02: it was valid when it came, and the code has changed since."""
    decision = made(facts_of(report("valid", **about)))
    assert (decision.causes, decision.overtaken) == ((), 1)


class SlowLog:
    """What a run reads of its history; other tasks run meanwhile."""

    def __init__(self, *facts: Recorded) -> None:
        self.facts = facts
        self.run_id = "r-1"
        self.config = Config()
        self.reads = self

    async def read(
        self, _run_id: str, after: int, *_: Any, **__: Any
    ) -> list[Recorded]:
        await trio.lowlevel.checkpoint()
        return [fact for fact in self.facts if fact.position > after]


async def test_two_tasks_of_a_run_read_each_fact_once() -> None:
    """WF-08: a review goes on beside the tests."""
    run: Any = SlowLog(*facts_of(*[report("valid")] * 3))
    history = CodingHistory(run)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(history.catch_up)
        nursery.start_soon(history.catch_up)
    assert [fact.sequence for fact in history.facts] == [1, 2, 3]


# -- plans and paths


@pytest.mark.parametrize(
    ("causes", "name"),
    [
        ([Cause("bug report", "it is wrong", "b")], "b"),
        ([Cause("tests", 'File "b.py", line 1\nFile "a.py", line 3, in f')], "a"),
        ([Cause("tests", "FAIL: test_it (test_b.TestB.test_it)")], "b"),
        ([Cause("intervention", "make it shorter")], None),
    ],
)
def test_the_module_to_correct_is_found_in_what_is_wrong(
    causes: list[Cause], name: str | None
) -> None:
    """WF-08: a model is asked only where nothing names a file."""
    modules = tuple(module(n, tests=f"test_{n}.py") for n in ("a", "b"))
    found = find_module(Plan(summary="", modules=modules), Decision(tuple(causes), 1))
    assert (None if found is None else found.name) == name


def module(name: str, *needs: str, **others: str) -> PlannedModule:
    others = {"path": f"{name}.py", **others}
    return PlannedModule(name=name, needs=list(needs), **others)


def plan_of(*modules: PlannedModule, most: int = 5) -> list[str]:
    fields = {"summary": "", "modules": modules, "questions": [" "]}
    plan = make_plan(fields, most=most)
    assert plan.questions == ()
    return [m.name for m in plan.modules]


def test_a_plan_is_worked_off_from_what_is_needed() -> None:
    assert plan_of(module("a", "c"), module("b"), module("c", "b")) == ["b", "c", "a"]
    assert plan_of(module("a"), module("b"), module("c")) == ["a", "b", "c"]


@pytest.mark.parametrize(
    ("modules", "why"),
    [
        ([module("a", "b"), module("b", "c"), module("c", "a")], r"\w → \w → \w → \w"),
        ([module("a"), module("b", path="a.py")], "two write 'a.py'"),
        ([module("a_b"), module("c", path="a/b.py")], "two write 'test_a_b.py'"),
        ([module(" ", path="a.py")], "a name has 1 to"),
        ([module("a", path="tests/test_a.py")], "there are none"),
        ([module(str(n)) for n in range(6)], "there are 6, and 5 is the limit"),
    ],
)
def test_a_bad_plan_is_refused_with_the_reason(
    modules: list[PlannedModule], why: str
) -> None:
    """WF-05"""
    with pytest.raises(Refused, match=why):
        plan_of(*modules)


def test_what_no_model_needs_to_decide_is_computed() -> None:
    """WF-05: unknown, repeated and own needs go, and so do planned tests; theirs is a path of ours."""
    planned = [
        module("a", "ghost", "a", "b", "b", tests="prose about tests"),
        module("b", path="lib/b.py"),
        module("test_a", "a", path="tests/test_a.py"),
    ]
    plan = make_plan({"summary": "", "modules": planned}, most=5)
    assert [(m.name, m.tests, m.needs) for m in plan.modules] == [
        ("b", "test_lib_b.py", []),
        ("a", "test_a.py", ["b"]),
    ]


@pytest.mark.parametrize(
    ("path", "there", "tests"),
    [
        ("a.py", None, "test_a.py"),
        ("a.py", ["tests/test_other.py"], "tests/test_a.py"),
        ("a.py", ["lib/a_test.py"], ""),
        ("lib/a.go", None, "lib/a_test.go"),
        ("a.ts", None, "a.test.ts"),
        ("a.rb", None, "test_a.rb"),
    ],
)
def test_tests_stand_where_they_are_found(
    path: str, there: list[str] | None, tests: str
) -> None:
    """WF-05: code of a repository that has tests there already gets no others."""
    fields = {"summary": "", "modules": [module("a", path=path)]}
    assert make_plan(fields, most=1, there=there).modules[0].tests == tests


@pytest.mark.parametrize(
    "path",
    ["", "/a", "a/", "../a", "a/../b", "..", ".git/config", "a/.GIT/x", "a\\b", "a\0b", "a b",
     "-rf", "~/a", "$HOME/a", ".penstock-x.tmp", "a\n", "x" * 300],
)  # fmt: skip
def test_a_path_that_leaves_the_folder_is_refused(path: str) -> None:
    """WF: generated files are written inside the workspace only."""
    with pytest.raises(ValueError, match=r"path|part|names"):
        check_path(path)


@pytest.mark.parametrize("path", ["a.py", "src/a_b/__init__.py", ".github/ci.yml"])
def test_plain_paths_are_fine(path: str) -> None:
    assert check_path(path) == path


@pytest.mark.parametrize("where", ["file", "folder"])
async def test_links_are_not_followed(tmp_path: Path, where: str) -> None:
    root, outside = tmp_path / "root", tmp_path / "outside"
    root.mkdir()
    outside.mkdir()
    (root / "link").symlink_to(outside / "x" if where == "file" else outside)
    path = "link" if where == "file" else "link/x"
    with pytest.raises(SourceUnusable, match="links are not followed"):
        await WorkTree(root, "r").write(path, "text")
    with pytest.raises(SourceUnusable, match="links are not followed"):
        await WorkTree(root, "r").read(path)
    assert list(outside.iterdir()) == []


async def test_the_hash_is_of_paths_and_texts(tmp_path: Path) -> None:
    one, other = WorkTree(tmp_path / "1", "r"), WorkTree(tmp_path / "2", "r")
    for tree, order in ((one, ("a", "b")), (other, ("b", "a"))):
        tree.root.mkdir()
        for name in order:
            await tree.write(name, f"{name}\n")
    assert one.code_hash == other.code_hash
    await other.write("a", "b\n")
    assert one.code_hash != other.code_hash
    assert await other.read("a") == "b\n"


@pytest.mark.parametrize(
    ("said", "text"),
    [
        ("x = 1", "x = 1\n"),
        ("```python\nx = 1\n```", "x = 1\n"),
        ("```\nx\n```\n", "x\n"),
        ("a\r\nb", "a\nb\n"),
        ("```python\nx = 1", "```python\nx = 1\n"),
        ("\n\n  x\n\n", "  x\n"),
    ],
)
def test_a_fence_around_a_file_is_no_part_of_it(said: str, text: str) -> None:
    assert plain(said) == text


# -- the patch


@pytest.mark.processes
def test_a_patch_makes_the_files_anew(tmp_path: Path) -> None:
    """WF: new files, changed ones, ends without a newline, and lines that are no ends to git."""
    before = {"old.txt": "a\nb\x0cc\nend", "same.txt": "x\n", "empty.txt": ""}
    after = {
        "old.txt": "a\nb\x0cd\u2028\nend\n",
        "same.txt": "x\n",
        "empty.txt": "é\n",
        "new/n.py": "1\n",
    }
    for path, text in before.items():
        (tmp_path / path).write_bytes(text.encode())
    patch = make_patch({**before, "new/n.py": None}, after)
    git(tmp_path, "apply", "-", stdin=patch)
    for path, text in after.items():
        assert (tmp_path / path).read_bytes() == text.encode()
    assert "same.txt" not in patch
    assert make_patch(before, {"same.txt": "x\n"}) == ""


# -- dead code


def problems(**texts: str) -> list[tuple[str, int, str, str]]:
    read = {f"{name}.py": names_of(text) for name, text in texts.items()}
    named = {path: names for path, names in read.items() if names is not None}
    found = find_dead_code(named, named.keys())
    return [(f["path"], f["line"], f["name"], f["problem"]) for f in found]


def test_dead_code_is_found_across_files() -> None:
    """WF-11"""
    a = "import os\nimport sys\ndef used(): return sys.path\ndef dead(): pass\n"
    b = "from a import used\ndef test_x():\n    return used()\n    used()\n"
    assert problems(a=a, b=b) == [
        ("a.py", 1, "os", "unused import"),
        ("a.py", 4, "dead", "unused definition"),
        ("b.py", 4, "", "never reached"),
    ]


@pytest.mark.parametrize(
    "text",
    ["from __future__ import annotations\n", "def f(): pass\n__all__ = ['f']\n", "def broken(:\n",
     "import a.b\na.b.c()\n", "@register\ndef hook(): pass\n", "class TestX:\n    pass\n", "\0"],
)  # fmt: skip
def test_code_that_may_be_used_is_not_called_dead(text: str) -> None:
    assert problems(a=text) == []


# -- inputs


@pytest.mark.parametrize(
    "inputs",
    [
        {"prompt": " "},
        {"prompt": "x", "repository": "relative"},
        {"prompt": "x", "branch": "b"},
        {"prompt": "x", "repository": "/r", "branch": "-x"},
        {"prompt": "x", "tests": []},
        {"prompt": "x", "tests": ["a\0"]},
        {"prompt": "x", "test_timeout": 0},
        {"prompt": "x", "max_rounds": -1},
        {"prompt": "x", "answers": "yes"},
        {"prompt": "x", "extra": 1},
    ],
)
def test_inputs_that_do_not_fit_are_refused(inputs: dict[str, Any]) -> None:
    """API-04, ER-02"""
    with pytest.raises(ValueError, match="validation error"):
        CodingInputs.model_validate(inputs)
