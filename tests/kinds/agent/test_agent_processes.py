"""AG: runs of agents with real programs and real git: what becomes of the work, and that nothing is left."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
import trio

from fakes.kind_runs import RealPrograms, open_kinds
from penstock.kinds.agent.pipeline import KIND
from penstock.log.projections import RunView
from penstock.processes.liveness import living_since
from penstock.testing import InMemoryCore
from penstock.words.events import ArtifactPartial, Log, ProcessStarted

pytestmark = pytest.mark.processes

AGENT = Path(__file__).parents[2] / "fakes" / "scripted_agent.py"
#: What git is told in these tests, which know nothing of their user.
GIT = {
    "PATH": os.environ["PATH"],
    "GIT_CONFIG_GLOBAL": os.devnull,
    "GIT_CONFIG_NOSYSTEM": "1",
    **{f"GIT_{who}_{what}": "someone@example.org" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")},
}  # fmt: skip
#: Seconds that one run may take here.
PATIENCE = 60


def git(folder: Path, *words: str, check: bool = True, **options: Any) -> str:
    """What git says in a folder."""
    done = subprocess.run(
        ["git", "-C", folder, *words], env=GIT, capture_output=True, text=True, check=False, **options
    )  # fmt: skip
    assert done.returncode == 0 or not check, done.stderr
    said: str = done.stdout.strip()
    return said


def make_repository(folder: Path) -> Path:
    """One with a commit, of a file and of another in a folder."""
    folder.mkdir(parents=True)
    git(folder, "init", "--quiet", "--initial-branch=main")
    (folder / "a.txt").write_text("one\n")
    (folder / "sub").mkdir()
    (folder / "sub" / "b.txt").write_text("two\n")
    git(folder, "add", ".")
    git(folder, "commit", "--quiet", "-m", "first")
    return folder


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """As `make_repository`, with a space in its name."""
    return make_repository(tmp_path / "the repository")


def task(scenario: str, repository: Path | None, **more: Any) -> dict[str, Any]:
    """What a run of this scenario is asked for; `do` is a line for the shell before it."""
    if do := more.pop("do", None):
        more["setup"] = ["sh", "-c", do]
    command = [sys.executable, str(AGENT), scenario]
    where = {} if repository is None else {"repository": str(repository)}
    return {"prompt": "Do it", "command": command, **where, **more}


@asynccontextmanager
async def open_agents(tmp_path: Path, **settings: Any) -> AsyncIterator[InMemoryCore]:
    """A core whose agents are real programs, and which leaves none of them."""
    with trio.fail_after(PATIENCE):
        programs = RealPrograms()
        async with open_kinds(
            KIND, home=tmp_path / "runs", programs=programs, **settings
        ) as core:
            yield core


async def run_agent(core: InMemoryCore, inputs: dict[str, Any]) -> RunView:
    """A run to its end."""
    return await core.run("agent", inputs)


async def wait_said(core: InMemoryCore, run_id: str) -> None:
    """Return once its agent is in the midst of a turn."""
    while not {"agent.said", "ask.raised"} & {f.type for f in await core.facts(run_id)}:
        await core.core.bus.wait_published(run_id)


async def log_of(core: InMemoryCore, run_id: str) -> str:
    """The run's log."""
    events = [fact.event for fact in await core.facts(run_id)]
    return "".join(e.text or "" for e in events if isinstance(e, Log))


async def patch_of(core: InMemoryCore, run_id: str) -> str:
    """The artifact `changes.patch`."""
    events = [fact.event for fact in await core.facts(run_id)]
    partials = [e for e in events if isinstance(e, ArtifactPartial)]
    return "".join(e.text for e in partials if e.artifact_id == "changes.patch")


async def check_gone(core: InMemoryCore, run_id: str) -> None:
    """No process of the run is there any more."""
    facts = await core.facts(run_id)
    pids = [f.event.pid for f in facts if isinstance(f.event, ProcessStarted)]
    assert pids
    assert [pid for pid in pids if living_since(pid) is not None] == []


def refs_of(repository: Path) -> list[str]:
    """The names of all branches and other references."""
    return git(repository, "for-each-ref", "--format=%(refname)").splitlines()


async def test_work_becomes_a_branch_and_a_patch_and_nothing_else(
    tmp_path: Path, repository: Path
) -> None:
    """AG-10: the user's own tree and its changes are not touched."""
    (repository / "a.txt").write_text("mine\n")
    async with open_agents(tmp_path) as core:
        run_id = await core.submit("agent", task("edit", repository))
        ask = await core.wait_asked(run_id)
        await core.answer(run_id, ask.name, "allow")
        view = await core.wait_ended(run_id)
        patch = await patch_of(core, run_id)
        log = await log_of(core, run_id)
        await check_gone(core, run_id)
    assert (view.state, view.error) == ("completed", None)
    assert refs_of(repository) == ["refs/heads/main", f"refs/heads/penstock/{run_id}"]
    assert git(repository, "show", f"penstock/{run_id}:f.txt") == "x"
    assert git(repository, "status", "--porcelain") == "M a.txt"
    assert "1 uncommitted change is not in the agent's copy" in log
    git(repository, "apply", "-", input=patch)
    assert (repository / "f.txt").read_text() == "x\n"
    assert view.result["head"] == git(repository, "rev-parse", f"penstock/{run_id}")


async def test_a_run_that_changes_nothing_leaves_nothing(
    tmp_path: Path, repository: Path
) -> None:
    """AG-10"""
    async with open_agents(tmp_path) as core:
        view = await run_agent(core, task("nothing", repository))
    assert (view.result["branch"], view.result["patch"]) == ("", "")
    assert refs_of(repository) == ["refs/heads/main"]


@pytest.mark.parametrize("scenario", ["slow", "edit", "late-cancel", "deaf-cancel"])
async def test_a_cancel_ends_a_real_agent_and_keeps_its_work(
    scenario: str, tmp_path: Path, repository: Path
) -> None:
    """AG-03: one that ignores session/cancel and TERM too."""
    async with open_agents(tmp_path, kill_grace=0.5) as core:
        run_id = await core.submit("agent", task(scenario, repository, do="echo made > made.txt"))  # fmt: skip
        await wait_said(core, run_id)
        receipt = await core.cancel(run_id)
        view = await core.view(run_id)
        await check_gone(core, run_id)
        log = await log_of(core, run_id)
    assert (view.state, receipt.survivors) == ("cancelled", ())
    assert refs_of(repository) == ["refs/heads/main", f"refs/penstock/{run_id}"]
    assert git(repository, "show", f"refs/penstock/{run_id}:made.txt") == "made"
    assert "the work is kept" in log
    told = "did not end its turn within" if "cancel" in scenario else "ended its turn"
    assert f"the agent {told}" in log


@pytest.mark.parametrize(
    ("scenario", "sentence"),
    [
        ("die-in-turn", "killed by SIGKILL"),
        ("exit-in-turn", "exit status 0"),
        ("dead", "exit status 3"),
        ("flood-garbage", "no message of the protocol"),
        ("endless-line", "line"),
    ],
)
async def test_a_real_agent_that_fails_is_a_sentence_and_its_work_is_kept(
    scenario: str, sentence: str, tmp_path: Path, repository: Path
) -> None:
    """AG-08"""
    async with open_agents(tmp_path, kill_grace=0.5) as core:
        view = await run_agent(core, task(scenario, repository, do="echo made > made.txt"))  # fmt: skip
        await check_gone(core, view.run_id)
    assert view.state == "failed"
    assert sentence in (view.error or "")
    assert git(repository, "show", f"refs/penstock/{view.run_id}:made.txt") == "made"


async def test_the_branch_of_a_run_that_went_on_takes_the_place_of_what_was_rescued(
    tmp_path: Path, repository: Path
) -> None:
    """AG-10: no reference is left that should not be."""
    async with open_agents(tmp_path) as core:
        git(repository, "update-ref", "refs/penstock/r-1", "HEAD")
        view = await run_agent(core, task("nothing", repository, do="echo 1 > made"))
    assert view.run_id == "r-1"
    assert refs_of(repository) == ["refs/heads/main", "refs/heads/penstock/r-1"]


async def test_a_branch_that_somebody_made_meanwhile_is_not_overwritten(
    tmp_path: Path, repository: Path
) -> None:
    """AG-10: the work is at a reference of its own, and the log says so."""
    line = f"echo made > made.txt; git -C '{repository}' checkout --quiet -b mine"
    async with open_agents(tmp_path) as core:
        view = await run_agent(core, task("nothing", repository, branch="mine", do=line))  # fmt: skip
        log = await log_of(core, view.run_id)
    assert (view.state, view.result["branch"]) == ("completed", "")
    assert f"the branch mine could not be made; the work is at refs/penstock/{view.run_id}" in log  # fmt: skip
    assert git(repository, "rev-parse", "mine") == git(repository, "rev-parse", "main")


#: What is wrong with a repository or with what is asked of it, and what the run fails with.
REFUSED = {
    "no git": ({"repository": "{plain}"}, "it is not in a git repository"),
    "no folder": ({"repository": "{plain}/x"}, "plain/x: there is no such folder"),
    "no commit": ({"repository": "{empty}"}, "has no such commit"),
    "unknown base": ({"base": "v9"}, "begin with v9: the repository"),
    "branch exists": ({"branch": "main"}, "make the branch main: it exists already"),
    "bad branch": ({"branch": "a..b"}, "no branch can be named so"),
}


@pytest.mark.parametrize("wrong", REFUSED)
async def test_what_cannot_be_begun_is_a_sentence(
    wrong: str, tmp_path: Path, repository: Path
) -> None:
    """AG-08: before any agent is started."""
    more, sentence = REFUSED[wrong]
    (tmp_path / "plain").mkdir()
    (tmp_path / "empty").mkdir()
    git(tmp_path / "empty", "init", "--quiet")
    named = {key: value.format(plain=tmp_path / "plain", empty=tmp_path / "empty") for key, value in more.items()}  # fmt: skip
    async with open_agents(tmp_path) as core:
        view = await run_agent(core, {**task("nothing", repository), **named})
        facts = await core.facts(view.run_id)
    assert view.state == "failed"
    assert sentence in (view.error or "")
    assert len([f for f in facts if f.type == "process.started"]) == 1
    assert refs_of(repository) == ["refs/heads/main"]


async def test_a_repository_is_copied_from_where_it_stands(
    tmp_path: Path, repository: Path
) -> None:
    """AG-10: a detached HEAD, and a folder inside: the agent is started in the same one."""
    git(repository, "checkout", "--quiet", "--detach")
    async with open_agents(tmp_path) as core:
        inputs = task("edit", repository / "sub", permissions="all")
        view = await run_agent(core, inputs)
    assert view.result["files"] == ["sub/f.txt"]
    assert view.result["base"] == git(repository, "rev-parse", "HEAD")


@pytest.mark.skipif(not Path("/dev/shm").is_dir(), reason="there is no second file system")  # fmt: skip
async def test_a_repository_may_lie_on_another_file_system(tmp_path: Path) -> None:
    """AG-08: what cannot be linked is copied."""
    with TemporaryDirectory(dir="/dev/shm") as folder:
        assert os.stat(folder).st_dev != os.stat(tmp_path).st_dev
        repository = make_repository(Path(folder) / "repository")
        async with open_agents(tmp_path) as core:
            view = await run_agent(core, task("edit", repository, permissions="all"))
        assert (view.state, view.error) == ("completed", None)
        assert git(repository, "show", f"penstock/{view.run_id}:f.txt") == "x"


async def test_uncommitted_changes_are_taken_when_somebody_says_so(
    tmp_path: Path, repository: Path
) -> None:
    """AG-10: new files too; in the user's repository nothing is written for it."""
    (repository / "a.txt").write_text("mine\n")
    (repository / "new.txt").write_text("new\n")
    before = sorted((repository / ".git").rglob("*"))
    async with open_agents(tmp_path) as core:
        inputs = task("nothing", repository, include_uncommitted=True, keep=True)
        view = await run_agent(core, inputs)
    tree = tmp_path / "runs" / view.run_id / "tree"
    assert (tree / "a.txt").read_text() == "mine\n"
    assert (tree / "new.txt").read_text() == "new\n"
    assert view.result["patch"] == ""
    assert sorted((repository / ".git").rglob("*")) == before


async def test_files_that_git_does_not_track_are_copied_and_not_committed(
    tmp_path: Path, repository: Path
) -> None:
    """AG-10: such as `.env`, which git ignores or not."""
    (repository / ".env").write_text("KEY=1\n")
    async with open_agents(tmp_path) as core:
        inputs = task("nothing", repository, copy=[".env"], do="cat .env > seen")
        view = await run_agent(core, inputs)
        log = await log_of(core, view.run_id)
    assert view.result["files"] == ["seen"]
    assert "copied beside what git tracks: .env" in log


async def test_what_the_copy_lacks_is_told(tmp_path: Path, repository: Path) -> None:
    """AG-08: submodules and files of git LFS."""
    inner = make_repository(tmp_path / "inner")
    add = ("-c", "protocol.file.allow=always", "submodule", "--quiet", "add", "--", str(inner))  # fmt: skip
    git(repository, *add, "inner")
    (repository / ".gitattributes").write_text("*.bin filter=lfs diff=lfs merge=lfs -text\n")  # fmt: skip
    git(repository, "add", ".")
    git(repository, "commit", "--quiet", "-m", "more")
    async with open_agents(tmp_path) as core:
        view = await run_agent(core, task("nothing", repository))
        log = await log_of(core, view.run_id)
    assert view.state == "completed"
    assert "submodules are empty folders in the agent's copy" in log
    assert "files of git LFS are only their pointers" in log


async def test_a_patch_is_exact_whatever_is_in_the_files(
    tmp_path: Path, repository: Path
) -> None:
    """AG-10: bytes that are no UTF-8, and NUL."""
    line = r"printf 'caf\351\n' > latin.txt; printf 'a\0b' > bin; printf 'x' > 'ü b'"
    async with open_agents(tmp_path) as core:
        view = await run_agent(core, task("nothing", repository, do=line))
        patch = await patch_of(core, view.run_id)
    git(repository, "apply", "-", input=patch)
    assert (repository / "latin.txt").read_bytes() == b"caf\xe9\n"
    assert (repository / "bin").read_bytes() == b"a\0b"
    assert view.result["files"] == ["bin", "latin.txt", "ü b"]


@pytest.mark.parametrize(
    "line",
    ["rm -rf .git", "rm -rf .git; echo 'gitdir: {outer}/.git' > .git", "git config core.worktree '{outer}'"],
    ids=["removed", "another's", "elsewhere"],
)  # fmt: skip
async def test_an_agent_cannot_have_another_repository_changed_for_its_own(
    line: str, tmp_path: Path
) -> None:
    """AG-08: its folder may lie inside a repository of the user's, such as a home of dotfiles."""
    outer = make_repository(tmp_path / "outer")
    repository = make_repository(tmp_path / "repository")
    before = git(outer, "rev-parse", "HEAD")
    (outer / "mine").write_text("not committed\n")
    async with open_agents(outer) as core:
        inputs = task("nothing", repository, do=line.format(outer=outer))
        view = await run_agent(core, inputs)
    assert git(outer, "rev-parse", "HEAD") == before
    assert "mine" in git(outer, "status", "--porcelain")
    if "config" not in line:
        assert view.state == "failed"
        assert "it has removed its repository" in (view.error or "")


async def test_work_of_a_repository_that_is_gone_stays_in_its_folder(
    tmp_path: Path, repository: Path
) -> None:
    """AG-10: nothing is lost where it cannot be put; the log says where it is."""
    line = f"echo made > made.txt; rm -rf '{repository}'"
    async with open_agents(tmp_path) as core:
        view = await run_agent(core, task("nothing", repository, do=line))
        log = await log_of(core, view.run_id)
    tree = tmp_path / "runs" / view.run_id / "tree"
    assert view.state == "failed"
    assert f"so the work stays in {tree}" in log
    assert (tree / "made.txt").exists()


async def test_without_a_repository_there_is_an_empty_one(tmp_path: Path) -> None:
    """AG-10: its work is a patch, and is kept in its folder."""
    async with open_agents(tmp_path) as core:
        view = await run_agent(core, task("edit", None, permissions="all"))
        log = await log_of(core, view.run_id)
    assert view.result["files"] == ["f.txt"]
    assert (view.result["branch"], view.result["patch"]) == ("", "changes.patch")
    assert "the work is kept in" in log
