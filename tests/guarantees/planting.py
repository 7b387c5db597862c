"""Planting a bug: a copy of the package, made of links, with one function that says something else."""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from textwrap import dedent

import penstock

PACKAGE = Path(penstock.__file__).parent


def plant(where: str, old: str, new: str, folder: Path) -> None:
    """The package in `folder`, in whose function `where` the statements `old` are `new`.

    AssertionError unless that function is there once and says `old` once.
    """
    path, tree = planted(where, old, new)
    _copy(path, ast.unparse(ast.fix_missing_locations(tree)), folder)


def planted(where: str, old: str, new: str) -> tuple[Path, ast.Module]:
    """The file in which the bug is planted, and the file with the bug; errors as of `plant`."""
    room, _, name = where.rpartition(":")
    places = [place for place in _places()[name] if room in ("", place[0])]
    assert len(places) == 1, f"{where} stands {len(places)} times: plant the bug anew"
    path = places[0][1]
    tree = ast.parse(path.read_text())
    [function] = _functions(tree, name)
    found = _replaced(function, _statements(old), _statements(new))
    assert found == 1, f"{where} says this {found} times: plant the bug anew"
    return path, tree


@cache
def _places() -> Mapping[str, list[tuple[str, Path]]]:
    """Where each qualified name is defined: the room and file, and the path."""
    places: defaultdict[str, list[tuple[str, Path]]] = defaultdict(list)
    for path in sorted(PACKAGE.rglob("*.py")):
        room = path.relative_to(PACKAGE).with_suffix("").as_posix()
        for name in _names(ast.parse(path.read_text()), ""):
            places[name].append((room, path))
    return places


def _names(tree: ast.AST, outer: str) -> Iterator[str]:
    for node in getattr(tree, "body", ()):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            yield f"{outer}{node.name}"
            yield from _names(node, f"{outer}{node.name}.")


def _functions(tree: ast.AST, name: str) -> Iterator[ast.AST]:
    """The definitions of this qualified name."""
    first, _, rest = name.partition(".")
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
    for node in getattr(tree, "body", ()):
        if isinstance(node, kinds) and node.name == first:
            if rest:
                yield from _functions(node, rest)
            else:
                yield node


def _statements(text: str) -> list[ast.stmt]:
    """Statements as they stand in a function, where `return` and `await` are at home."""
    lines = dedent(text).strip() or "pass"
    body = "\n".join(f"    {line}" for line in lines.split("\n"))
    [function] = ast.parse(f"async def _():\n{body}").body
    assert isinstance(function, ast.AsyncFunctionDef)
    return function.body


def _replaced(function: ast.AST, old: list[ast.stmt], new: list[ast.stmt]) -> int:
    """Put `new` wherever a body of the function says `old`; how often it did."""
    wanted = [ast.dump(node) for node in old]
    count = 0
    for node in list(ast.walk(function)):
        for _, body in ast.iter_fields(node):
            if not (isinstance(body, list) and body and isinstance(body[0], ast.stmt)):
                continue
            for at in range(len(body) - len(old), -1, -1):
                if [ast.dump(n) for n in body[at : at + len(old)]] == wanted:
                    body[at : at + len(old)] = new
                    count += 1
    return count


def _copy(changed: Path, source: str, folder: Path) -> None:
    """Links to everything, but for the changed file and the folders that lead to it."""
    place, there = folder / "penstock", PACKAGE
    for part in changed.relative_to(PACKAGE).parts:
        place.mkdir()
        for other in there.iterdir():
            if other.name not in {part, "__pycache__"}:
                (place / other.name).symlink_to(other)
        place, there = place / part, there / part
    place.write_text(source)
