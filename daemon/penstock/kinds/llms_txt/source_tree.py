"""A source tree on disk: which files it has, and bounded reading of them. Everything here blocks.

Nothing outside the tree is ever opened: a path that leads out, by `..` or by a symbolic link, is
left out of the list and refused when it is read.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from penstock.kinds.unfinished import is_hidden_name

#: Folders that hold copies and caches and never what a person wrote.
SKIPPED_FOLDERS = frozenset(
    {
        ".git", ".hg", ".svn", ".venv", "venv", ".tox", ".nox", "node_modules", "__pycache__", ".eggs",
        ".mypy_cache", ".pytest_cache", ".ruff_cache", ".hypothesis", ".cache", ".idea", ".vscode",
        "htmlcov",
    }
)  # fmt: skip

#: Folders that hold products, unless they are Python packages of that name.
PRODUCT_FOLDERS = frozenset({"dist", "build", "target"})

#: What this pipeline makes is not part of what it describes; so a second run gives the same bytes.
OWN_FILES = frozenset({"llms.txt", "llms-full.txt", "llms-ctx.txt"})

# What stands in a file's place where its content was not fetched.
_LFS_POINTER = b"version https://git-lfs.github.com/spec/"

_READ_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


@dataclass(frozen=True, slots=True)
class File:
    """A regular file: its path below the root, with `/`, and its size in bytes."""

    path: str
    size: int


@dataclass(frozen=True, slots=True)
class SourceTree:
    """The files of a tree, in the order of their paths; `cut` when there are more than were taken."""

    root: str
    files: tuple[File, ...]
    cut: bool = False


def list_tree(
    root: str, names: Iterable[str] | None, limit: int, check: Callable[[], None]
) -> SourceTree:
    """The files among `names`, or all that a walk finds when it is None; at most `limit`.

    `check` is called for every file and may raise: so a caller can stop a long listing.
    """
    real_root = os.path.realpath(root)
    candidates = sorted(set(names)) if names is not None else walk(real_root)
    files: list[File] = []
    sizes = _Sizes(real_root)
    for path in candidates:
        check()
        if _is_product(path) or (size := sizes.of(path)) is None:
            continue
        if len(files) == limit:
            return SourceTree(real_root, tuple(files), cut=True)
        files.append(File(path, size))
    return SourceTree(real_root, tuple(sorted(files, key=lambda file: file.path)))


def walk(root: str) -> Iterator[str]:
    """Every path below `root`, folder by folder in order; links to folders are not entered."""
    for folder, folders, names in os.walk(root):
        folders[:] = sorted(name for name in folders if not _is_skipped(folder, name))
        for name in sorted(names):
            yield os.path.relpath(os.path.join(folder, name), root)


def _is_skipped(folder: str, name: str) -> bool:
    if name in PRODUCT_FOLDERS:
        return not os.path.exists(os.path.join(folder, name, "__init__.py"))
    return name in SKIPPED_FOLDERS


def read_bytes(root: str, path: str, limit: int) -> bytes:
    """At most `limit` bytes of a file's beginning; OSError when it is gone, special or outside."""
    real = _inside(root, path)
    if real is None:
        raise PermissionError("leads out of the tree")
    descriptor = os.open(real, _READ_FLAGS)
    with open(descriptor, "rb") as file:
        # Only what is open is certain: the name may have become a pipe or a device meanwhile.
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise PermissionError("is not a regular file")
        return file.read(limit)


def read_text(root: str, path: str, limit: int) -> str | None:
    """The beginning of a file as text, cut between characters; None if it is binary or unreadable."""
    try:
        data = read_bytes(root, path, limit)
    except OSError:
        return None
    return decode(data)


def decode(data: bytes) -> str | None:
    """UTF-8 text with plain newlines, bytes that are no UTF-8 replaced; None if it is binary or elsewhere."""
    if b"\0" in data or data.startswith(_LFS_POINTER):
        return None
    whole = data[: len(data) - _unfinished(data)]
    text = whole.decode("utf-8-sig", errors="replace")
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _unfinished(data: bytes) -> int:
    """How many bytes at the end begin a character that is not there whole."""
    for back in range(1, min(4, len(data) + 1)):
        byte = data[-back]
        if byte >= 0xC0:
            wanted = 2 if byte < 0xE0 else 3 if byte < 0xF0 else 4
            return back if back < wanted else 0
        if byte < 0x80:
            return 0
    return 0


def _is_product(path: str) -> bool:
    *folders, name = path.split("/")
    if name in OWN_FILES or is_hidden_name(name):
        return True
    return any(part.endswith((".egg-info", ".dist-info")) for part in folders)


def _inside(root: str, path: str) -> str | None:
    real = os.path.realpath(os.path.join(root, path))
    return real if real.startswith(root.rstrip("/") + "/") else None


class _Sizes:
    """The sizes of the regular files inside a tree.

    Where a folder really is is found out once, and not again for each of its files.
    """

    def __init__(self, root: str) -> None:
        self._root = root
        self._folders: dict[str, str | None] = {"": root}

    def of(self, path: str) -> int | None:
        """The size in bytes; None for what is no regular file, or outside."""
        folder, _, name = path.rpartition("/")
        try:
            if folder not in self._folders:
                self._folders[folder] = _inside(self._root, folder)
            real = self._folders[folder]
            if real is None:
                return None
            found = os.lstat(f"{real}/{name}")
            if stat.S_ISLNK(found.st_mode):
                target = _inside(self._root, path)
                if target is None:
                    return None
                found = os.lstat(target)
        except (OSError, ValueError):
            return None
        return found.st_size if stat.S_ISREG(found.st_mode) else None
