"""What a Python file makes, uses and never reaches, by its syntax tree.

It is asked of strangers' files, and answered where they can break nothing: see
`penstock.kinds.confined`. So this imports nothing that takes long.
"""

from __future__ import annotations

import ast
import itertools
import os
import warnings
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from penstock.kinds.llms_txt.source_tree import read_bytes

#: Bytes of a file of which anything is said: a larger one is data.
LARGEST_FILE = 512 * 1024


@dataclass(frozen=True, slots=True)
class Names:
    """What one file tells. Names are unique, and those made come with line and kind."""

    made: tuple[tuple[str, int, str], ...]
    used: frozenset[str]
    imported: frozenset[str]
    #: Lines of statements that are never reached.
    cut_off: tuple[int, ...]

    def to_json(self) -> list[Any]:
        """The answer of the process that read the file."""
        return [self.made, sorted(self.used), sorted(self.imported), self.cut_off]

    @classmethod
    def from_json(cls, data: list[Any]) -> Names:
        """What it answered."""
        made, used, imported, cut_off = data
        found = tuple((name, line, what) for name, line, what in made)
        return cls(found, frozenset(used), frozenset(imported), tuple(cut_off))


def make_answer(common: Mapping[str, Any]) -> Callable[[Mapping[str, Any]], Any]:
    """Answers requests for the names of files below `root`; "" for what is no Python file."""

    def answer(request: Mapping[str, Any]) -> Any:
        names = _names_of_file(common["root"], request["path"])
        return "" if names is None else names.to_json()

    return answer


def names_of(text: str) -> Names | None:
    """The names in a file's text; None if it is not Python."""
    try:
        with warnings.catch_warnings():
            # Odd escapes in a stranger's strings are no concern of anybody's log.
            warnings.simplefilter("ignore")
            tree = ast.parse(text)
        return Names(
            made=tuple(_names_made(tree)),
            used=frozenset(_names_used(tree)),
            imported=frozenset(_names_imported(tree)),
            cut_off=tuple(_cut_off(tree)),
        )
    except (SyntaxError, ValueError, RecursionError):
        return None


def find_dead_code(
    files: Mapping[str, Names], about: Collection[str]
) -> list[dict[str, Any]]:
    """Names in some of the files that none mentions again, and statements that are never reached."""
    used = {name for file in files.values() for name in (*file.used, *file.imported)}
    found: list[dict[str, Any]] = []
    for path, file in sorted((p, f) for p, f in files.items() if p in about):
        for name, line, what in file.made:
            # What a file imports only itself can use; what it defines, any may.
            if name not in (file.used if what == "import" else used):
                found.append(_finding(path, line, name, f"unused {what}"))
        found += [_finding(path, line, "", "never reached") for line in file.cut_off]
    return found


def _names_of_file(root: str, path: str) -> Names | None:
    try:
        # Links in a repository are not followed.
        data = (
            b""
            if os.path.islink(os.path.join(root, path))
            else read_bytes(root, path, LARGEST_FILE + 1)
        )
        return None if len(data) > LARGEST_FILE else names_of(data.decode())
    except (OSError, ValueError):
        return None


def _finding(path: str, line: int, name: str, problem: str) -> dict[str, Any]:
    return {"path": path, "line": line, "name": name, "problem": problem}


def _names_made(tree: ast.Module) -> Iterator[tuple[str, int, str]]:
    for node in tree.body:
        match node:
            case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
                # A test runner finds tests by their names, and a decorator may register anything.
                if not node.decorator_list and not node.name.lower().startswith("test"):
                    yield node.name, node.lineno, "definition"
            case ast.Import() | ast.ImportFrom():
                if getattr(node, "module", None) != "__future__":
                    for alias in node.names:
                        name = (alias.asname or alias.name).split(".")[0]
                        yield name, node.lineno, "import"


def _names_used(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        match node:
            case ast.Name(id=name, ctx=ast.Load()):
                yield name
            case ast.Attribute(attr=name):
                yield name
            case ast.Constant(value=str(name)) if name.isidentifier():
                # `__all__`, and whoever looks a name up by its text.
                yield name


def _names_imported(tree: ast.Module) -> Iterator[str]:
    """What a file takes from others, by its name there."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            yield from (alias.name for alias in node.names)


def _cut_off(tree: ast.Module) -> Iterator[int]:
    """Lines of statements behind one that always leaves."""
    leaving = (ast.Return, ast.Raise, ast.Continue, ast.Break)
    for node in ast.walk(tree):
        for body in (getattr(node, "body", None), getattr(node, "orelse", None)):
            if isinstance(body, list):
                for first, second in itertools.pairwise(body):
                    if isinstance(first, leaving):
                        yield second.lineno
