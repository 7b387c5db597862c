"""Git for a coding run: a private copy of the repository, and the result as a branch of it.

Git runs nothing of the repository: no hooks, no file system monitor, no transport but files, and
no configuration of the user or the machine.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import trio

from penstock.errors import NotAvailable, SourceUnusable
from penstock.pipelines.coding.tree import Tree, make_fresh, put_in_place, remove
from penstock.pipelines.llms_txt.fetch import git_environment

if TYPE_CHECKING:
    from penstock.runs.run import Run

_SAFE = (
    "-c", "core.hooksPath=/dev/null",
    "-c", "core.fsmonitor=false",
    "-c", "protocol.ext.allow=never",
    "-c", "safe.directory=*",
)  # fmt: skip

_AUTHOR = (
    "-c", "user.name=Penstock", "-c", "user.email=penstock@localhost", "-c", "commit.gpgSign=false",
)  # fmt: skip

_CLONE = (
    "clone", "--depth", "1", "--no-tags", "--single-branch", "--no-recurse-submodules",
    "--template=", "--quiet",
)  # fmt: skip

# What a supervisor, like a shell, answers for a program that is not there.
_NOT_FOUND = 127


async def open_tree(run: Run, repository: str | None) -> Tree:
    """The run's folder, as an earlier execution left it or made now."""
    workspace: Path = await run.workspace()
    folder = workspace / "tree"
    if repository is None:
        await trio.to_thread.run_sync(make_fresh, folder)
        return Tree(folder, run.run_id)
    if not await trio.to_thread.run_sync(folder.is_dir):
        made = workspace / "tree.part"
        await trio.to_thread.run_sync(remove, made)
        source = Path(repository).as_uri()
        await _git(run, *_CLONE, "--", source, str(made), what=f"copy {repository}")
        await trio.to_thread.run_sync(put_in_place, made, folder)
    told = await _git(run, "-C", str(folder), "rev-parse", "HEAD", what="read the copy")
    return Tree(folder, run.run_id, base=told.decode().strip())


async def make_branch(run: Run, tree: Tree, repository: str, branch: str) -> None:
    """Commit what was written, and fetch it into the repository as a new branch.

    SourceUnusable says why git refused, such as a branch that exists already with other work.
    """
    copy = ("-C", str(tree.root))
    await _git(
        run, *copy, "add", "--force", "--", *sorted(tree.files), what="add the files"
    )
    # After a restart it may be committed already.
    if await _git(run, *copy, "diff", "--cached", "--name-only", what="compare"):
        message = f"Do what run {run.run_id} was asked for"
        commit = (*_AUTHOR, "commit", "--quiet", "--no-verify", "-m", message)
        await _git(run, *copy, *commit, what="commit")
    fetch = (
        "fetch",
        "--quiet",
        "--no-tags",
        "--no-write-fetch-head",
        "--update-shallow",
    )
    where = ("-C", repository, *fetch, "--", tree.root.as_uri())
    await _git(run, *where, f"HEAD:refs/heads/{branch}", what=f"make {branch}")


async def _git(run: Run, *words: str, what: str) -> bytes:
    """What git answers. SourceUnusable tells what could not be done; git's own words are in the log."""
    ended = await run.exec(
        ["git", *_SAFE, *words],
        env=git_environment("file", os.environ),
        check=False,
        capture=True,
    )
    if ended.exit_code == _NOT_FOUND:
        raise NotAvailable("git is not installed, so no repository can be worked on")
    if ended.exit_code != 0:
        raise SourceUnusable(
            f"git could not {what}; its own words are in the run's log"
        )
    return ended.stdout
