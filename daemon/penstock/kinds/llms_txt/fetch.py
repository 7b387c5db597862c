"""Get the tree onto this machine, and ask git for its names."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import trio

from penstock.kinds.git import SHALLOW_CLONE, run_git
from penstock.kinds.llms_txt.source import Source
from penstock.kinds.llms_txt.source_tree import SourceTree, list_tree
from penstock.pipeline import NotAvailable, Run, SourceUnusable, run_in_thread

_LIST = ("ls-files", "-z", "--cached", "--others", "--exclude-standard")


async def fetch_tree(run: Run, source: Source, max_files: int) -> SourceTree:
    """The tree of `source`, cloned into the run's workspace when it is a git address.

    SourceUnusable says what is wrong with the source, NotAvailable that git is missing.
    """
    root = source.where
    has_git = await run_in_thread(shutil.which, "git") is not None
    if source.transport is not None:
        if not has_git:
            raise NotAvailable(
                "git is not installed, so a git address cannot be fetched"
            )
        root = str(await _clone(run, source))
    elif not await run_in_thread(os.path.isdir, root):
        raise SourceUnusable(f"{root} is not a folder of this machine")
    has_git = has_git and await run_in_thread(_is_in_git_tree, root)
    listed = await _names_from_git(run, root) if has_git else None
    tree = await run_in_thread(_list_names, root, listed, max_files)
    if not tree.files:
        raise SourceUnusable(f"{source.where} has no files to describe")
    return tree


def _is_in_git_tree(root: str) -> bool:
    folder = Path(root).resolve()
    return any((parent / ".git").exists() for parent in (folder, *folder.parents))


def _list_names(root: str, listed: bytes | None, max_files: int) -> SourceTree:
    names = None
    if listed is not None:
        names = [os.fsdecode(name) for name in listed.split(b"\0") if name]
    return list_tree(root, names, max_files, trio.from_thread.check_cancelled)


async def _clone(run: Run, source: Source) -> Path:
    workspace: Path = await run.workspace()
    folder = workspace / "tree"
    # What an interrupted execution left is not whole.
    await run_in_thread(_remove, folder)
    await run.progress("fetch")
    words = (*SHALLOW_CLONE, "--", source.where, str(folder))
    ended = await run_git(run, *words, transport=source.transport)
    if ended.exit_code != 0:
        why = (
            f"signal {ended.signal}"
            if ended.exit_code is None
            else f"status {ended.exit_code}"
        )
        raise SourceUnusable(
            f"git could not clone {source.where} ({why}); its own words are in the run's log"
        )
    return folder


def _remove(folder: Path) -> None:
    if folder.is_dir():
        shutil.rmtree(folder)


async def _names_from_git(run: Run, root: str) -> bytes | None:
    """The names git tracks or would track, each with NUL; None when this is no git tree, or too many."""
    words = ("-C", root, *_LIST)
    try:
        ended = await run_git(run, *words, transport=None, capture=True)
    except NotAvailable:
        # Found on the PATH and yet not there, as a shim may be: then the folder is walked.
        return None
    listed = ended.stdout
    # What was captured is bounded: a list that does not end with an end is not whole, and a walk
    # finds all. A folder that git knows nothing of, inside a tree it ignores, is walked as well.
    if ended.exit_code != 0 or not listed.endswith(b"\0"):
        return None
    return listed
