"""Get the tree onto this machine and ask git for its names, without running anything of it.

Repositories are strangers' work. Their hooks, file system monitors, filters and transports could
run programs, so git is told to use none of them, reads no configuration of the user or the
machine, asks nobody, and may speak only the one transport that was asked for. Git's environment
variable wins over whatever a repository's own configuration allows.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import trio

from penstock.errors import NotAvailable, SourceUnusable
from penstock.pipelines.llms_txt.source import Source, Transport
from penstock.pipelines.llms_txt.tree import Tree, list_tree

if TYPE_CHECKING:
    from penstock.runs.run import Run

_SAFE = (
    "-c", "core.hooksPath=/dev/null",
    "-c", "core.fsmonitor=false",
    "-c", "protocol.ext.allow=never",
    # A tree of another user is only listed, and nothing of it can run: see above.
    "-c", "safe.directory=*",
)  # fmt: skip

_CLONE = (
    "clone", "--depth", "1", "--no-tags", "--single-branch", "--no-recurse-submodules",
    # A template could bring hooks; an empty one brings nothing.
    "--template=", "--quiet",
)  # fmt: skip

_LIST = ("ls-files", "-z", "--cached", "--others", "--exclude-standard")

_INHERITED = (
    "PATH", "HOME", "USER", "SSH_AUTH_SOCK", "HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy",
    "NO_PROXY", "no_proxy", "SSL_CERT_FILE", "SSL_CERT_DIR",
)  # fmt: skip

# What a supervisor, like a shell, answers for a program that is not there.
_NOT_FOUND = 127


def git_environment(
    transport: Transport | None, environ: Mapping[str, str]
) -> dict[str, str]:
    """All that git is told besides its arguments; only `transport` may be spoken, none if None.

    Of `environ` it keeps what finding programs, keys and the network's proxy needs.
    """
    return {name: environ[name] for name in _INHERITED if name in environ} | {
        "GIT_ALLOW_PROTOCOL": transport or "none",
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_LFS_SKIP_SMUDGE": "1",
        "GIT_NO_LAZY_FETCH": "1",
        # Listing must not refresh the index: the tree is read and never written.
        "GIT_OPTIONAL_LOCKS": "0",
        "GIT_SSH_COMMAND": "ssh -oBatchMode=yes",
        "GIT_ASKPASS": "true",
        "SSH_ASKPASS": "true",
        "GIT_TERMINAL_PROMPT": "0",
        "LC_ALL": "C",
    }


async def fetch_tree(run: Run, source: Source, max_files: int) -> Tree:
    """The tree of `source`, cloned into the run's workspace when it is a git address.

    SourceUnusable says what is wrong with the source, NotAvailable that git is missing.
    """
    root = source.where
    has_git = await trio.to_thread.run_sync(shutil.which, "git") is not None
    if source.transport is not None:
        if not has_git:
            raise NotAvailable(
                "git is not installed, so a git address cannot be fetched"
            )
        root = str(await _clone(run, source))
    elif not await trio.to_thread.run_sync(os.path.isdir, root):
        raise SourceUnusable(f"{root} is not a folder of this machine")
    has_git = has_git and await trio.to_thread.run_sync(_is_in_git_tree, root)
    names = await _names_from_git(run, root) if has_git else None
    tree = await trio.to_thread.run_sync(_list_names, root, names, max_files)
    if not tree.files:
        raise SourceUnusable(f"{source.where} has no files to describe")
    return tree


def _is_in_git_tree(root: str) -> bool:
    folder = Path(root).resolve()
    return any((parent / ".git").exists() for parent in (folder, *folder.parents))


def _list_names(root: str, names: list[str] | None, max_files: int) -> Tree:
    return list_tree(root, names, max_files, trio.from_thread.check_cancelled)


async def _clone(run: Run, source: Source) -> Path:
    workspace: Path = await run.workspace()
    folder = workspace / "tree"
    # What an interrupted execution left is not whole.
    await trio.to_thread.run_sync(_remove, folder)
    await run.progress("fetch")
    ended = await run.exec(
        ["git", *_SAFE, *_CLONE, "--", source.where, str(folder)],
        env=git_environment(source.transport, os.environ),
        check=False,
    )
    if ended.exit_code == _NOT_FOUND:
        raise NotAvailable("git is not installed, so a git address cannot be fetched")
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


async def _names_from_git(run: Run, root: str) -> list[str] | None:
    """The names git tracks or would track; None when this is no git tree, or they are too many."""
    ended = await run.exec(
        ["git", "-C", root, *_SAFE, *_LIST],
        env=git_environment(None, os.environ),
        check=False,
        capture=True,
    )
    listed = ended.stdout
    # What was captured is bounded: a list that does not end with an end is not whole, and a walk
    # finds all. A folder that git knows nothing of, inside a tree it ignores, is walked as well.
    if ended.exit_code != 0 or not listed.endswith(b"\0"):
        return None
    return [os.fsdecode(name) for name in listed.split(b"\0") if name]
