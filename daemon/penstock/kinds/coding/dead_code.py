"""Code that nothing uses: the kind `dead-code`, a child of its own so that it runs at LOW.

A coding run that is done waits for it without a slot, so more important runs go first.
"""

from __future__ import annotations

import ast
import itertools
from collections.abc import Collection, Iterator, Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import AfterValidator, Field

from penstock.kinds.coding.inputs import AbsolutePath
from penstock.kinds.coding.plan import check_path
from penstock.kinds.coding.tree import WorkTree, list_files
from penstock.runs.run import Inputs, Kind, Output
from penstock.threads import run_in_thread
from penstock.words.errors import SourceUnusable

if TYPE_CHECKING:
    from penstock.runs.run import Run

#: Files of the folder that are searched for uses.
MOST_FILES = 2000
#: Findings of one run: more say no more.
MOST_FINDINGS = 100


class DeadCodeInputs(Inputs):
    """Python files, and the folder in which they may be used."""

    folder: AbsolutePath = Field(
        description="Absolute path of the folder the files are in"
    )
    files: list[Annotated[str, AfterValidator(check_path)]] = Field(
        description="Relative paths of the files that are looked at"
    )


class DeadCodeOutput(Output):
    """Each finding names path, line, name and what is wrong."""

    findings: list[dict[str, Any]]


async def analyse(run: Run, inputs: DeadCodeInputs) -> DeadCodeOutput:
    """Look at the files, and for uses at all others of the folder; what is no text is left out."""
    tree = WorkTree(Path(inputs.folder), run.run_id)
    there = await run_in_thread(list_files, tree.root, MOST_FILES)
    texts: dict[str, str] = {}
    for path in dict.fromkeys([*inputs.files, *there]):
        # Names with blanks or links in them are nobody's modules.
        with suppress(SourceUnusable):
            text = await tree.read(path) if path.endswith(".py") else None
            texts |= {} if text is None else {path: text}
    find = partial(find_dead_code, texts, frozenset(inputs.files))
    findings = await run_in_thread(find)
    return DeadCodeOutput(findings=findings[:MOST_FINDINGS])


def find_dead_code(
    texts: Mapping[str, str], about: Collection[str]
) -> list[dict[str, Any]]:
    """Names in some of the files that none mentions again, and statements that are never reached."""
    parsed = {path: tree for path, text in texts.items() if (tree := _parse(text))}
    used = {
        name
        for tree in parsed.values()
        for name in (*_names_used(tree), *_names_imported(tree))
    }
    found: list[dict[str, Any]] = []
    for path, tree in sorted((p, t) for p, t in parsed.items() if p in about):
        own = set(_names_used(tree))
        for name, line, what in _names_made(tree):
            # What a file imports only itself can use; what it defines, any may.
            if name not in (own if what == "import" else used):
                found.append(_finding(path, line, name, f"unused {what}"))
        found += [_finding(path, line, "", "never reached") for line in _cut_off(tree)]
    return found


def _finding(path: str, line: int, name: str, problem: str) -> dict[str, Any]:
    return {"path": path, "line": line, "name": name, "problem": problem}


def _parse(text: str) -> ast.Module | None:
    try:
        return ast.parse(text)
    except (SyntaxError, ValueError, RecursionError):
        return None


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
            case ast.Constant(value=str(name)):
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


KIND = Kind(
    name="dead-code",
    summary="Find code in Python files that nothing uses",
    inputs=DeadCodeInputs,
    output=DeadCodeOutput,
    pipeline=analyse,
    preemptible=True,
)
