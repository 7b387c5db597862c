"""ML-04: git addresses are cloned by real git, contained; nothing of a repository runs."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import pytest
import trio
from llms_txt import parse_llms_file  # type: ignore[import-untyped]

from fakes.pipeline_run import FakeRun
from penstock.kinds.git import git_environment
from penstock.kinds.llms_txt.pipeline import KIND, LlmsTxtOutput
from penstock.words.errors import NotAvailable, SourceUnusable

if TYPE_CHECKING:
    from penstock.pipeline import Run

HOSTILE_NAME = "we](ird\n# name (x).md"


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home with a git configuration whose template brings a hook that leaves a mark."""
    home = tmp_path / "home"
    hooks = home / "template" / "hooks"
    hooks.mkdir(parents=True)
    hook = hooks / "post-checkout"
    hook.write_text(f"#!/bin/sh\ntouch {tmp_path}/ran\n")
    hook.chmod(0o755)
    (home / ".gitconfig").write_text(
        f"[init]\n\ttemplateDir = {home}/template\n\tdefaultBranch = main\n"
        "[user]\n\tname = T\n\temail = t@example.org\n"
    )
    for name in [name for name in os.environ if name.startswith("GIT_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(home))
    return home


def _git(*argv: str, cwd: Path) -> bytes:
    return subprocess.run(
        ["git", *argv], cwd=cwd, check=True, capture_output=True
    ).stdout


@pytest.fixture
def bare(home: Path, tmp_path: Path) -> Path:
    """A bare repository with a few commits, a hostile name and a link out of the tree."""
    work = tmp_path / "work"
    work.mkdir()
    _git("init", "-q", cwd=work)
    (work / "README.md").write_text("# Cloned\n\nWords about the cloned thing.\n")
    (work / HOSTILE_NAME).write_text("# Hostile ](x\n")
    (work / os.fsdecode(b"bad\xff.py")).write_text('"""Undecodable name."""\n')
    (work / "out.md").symlink_to("/etc/passwd")
    for number in range(3):
        (work / "code.py").write_text(f'"""Version {number} of the code."""\n')
        _git("add", "-A", cwd=work)
        _git("commit", "-q", "-m", "more", cwd=work)
    _git("clone", "-q", "--bare", str(work), str(tmp_path / "thing.git"), cwd=tmp_path)
    (tmp_path / "ran").unlink(missing_ok=True)
    return tmp_path / "thing.git"


async def _run(run: FakeRun, source: str, **inputs: Any) -> LlmsTxtOutput:
    parsed = KIND.parse({"source": source, **inputs})
    with trio.fail_after(30):
        output = await KIND.pipeline(cast("Run", run), parsed)
    return cast("LlmsTxtOutput", output)


async def test_a_bare_repository_is_cloned_and_described(
    bare: Path, tmp_path: Path
) -> None:
    """ML-04 One commit, hostile names; the link out of the tree is not followed."""
    run = FakeRun(tmp_path / "runs", KIND.milestones)
    output = await _run(run, f"file://{bare}", out=str(tmp_path / "out"))
    text = (tmp_path / "out" / "llms.txt").read_text()
    read = parse_llms_file(text)
    assert (read.title, output.files, output.links) == ("Cloned", 4, 4)
    assert sum(len(links) for links in read.sections.values()) == 4
    assert "we%5D%28ird%0A%23%20name%20%28x%29.md" in text
    assert "bad%FF.py" in text
    assert "Version 2 of the code" in text
    assert "root:" not in (tmp_path / "out" / "llms-full.txt").read_text()
    clone = tmp_path / "runs" / "run-1" / "tree"
    assert _git("rev-list", "--count", "HEAD", cwd=clone) == b"1\n"


async def test_no_hook_of_the_user_runs(bare: Path, tmp_path: Path) -> None:
    """ML-03 The same clone by plain git leaves the hook's mark, so the hook is a real one."""
    run = FakeRun(tmp_path / "runs", KIND.milestones)
    await _run(run, f"file://{bare}")
    assert not (tmp_path / "ran").exists()
    _git("clone", "-q", str(bare), str(tmp_path / "plain"), cwd=tmp_path)
    assert (tmp_path / "ran").exists()


async def test_no_program_of_a_local_repository_runs(
    home: Path, tmp_path: Path
) -> None:
    """ML-03 A file system monitor is a program; `git status` would run it."""
    work = tmp_path / "local"
    work.mkdir()
    _git("init", "-q", cwd=work)
    (work / "README.md").write_text("# Local\n")
    (work / ".gitignore").write_text("ignored.md\n")
    (work / "ignored.md").write_text("# Ignored\n")
    _git("add", "README.md", cwd=work)
    (work / "new.md").write_text("# New\n")
    monitor = tmp_path / "monitor"
    monitor.write_text(f"#!/bin/sh\ntouch {tmp_path}/ran\n")
    monitor.chmod(0o755)
    _git("config", "core.fsmonitor", str(monitor), cwd=work)
    index = (work / ".git" / "index").read_bytes()
    run = FakeRun(tmp_path / "runs", KIND.milestones)
    output = await _run(run, str(work), out=str(tmp_path / "out"))
    assert not (tmp_path / "ran").exists()
    assert (work / ".git" / "index").read_bytes() == index
    assert output.files == 3
    assert "ignored.md" not in (tmp_path / "out" / "llms.txt").read_text()
    _git("status", cwd=work)
    assert (tmp_path / "ran").exists()


async def test_a_clone_that_fails_says_where_git_s_words_are(
    home: Path, tmp_path: Path
) -> None:
    """ML-04 No such repository: a sentence, git's words in the log, no file."""
    run = FakeRun(tmp_path / "runs", KIND.milestones)
    with pytest.raises(
        SourceUnusable, match=r"git could not clone .*gone\.git \(status 128\)"
    ):
        await _run(run, f"file://{tmp_path}/gone.git", out=str(tmp_path / "out"))
    assert any("does not" in getattr(fact, "text", "") for fact in run.facts)
    assert not (tmp_path / "out").exists()


async def test_a_repository_without_commits_fails_with_a_sentence(
    home: Path, tmp_path: Path
) -> None:
    """ML-04 There is nothing to describe."""
    _git("init", "-q", "--bare", str(tmp_path / "void.git"), cwd=tmp_path)
    run = FakeRun(tmp_path / "runs", KIND.milestones)
    with pytest.raises(SourceUnusable, match="has no files to describe"):
        await _run(run, f"file://{tmp_path}/void.git")


def _git_commands(run: FakeRun) -> list[tuple[tuple[str, ...], dict[str, str]]]:
    """What was run of git; the rest reads the tree."""
    return [command for command in run.commands if command[0][0] == "git"]


async def test_without_git_an_address_is_refused_and_a_folder_is_walked(
    bare: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """ML-04 Git is needed for git addresses only."""
    monkeypatch.setenv("PATH", str(tmp_path))
    run = FakeRun(tmp_path / "runs", KIND.milestones)
    with pytest.raises(NotAvailable, match="git is not installed"):
        await _run(run, f"file://{bare}")
    output = await _run(run, str(tmp_path / "work"))
    assert output.files == 4
    assert _git_commands(run) == []


async def test_an_interrupted_clone_is_begun_anew(bare: Path, tmp_path: Path) -> None:
    """ML-04 What a killed execution left in the workspace is not taken for a tree."""
    run = FakeRun(tmp_path / "runs", KIND.milestones)
    left = await run.workspace() / "tree" / "half"
    left.mkdir(parents=True)
    (left / "README.md").write_text("# Half\n")
    assert (await _run(run, f"file://{bare}")).files == 4


async def test_git_is_told_to_speak_one_transport_and_ask_nobody(
    bare: Path, tmp_path: Path
) -> None:
    """ML-03 The address comes after `--`; the environment wins over any configuration."""
    run = FakeRun(tmp_path / "runs", KIND.milestones)
    await _run(run, f"file://{bare}")
    (clone, environ), (listing, list_environ) = _git_commands(run)
    assert clone[-3:-1] == ("--", f"file://{bare}")
    assert {"--depth", "--no-tags", "--single-branch", "--no-recurse-submodules"} < set(
        clone
    )
    assert environ["GIT_ALLOW_PROTOCOL"] == "file"
    assert environ["GIT_TERMINAL_PROMPT"] == "0"
    assert environ["GIT_CONFIG_GLOBAL"] == os.devnull
    assert "core.fsmonitor=false" in listing
    assert list_environ["GIT_ALLOW_PROTOCOL"] == "none"


def test_the_environment_keeps_no_secret_of_the_daemon() -> None:
    """ML-03 Programs, keys and proxies are found; all else stays behind."""
    given = {
        "PATH": "/bin",
        "SSH_AUTH_SOCK": "/s",
        "PENSTOCK_TOKEN": "x",
        "GIT_DIR": "/elsewhere",
    }
    kept = git_environment("ssh", given)
    assert kept["PATH"] == "/bin"
    assert kept["SSH_AUTH_SOCK"] == "/s"
    assert "PENSTOCK_TOKEN" not in kept
    assert "GIT_DIR" not in kept
    assert "BatchMode=yes" in kept["GIT_SSH_COMMAND"]


def test_a_transport_that_was_not_asked_for_is_refused_by_git(
    bare: Path, tmp_path: Path
) -> None:
    """ML-03 Even where a configuration allows it, `ext::` and file:// are not spoken."""
    environ = git_environment("https", os.environ)
    for address in (f"ext::sh -c touch% {tmp_path}/ran", f"file://{bare}"):
        ended = subprocess.run(
            [
                "git",
                "-c",
                "protocol.ext.allow=always",
                "clone",
                "-q",
                "--",
                address,
                str(tmp_path / "c"),
            ],
            env=environ,
            capture_output=True,
            check=False,
        )
        assert ended.returncode == 128
        assert b"not allowed" in ended.stderr
    assert not (tmp_path / "ran").exists()
