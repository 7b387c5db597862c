"""The agent's own copy of a repository, and what becomes of its work: a patch, a branch, or a rescue.

A clone and not a linked worktree: the hooks and settings of the repository itself never run, an agent
cannot reach it by git, and a run that is killed leaves nothing in it.
"""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import trio

from penstock.kinds.agent import tree_scripts
from penstock.kinds.agent.inputs import AgentInputs
from penstock.kinds.git import git_script_environment
from penstock.pipeline import (
    DeferredFailure,
    Run,
    SourceUnusable,
    run_in_thread,
)

#: Where the work of a run is found that did not come to its end.
RESCUE_REF = "refs/penstock/{run_id}"
#: Bytes of a patch that is recorded; a larger one is in the branch alone.
LARGEST_PATCH = 8 * 1024 * 1024
#: Names of changed files that a result tells.
MOST_FILES = 1000
#: Characters of git's own words in an error.
_LONGEST_REASON = 500


@dataclass(frozen=True, slots=True)
class AgentTree:
    """Where the agent works. `base` is the commit that its work is compared with."""

    root: Path
    base: str
    #: The folder of the tree in which it is started.
    cwd: Path
    #: The repository that it was copied from; None: it began empty.
    repository: Path | None = None


@dataclass(frozen=True, slots=True)
class AgentWork:
    """What there is in the tree that was not there before."""

    head: str
    files: tuple[str, ...] = ()
    added: int = 0
    removed: int = 0


@dataclass(frozen=True, slots=True)
class _Said:
    """What a script printed, by key; each may be said several times."""

    lines: dict[str, list[str]] = field(default_factory=dict)

    def one(self, key: str) -> str:
        return self.lines.get(key, [""])[-1]

    def all(self, key: str) -> list[str]:
        return self.lines.get(key, [])


async def open_tree(run: Run, inputs: AgentInputs) -> AgentTree:
    """The tree as an earlier execution left it, or made now. SourceUnusable says what is wrong."""
    root: Path = await run.workspace() / "tree"
    said = await _script(
        run,
        "open",
        tree_scripts.OPEN,
        inputs.repository or "",
        str(root),
        inputs.base,
        "yes" if inputs.include_uncommitted else "",
        inputs.branch or "",
    )
    await _tell(run, said)

    async def first_base() -> str:
        await trio.lowlevel.checkpoint()
        return said.one("head")

    base = str(await run.step("base", first_base))
    top = said.one("top")
    tree = AgentTree(root, base, root / said.one("prefix"), Path(top) if top else None)
    if inputs.copy_files and tree.repository is not None and run.attempt == 1:
        copied = await run_in_thread(
            _copy_files, tree.repository, root, inputs.copy_files
        )
        await run.log(
            f"copied beside what git tracks: {', '.join(copied) or 'nothing'}\n"
        )
    return tree


async def _tell(run: Run, said: _Said) -> None:
    """What of the repository is not in the copy."""
    if (count := said.one("uncommitted")) not in ("", "0"):
        await run.log(
            f"{count} uncommitted {'change is' if count == '1' else 'changes are'} not in the"
            " agent's copy (`include_uncommitted` takes them)\n"
        )
    if said.one("submodules"):
        await run.log("submodules are empty folders in the agent's copy\n")
    if said.one("lfs"):
        await run.log("files of git LFS are only their pointers in the agent's copy\n")


def _copy_files(repository: Path, root: Path, patterns: Sequence[str]) -> list[str]:
    """Copy files that git does not track, and keep git from adding them. Blocks."""
    copied = []
    for pattern in patterns:
        for source in sorted(repository.glob(pattern)):
            path = source.relative_to(repository)
            target = root / path
            if not source.is_file() or path.parts[0] == ".git" or target.exists():
                continue
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, target)
            copied.append(str(path))
    if copied:
        exclude = root / ".git" / "info" / "exclude"
        exclude.parent.mkdir(exist_ok=True)
        with exclude.open("a", encoding="utf-8") as file:
            file.writelines(f"/{_escaped(path)}\n" for path in copied)
    return copied


def _escaped(path: str) -> str:
    return "".join(f"\\{c}" if c in "\\*?[ !#" else c for c in path)


async def commit_work(run: Run, tree: AgentTree) -> AgentWork:
    """Commit what the agent left uncommitted, and tell what there is. Its processes are gone by now."""
    message = f"Do what run {run.run_id} was asked for"
    said = await _script(
        run, "commit", tree_scripts.COMMIT, str(tree.root), tree.base, message
    )
    if said.one("nested"):
        await run.log(
            "the agent made a git repository inside its own: what is in it is in no patch"
            " and no branch\n"
        )
        run.keep_workspace()
    files, added, removed = [], 0, 0
    for line in said.all("file"):
        more, less, path = line.split("\t", 2)
        added += int(more) if more.isdigit() else 0
        removed += int(less) if less.isdigit() else 0
        files.append(path)
    return AgentWork(said.one("head"), tuple(files[:MOST_FILES]), added, removed)


async def make_branch(run: Run, tree: AgentTree, branch: str) -> str:
    """The branch of the work in the repository; "" if git would not, and the reference has it instead."""
    assert tree.repository is not None
    said = await _script(
        run,
        "branch",
        tree_scripts.BRANCH,
        str(tree.root),
        str(tree.repository),
        branch,
        RESCUE_REF.format(run_id=run.run_id),
    )
    if kept := said.one("kept"):
        await run.log(f"the branch {branch} could not be made; the work is at {kept}\n")
    return said.one("branch")


async def rescue(run: Run, tree: AgentTree) -> None:
    """Keep the work of a run that does not come to its end: at a reference, else in its folder."""
    work = await commit_work(run, tree)
    if work.head == tree.base or tree.repository is None:
        if work.head != tree.base:
            run.keep_workspace()
            await run.log(f"the work is kept in {tree.root}\n")
        return
    reference = RESCUE_REF.format(run_id=run.run_id)
    said = await _script(
        run,
        "rescue",
        tree_scripts.RESCUE,
        str(tree.root),
        str(tree.repository),
        reference,
    )
    await run.log(
        f"the work is kept: `git log {said.one('kept')}` in {tree.repository}\n"
    )


@asynccontextmanager
async def rescued(run: Run, tree: AgentTree, seconds: float) -> AsyncIterator[None]:
    """What a block leaves that fails or is cancelled is kept, in `seconds` at most."""
    done = False
    try:
        yield
        done = True
    finally:
        if not done and not run.comes_back:
            kept = False
            with trio.move_on_after(seconds, shield=True):
                kept = await _rescue_surely(run, tree)
            if not kept:
                run.keep_workspace()


async def _rescue_surely(run: Run, tree: AgentTree) -> bool:
    """Keep the work elsewhere; False, and the log says so, if it is in its folder alone."""
    failed = DeferredFailure()
    with failed:
        await rescue(run, tree)
    if not isinstance(failed.error, SourceUnusable):
        failed.reraise()
        return True
    await run.log(f"{failed.error}\nso the work stays in {tree.root}\n")
    return False


async def read_patch(run: Run, tree: AgentTree, head: str) -> str | None:
    """The change as `git apply` takes it; None if it is larger than is recorded.

    Files that are no UTF-8 are told as binary ones are, so that the patch is text and still exact.
    """
    for attributes in ((), ("-c", f"core.attributesFile={tree.root.parent}/binary")):
        if attributes:
            await run_in_thread(
                (tree.root.parent / "binary").write_text, "* -diff\n", "utf-8"
            )
        patch = bytearray()

        async def take(data: bytes, patch: bytearray = patch) -> None:
            await trio.lowlevel.checkpoint()
            if len(patch) <= LARGEST_PATCH:
                patch.extend(data)

        words = ("diff", "--binary", "--no-renames", "--no-ext-diff", "--no-textconv")
        ended = await run.exec(
            ["git", *attributes, "-C", str(tree.root), *words, tree.base, head, "--"],
            env=await git_script_environment(run),
            clean=True,
            check=False,
            on_stdout=take,
        )
        if ended.exit_code != 0:
            raise SourceUnusable("git could not compare; its own words are in the log")
        if len(patch) > LARGEST_PATCH:
            return None
        try:
            return patch.decode()
        except UnicodeDecodeError:
            continue
    return None


async def _script(run: Run, stage: str, script: str, *words: str) -> _Said:
    """Run a stage. SourceUnusable says what git could not do, and what it said itself."""
    ended = await run.exec(
        ["/bin/sh", "-s", "--", stage, *words],
        env=await git_script_environment(run),
        clean=True,
        stdin=script.replace('main "$@"', 'shift; main "$@"').encode(),
        check=False,
        capture=True,
        one_stream=True,
    )
    said = _Said()
    rest = []
    for line in ended.stdout.decode("utf-8", "replace").splitlines():
        key, _, value = line.partition(" ")
        if key in _KEYS:
            said.lines.setdefault(key, []).append(value)
        else:
            rest.append(line)
    if ended.exit_code != 0:
        why = "; ".join(line for line in rest if line.strip())[:_LONGEST_REASON]
        what = said.one("cannot") or f"do the stage {stage!r}"
        raise SourceUnusable(f"git could not {what}" + (f": {why}" if why else ""))
    return said


_KEYS = frozenset({
    "tree", "top", "prefix", "head", "uncommitted", "submodules", "lfs", "file", "nested", "branch", "kept", "cannot",
})  # fmt: skip
