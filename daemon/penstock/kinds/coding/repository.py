"""Git for a coding run: a private copy of the repository, and the result as a branch of it."""

from __future__ import annotations

from pathlib import Path

from penstock.kinds.coding.work_tree import WorkTree, make_fresh, put_in_place, remove
from penstock.kinds.git import SHALLOW_CLONE, run_git
from penstock.pipeline import Run, SourceUnusable, run_in_thread

_AUTHOR = (
    "-c", "user.name=Penstock", "-c", "user.email=penstock@localhost", "-c", "commit.gpgSign=false",
)  # fmt: skip


async def open_tree(run: Run, repository: str | None) -> WorkTree:
    """The run's folder, as an earlier execution left it or made now."""
    workspace: Path = await run.workspace()
    folder = workspace / "tree"
    if repository is None:
        await run_in_thread(make_fresh, folder)
        return WorkTree(folder, run.run_id)
    if not await run_in_thread(folder.is_dir):
        made = workspace / "tree.part"
        await run_in_thread(remove, made)
        source = Path(repository).as_uri()
        await _git(
            run, *SHALLOW_CLONE, "--", source, str(made), what=f"copy {repository}"
        )
        await run_in_thread(put_in_place, made, folder)
    told = await _git(run, "-C", str(folder), "rev-parse", "HEAD", what="read the copy")
    return WorkTree(folder, run.run_id, base=told.decode().strip())


async def make_branch(run: Run, tree: WorkTree, repository: str, branch: str) -> None:
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
    ended = await run_git(run, *words, transport="file", capture=True)
    if ended.exit_code != 0:
        raise SourceUnusable(
            f"git could not {what}; its own words are in the run's log"
        )
    return ended.stdout
