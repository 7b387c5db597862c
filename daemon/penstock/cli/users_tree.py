"""A person's own tree of files under git, and a patch that is to go into it. Git does what is done."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from penstock.words.errors import NotAvailable, PenstockError, Refused

#: What the name of a file as it was before ends with.
BEFORE = ".before-penstock"
#: Variables by which git would look at another tree than the one that is meant.
_ELSEWHERE = (
    "GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_PREFIX", "GIT_OBJECT_DIRECTORY", "GIT_COMMON_DIR",
    "GIT_NAMESPACE", "GIT_ALTERNATE_OBJECT_DIRECTORIES",
)  # fmt: skip
#: What a patch is put in with, whatever is configured: as it is, or not at all.
_APPLY = ("-c", "apply.whitespace=nowarn", "-c", "apply.ignoreWhitespace=no", "apply")  # fmt: skip


@dataclass(frozen=True, slots=True)
class UsersTree:
    """A work tree, by its uppermost folder."""

    root: Path
    environ: Mapping[str, str]

    def git(
        self, *words: str, stdin: bytes | None = None
    ) -> subprocess.CompletedProcess[bytes]:
        """Do it there, and tell how it went. NotAvailable without git."""
        return _git(self.root, self.environ, *words, stdin=stdin)

    def has_commit(self, name: str) -> bool:
        """Whether it knows this commit."""
        return (
            bool(name)
            and self.git("cat-file", "-e", f"{name}^{{commit}}").returncode == 0
        )

    def patch_between(self, base: str, head: str) -> bytes:
        """The way from one commit to another, exact. PenstockError if git cannot tell it."""
        words = ("diff", "--binary", "--full-index", "--no-color", "--no-renames", "--no-ext-diff", "--no-textconv", base, head)  # fmt: skip
        return self._done(*words)

    def changed(self, paths: Sequence[str]) -> list[str]:
        """Those of these files that are not as they were committed: changed, staged, or not git's at all."""
        if not paths:
            return []
        words = ("status", "--porcelain=v1", "-z", "--untracked-files=all", "--ignored=matching", "--no-renames")  # fmt: skip
        told = self._done("--literal-pathspecs", *words, "--", *paths)
        found = {os.fsdecode(row[3:]) for row in told.split(b"\0") if row}
        return [path for path in paths if path in found]

    def fits(self, patch: bytes, *, reverse: bool = False) -> bool:
        """Whether it can be put in as a whole; `reverse`: taken out, so that it is in already."""
        words = ("--check", "--reverse") if reverse else ("--check",)
        return self.git(*_APPLY, *words, "-", stdin=patch).returncode == 0

    def misfits(
        self, patch: bytes, groups: Sequence[tuple[str, ...]]
    ) -> list[tuple[str, ...]]:
        """Those of the files, each with the name it had, whose part does not fit."""
        return [
            names for names in groups
            if self.git(*_APPLY, "--check", *_only(names), "-", stdin=patch).returncode != 0
        ]  # fmt: skip

    def put_in(self, patch: bytes, without: Sequence[tuple[str, ...]] = ()) -> None:
        """Put it in, but for these files: all of it or nothing. PenstockError says what git says."""
        left_out = [
            f"--exclude={_pattern(name)}" for names in without for name in names
        ]
        self._done(*_APPLY, *left_out, "-", stdin=patch)

    def keep(self, path: str) -> Path | None:
        """A copy of a file beside it, as it is now; None if there is none. Refused if it lies elsewhere."""
        file = self._within(path)
        if not os.path.lexists(file):
            return None
        if file.is_dir() and not file.is_symlink():
            raise Refused(path, "is a folder here")
        copy = next(c for c in _names_beside(file) if not os.path.lexists(c))
        shutil.copy2(file, copy, follow_symlinks=False)
        return copy

    def take(self, head: str, path: str) -> None:
        """Have the file as it is in this commit, or gone if it has none of that name."""
        file = self._within(path)
        there = self._done("--literal-pathspecs", "ls-tree", "-z", "--name-only", head, "--", path)  # fmt: skip
        if there:
            self._done("--literal-pathspecs", "restore", f"--source={head}", "--worktree", "--", path)  # fmt: skip
        elif os.path.lexists(file):
            file.unlink()

    def _within(self, path: str) -> Path:
        """Where it lies. Refused if a link leads out of the tree, or it lies within git's own folder."""
        file = self.root / path
        parent = Path(os.path.realpath(file.parent))
        inside = parent.is_relative_to(os.path.realpath(self.root))
        if (
            not inside
            or ".." in file.parts
            or ".git" in map(str.lower, Path(path).parts)
        ):
            raise Refused(path, "lies outside of the tree")
        return file

    def _done(self, *words: str, stdin: bytes | None = None) -> bytes:
        done = self.git(*words, stdin=stdin)
        if done.returncode != 0:
            why = done.stderr.decode(errors="replace").strip()
            raise PenstockError(f"git says: {why or f'exit {done.returncode}'}")
        return done.stdout


def find_tree(folder: str, environ: Mapping[str, str]) -> UsersTree | None:
    """The work tree that this folder lies in; None if it lies in none."""
    if not os.path.isdir(folder):
        return None
    done = _git(Path(folder), environ, "rev-parse", "--show-toplevel")
    if done.returncode != 0:
        return None
    return UsersTree(Path(os.fsdecode(done.stdout.removesuffix(b"\n"))), environ)


def same_repository(one: UsersTree, other: UsersTree) -> bool:
    """Whether both are work trees of one repository."""
    words = ("rev-parse", "--path-format=absolute", "--git-common-dir")
    told = [tree.git(*words).stdout for tree in (one, other)]
    return bool(told[0]) and told[0] == told[1]


def _git(
    folder: Path, environ: Mapping[str, str], *words: str, stdin: bytes | None = None
) -> subprocess.CompletedProcess[bytes]:
    known = {name: value for name, value in environ.items() if name not in _ELSEWHERE}
    try:
        return subprocess.run(
            ["git", *words],
            cwd=folder,
            env={**known, "LC_ALL": "C", "GIT_OPTIONAL_LOCKS": "0", "GIT_TERMINAL_PROMPT": "0"},
            input=b"" if stdin is None else stdin,
            capture_output=True,
            check=False,
        )  # fmt: skip
    except FileNotFoundError:
        raise NotAvailable("git is not installed, and a patch needs it") from None


def _only(names: Sequence[str]) -> list[str]:
    return [f"--include={_pattern(name)}" for name in names]


def _pattern(path: str) -> str:
    """A pattern that means this path and no other."""
    return "".join(f"\\{c}" if c in "*?[\\" else c for c in path)


def _names_beside(file: Path) -> Iterator[Path]:
    yield file.with_name(file.name + BEFORE)
    number = 2
    while True:
        yield file.with_name(f"{file.name}{BEFORE}-{number}")
        number += 1
