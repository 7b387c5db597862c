"""AG-05: what a run changed can be looked at, compared, and put into one's own tree with care."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import pytest

from fakes.house_beside import HouseBeside
from fakes.penstock_command import Penstock
from penstock.pipeline import Inputs, Kind, Output, Run

pytestmark = pytest.mark.processes

MINUS = "\N{MINUS SIGN}"

BEFORE = {
    "app.py": "".join(f"line {n}\n" for n in range(1, 21)),
    "old name.py": "stays\n" * 5,
    "gone.txt": "x\n",
    "test_app.py": "def test(): pass\n",
}


class Told(Inputs):
    """What the run says that it did."""

    patch: str | None = None
    repository: str | None = None
    base: str = ""
    head: str = ""
    whole: bool = True


class Done(Output):
    """As a kind that changes a tree has it."""

    patch: str | None = None
    base: str = ""
    head: str = ""
    branch: str = ""


async def change(run: Run, inputs: Told) -> Done:
    """Make the patch that is asked for."""
    if inputs.patch is not None:
        async with run.artifact("changes.patch") as text:
            await text.write(inputs.patch)
    if not inputs.whole:
        raise RuntimeError("on the way")
    return Done(
        patch=None if inputs.patch is None else "changes.patch",
        base=inputs.base, head=inputs.head, branch="penstock/r",
    )  # fmt: skip


CHANGES = Kind("changes", "Changes a tree", Told, Done, change)


@pytest.fixture
def kinds() -> tuple[Kind, ...]:
    return (CHANGES,)


class Repository:
    """A person's repository, in which a run's commit lies as the rescue leaves it there."""

    def __init__(self, root: Path) -> None:
        self.root = root
        root.mkdir()
        self.git("init", "-q", "-b", "main")
        for name, text in BEFORE.items():
            self.write(name, text)
        self.base = self.commit()

    def git(self, *words: str) -> str:
        author = ("-c", "user.name=N", "-c", "user.email=n@localhost")
        done = subprocess.run(
            ["git", *author, *words], cwd=self.root, check=True, capture_output=True, text=True, timeout=60
        )  # fmt: skip
        return done.stdout

    def write(self, name: str, text: str) -> Path:
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return path

    def read(self, name: str) -> str:
        return (self.root / name).read_text()

    def commit(self) -> str:
        self.git("add", "-A")
        self.git("commit", "-q", "-m", "m")
        return self.git("rev-parse", "HEAD").strip()

    def made_by_run(self, work: Callable[[], object]) -> tuple[str, str]:
        """The patch and the commit of what this does; the tree is then as before."""
        work()
        head = self.commit()
        patch = self.git("diff", "--binary", self.base, head)
        self.git("update-ref", "refs/penstock/r", head)
        self.git("reset", "-q", "--hard", self.base)
        return patch, head


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Repository:
    made = Repository(tmp_path / "app")
    monkeypatch.chdir(made.root)
    return made


@pytest.fixture
def changed(daemon: HouseBeside, repository: Repository) -> str:
    """The run `r` has changed, renamed, removed and added a file each, and the tests."""

    def work() -> None:
        repository.write("app.py", BEFORE["app.py"].replace("line 10\n", "line ten\n"))
        repository.git("mv", "old name.py", "näw name.py")
        (repository.root / "gone.txt").unlink()
        repository.write("sub/new[1]*.py", "-- a heading\n+++ another\n")
        repository.write("test_app.py", BEFORE["test_app.py"] + "def test_b(): pass\n")

    patch, head = repository.made_by_run(work)
    submit(daemon, "r", patch, repository, head=head)
    return patch


def submit(
    daemon: HouseBeside, run_id: str, patch: str | None, repository: Repository, **others: Any
) -> None:  # fmt: skip
    labels = others.pop("labels", {})
    inputs = {
        "patch": patch,
        "repository": str(repository.root),
        "base": repository.base,
        **others,
    }
    daemon.submit("changes", inputs, run_id=run_id, labels=labels)
    daemon.wait_ended(run_id)


def test_a_pipe_gets_the_patch_as_it_is(penstock: Penstock, changed: str) -> None:
    """AG-05"""
    assert penstock("diff", "r").stdout == changed
    told = json.loads(penstock("diff", "r", "--json").stdout)
    assert (told["run_id"], told["patch"]) == ("r", changed)
    assert {f["path"]: (f["change"], f["added"], f["removed"]) for f in told["files"]} == {
        "app.py": ("changed", 1, 1), "näw name.py": ("renamed", 0, 0), "gone.txt": ("gone", 0, 1),
        "sub/new[1]*.py": ("new", 2, 0), "test_app.py": ("changed", 1, 0),
    }  # fmt: skip


@pytest.mark.usefixtures("changed")
def test_the_files_alone_are_told_with_how_much(penstock: Penstock) -> None:
    """AG-05"""
    lines = penstock("diff", "r", "--stat").stdout.splitlines()
    assert f"app.py  +1 {MINUS}1" in lines
    assert "old name.py -> näw name.py" in [line.rstrip() for line in lines]
    assert f"gone.txt  {MINUS}1  (gone)" in lines
    assert lines[-1] == f"5 files  +4 {MINUS}2"


def test_a_run_without_a_patch_is_told(penstock: Penstock, daemon: HouseBeside, repository: Repository) -> None:  # fmt: skip
    """AG-05 CL-02: none was made, or it is not over."""
    submit(daemon, "r", None, repository)
    nothing = penstock("diff", "r")
    assert (nothing.exit_code, nothing.stderr) == (3, "penstock: r has made no patch\n")
    daemon.start("e")
    assert penstock("apply", "e").exit_code == 4


def test_a_failed_run_has_its_patch_too(
    penstock: Penstock, daemon: HouseBeside, repository: Repository
) -> None:
    """AG-05: what was rescued of it."""
    patch, _head = repository.made_by_run(lambda: repository.write("a.txt", "a\n"))
    submit(daemon, "r", patch, repository, whole=False)
    assert penstock("diff", "r").stdout == patch
    assert penstock("apply", "r").exit_code == 0
    assert repository.read("a.txt") == "a\n"


@pytest.mark.usefixtures("changed")
def test_it_goes_into_the_tree_whole_and_is_not_committed(
    penstock: Penstock, repository: Repository
) -> None:
    """AG-05: again it is there already."""
    done = penstock("apply", "r")
    assert done.exit_code == 0, done.stderr
    assert repository.read("app.py").count("line ten") == 1
    assert repository.read("sub/new[1]*.py") == "-- a heading\n+++ another\n"
    assert not (repository.root / "gone.txt").exists()
    assert not (repository.root / "old name.py").exists()
    assert repository.read("näw name.py") == BEFORE["old name.py"]
    assert repository.git("diff", "--cached", "--name-only") == ""
    again = penstock("apply", "r", "--json")
    assert (again.exit_code, json.loads(again.stdout)["applied"]) == (0, False)


@pytest.mark.usefixtures("changed")
def test_from_elsewhere_it_goes_into_the_runs_own_repository(
    penstock: Penstock, repository: Repository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:  # fmt: skip
    """AG-05: from another tree of the same repository into that; from within a hook, whatever git says there."""
    other = Repository(tmp_path / "other")
    monkeypatch.chdir(other.root)
    monkeypatch.setenv("GIT_DIR", str(other.root / ".git"))
    assert penstock("apply", "r").exit_code == 0
    assert "line ten" in repository.read("app.py")
    assert other.git("status", "--porcelain") == ""
    monkeypatch.delenv("GIT_DIR")
    repository.git("worktree", "add", "-q", str(tmp_path / "linked"))
    (tmp_path / "linked" / "deep").mkdir()
    monkeypatch.chdir(tmp_path / "linked" / "deep")
    assert penstock("apply", "r").exit_code == 0
    assert "line ten" in (tmp_path / "linked" / "app.py").read_text()


@pytest.mark.usefixtures("changed")
def test_where_you_have_changed_the_same_file_you_are_asked(
    penstock: Penstock, repository: Repository
) -> None:
    """AG-05: without a terminal it is refused, and nothing is changed by halves."""
    mine = BEFORE["app.py"].replace("line 1\n", "mine\n")
    repository.write("app.py", mine)
    refused = penstock("apply", "r")
    assert refused.exit_code == 4
    assert "app.py" in refused.stderr
    assert "--yes" in refused.stderr
    assert (repository.read("app.py"), (repository.root / "sub").exists()) == (
        mine,
        False,
    )
    assert penstock("apply", "r", "--yes").exit_code == 0
    assert {"mine", "line ten"} <= set(repository.read("app.py").splitlines())


@pytest.mark.usefixtures("changed")
def test_what_does_not_fit_is_refused_whole_and_overwritten_only_on_demand(
    penstock: Penstock, repository: Repository
) -> None:
    """AG-05: what was there stays beside it."""
    repository.write("app.py", "all mine\n")
    in_the_way = repository.write("sub/new[1]*.py", "mine too\n")
    for words in (("--check",), (), ("--yes",)):
        refused = penstock("apply", "r", *words)
        assert refused.exit_code == 4, words
        assert "app.py, sub/new[1]*.py" in refused.stderr
    assert repository.read("app.py") == "all mine\n"
    assert not (repository.root / "näw name.py").exists()
    done = penstock("apply", "r", "--overwrite", "--json")
    assert done.exit_code == 0, done.stderr
    assert "line ten" in repository.read("app.py")
    assert in_the_way.read_text() == "-- a heading\n+++ another\n"
    assert (repository.root / "näw name.py").exists()
    assert repository.read("app.py.before-penstock") == "all mine\n"
    assert repository.read("sub/new[1]*.py.before-penstock") == "mine too\n"
    assert len(json.loads(done.stdout)["kept"]) == 2


@pytest.mark.usefixtures("changed")
@pytest.mark.parametrize("typed", ["y\n", "n\n", "\n", ""])
def test_on_a_terminal_a_person_says_whether_it_is_overwritten(
    penstock: Penstock, repository: Repository, monkeypatch: pytest.MonkeyPatch, typed: str
) -> None:  # fmt: skip
    """AG-05: nothing said is no."""
    monkeypatch.setattr(click.testing._NamedTextIOWrapper, "isatty", lambda _: True)
    repository.write("app.py", "all mine\n")
    done = penstock("apply", "r", stdin=typed)
    assert ("line ten" in repository.read("app.py")) == (typed == "y\n"), done.stderr
    assert (repository.root / "app.py.before-penstock").exists() == (typed == "y\n")


def test_bytes_that_are_no_text_come_as_they_were(
    penstock: Penstock, daemon: HouseBeside, repository: Repository
) -> None:
    """AG-05: a text holds no bytes that are none; the run's commit does."""
    bytes_ = "caf\udce9 line\n".encode("utf-8", "surrogateescape") * 3

    def work() -> None:
        (repository.root / "latin.txt").write_bytes(bytes_)

    # As it would come out of a reader that takes all for UTF-8.
    work()
    head = repository.commit()
    done = subprocess.run(["git", "diff", repository.base, head], cwd=repository.root, capture_output=True, timeout=60, check=True)  # fmt: skip
    repository.git("reset", "-q", "--hard", repository.base)
    submit(daemon, "r", done.stdout.decode(errors="replace"), repository, head=head)
    assert penstock("apply", "r").exit_code == 0
    assert (repository.root / "latin.txt").read_bytes() == bytes_


@pytest.mark.parametrize(
    "path", ["../out.txt", ".git/hooks/pre-commit", "link/out.txt"]
)
@pytest.mark.parametrize("words", [(), ("--overwrite",)])
def test_a_patch_writes_nothing_outside_of_the_tree(
    penstock: Penstock, daemon: HouseBeside, repository: Repository, tmp_path: Path,
    path: str, words: tuple[str, ...],
) -> None:  # fmt: skip
    """AG-05: whoever wrote it."""
    (tmp_path / "elsewhere").mkdir()
    os.symlink(tmp_path / "elsewhere", repository.root / "link")
    repository.base = repository.commit()
    patch = f"diff --git a/{path} b/{path}\nnew file mode 100755\n--- /dev/null\n+++ b/{path}\n@@ -0,0 +1 @@\n+owned\n"
    submit(daemon, "r", patch, repository, head=repository.base)
    assert penstock("apply", "r", *words).exit_code != 0
    for where in (tmp_path / "out.txt", repository.root / ".git/hooks/pre-commit", tmp_path / "elsewhere/out.txt"):  # fmt: skip
        assert not where.exists()


def test_several_runs_stand_side_by_side(
    penstock: Penstock, daemon: HouseBeside, repository: Repository
) -> None:
    """AG-05: whose they are, which files, how much, how much of it tests."""
    one, _ = repository.made_by_run(lambda: (repository.write("app.py", "x\n"), repository.write("tests/a.py", "y\n")))  # fmt: skip
    two, _ = repository.made_by_run(lambda: repository.write("app.py", BEFORE["app.py"] + "z\n"))  # fmt: skip
    submit(daemon, "c", one, repository, labels={"agent": "claude"})
    submit(daemon, "d", two, repository, labels={"agent": "codex"})
    text = penstock("diff", "c", "d").stdout
    claude, codex = (next(line for line in text.splitlines() if who in line) for who in ("claude ", "codex "))  # fmt: skip
    assert f"+2 {MINUS}20" in claude
    assert "+1" in claude.split(f"{MINUS}20")[1]
    assert "+1" in codex
    files = [line.split() for line in text.splitlines() if line.startswith(("app.py", "tests/"))]  # fmt: skip
    assert files == [
        ["app.py", "+1", f"{MINUS}20", "+1"],
        ["tests/a.py", "+1", "new", "-"],
    ]
    rows = json.loads(penstock("diff", "c", "d", "--json").stdout)["comparison"]
    assert [(r["who"], r["added"], r["tests"]["added"]) for r in rows] == [("claude", 2, 1), ("codex", 1, 0)]  # fmt: skip
