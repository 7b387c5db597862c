"""The folder a coding run works in: a private copy of a repository, or a fresh folder.

A copy and not a linked worktree: the hooks, filters and settings of the repository itself never
run, and a run that is cancelled or killed leaves nothing in it. Only files inside the folder are
written, each whole or not at all. The result becomes a branch of the repository, fetched from here.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from dataclasses import dataclass, field
from pathlib import Path

from penstock.kinds.atomic import open_atomic
from penstock.kinds.coding.modules import check_path
from penstock.kinds.coding.names import LARGEST_FILE
from penstock.kinds.git import SHALLOW_CLONE, run_git
from penstock.pipeline import Run, SourceUnusable, run_in_thread

_AUTHOR = (
    "-c", "user.name=Penstock", "-c", "user.email=penstock@localhost", "-c", "commit.gpgSign=false",
)  # fmt: skip


@dataclass(eq=False, slots=True)
class WorkTree:
    """See the module's text. `files` is what the run has written, by path."""

    root: Path
    #: Tells the run's own unfinished files apart.
    tag: str
    #: The commit it is a copy of; empty for a fresh folder.
    base: str = ""
    files: dict[str, str] = field(default_factory=dict)
    #: What stood there before; None: nothing.
    before: dict[str, str | None] = field(default_factory=dict)

    @property
    def code_hash(self) -> str:
        """What the written files are, as one SHA-256."""
        text = json.dumps(self.files, sort_keys=True, ensure_ascii=False)
        return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()

    async def read(self, path: str) -> str | None:
        """The text of a file as it is now; None if there is none."""
        if path in self.files:
            return self.files[path]
        return await run_in_thread(_read, self.root, path)

    async def write(self, path: str, text: str) -> None:
        """Put a text into place. SourceUnusable if that would be outside the folder."""
        await self.place(path, text)
        self.files[path] = text

    async def place(self, path: str, text: str) -> None:
        """As `write`, of a text that is not the run's work."""
        target = await run_in_thread(_locate, self.root, path)
        async with open_atomic(target, tag=self.tag) as file:
            await file.write(text)

    def shown(self, paths: list[str] | None = None) -> str:
        """Files as models are shown them; all that were written unless some are named."""
        chosen = sorted(self.files) if paths is None else paths
        return "\n\n".join(
            show_file(path, self.files[path]) for path in chosen if path in self.files
        )


def show_file(path: str, text: str) -> str:
    """One file as models are shown it."""
    return f"=== {path} ===\n{text}"


def plain(text: str) -> str:
    """A file's text as a model gave it: without a fence around it, and with an end."""
    text = text.replace("\r\n", "\n").strip("\n")
    lines = text.split("\n")
    if len(lines) > 1 and lines[0].startswith("```") and lines[-1].strip() == "```":
        text = "\n".join(lines[1:-1]).strip("\n")
    # A file name may hold half a character, and no file of ours does.
    return text.encode("utf-8", "replace").decode() + "\n"


def list_files(root: Path, most: int) -> list[str]:
    """Paths of the folder's files, without git's own, by name; at most so many. Blocks."""
    found: list[str] = []
    for folder, folders, names in os.walk(root):
        folders[:] = sorted(f for f in folders if f not in {".git", "__pycache__"})
        for name in sorted(names):
            path = os.path.relpath(os.path.join(folder, name), root)
            found.append(path.encode("utf-8", "replace").decode())
            if len(found) >= most:
                return found
    return found


def make_fresh(folder: Path) -> None:
    """An empty folder, unless it is there already. Blocks."""
    folder.mkdir(parents=True, exist_ok=True)


def put_in_place(made: Path, folder: Path) -> None:
    """A copy that is whole takes its name. Blocks."""
    os.rename(made, folder)


def remove(folder: Path) -> None:
    """What an interrupted execution left is not whole. Blocks."""
    if folder.is_dir():
        shutil.rmtree(folder)


def _locate(root: Path, path: str) -> Path:
    """Where a path really is. SourceUnusable if a link in the repository leads out of it."""
    try:
        target = root / check_path(path)
    except ValueError as error:
        raise SourceUnusable(str(error)) from None
    inside = root.resolve()
    if not target.parent.resolve().is_relative_to(inside) or target.is_symlink():
        raise SourceUnusable(f"{path} is a link, and links are not followed")
    if target.is_dir():
        raise SourceUnusable(f"{path} is a folder")
    return target


def _read(root: Path, path: str) -> str | None:
    target = _locate(root, path)
    if not target.is_file():
        return None
    if target.stat().st_size > LARGEST_FILE:
        raise SourceUnusable(f"{path} is too large to be worked on")
    try:
        return target.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise SourceUnusable(f"{path} is not a text in UTF-8") from None


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
