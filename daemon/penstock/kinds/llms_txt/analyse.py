"""Read the tree, a few files at a time in a worker thread, so that a cancel works in between."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import trio

from penstock.kinds.llms_txt.classify import Placed, find_readme, place
from penstock.kinds.llms_txt.describe import Described, describe
from penstock.kinds.llms_txt.metadata import PARSERS, Metadata, read_metadata
from penstock.kinds.llms_txt.outline import (
    Outline,
    ProjectFacts,
    candidates,
    draw_outline,
)
from penstock.kinds.llms_txt.python import LONGEST_PARSED
from penstock.kinds.llms_txt.tree import SourceTree, read_text

if TYPE_CHECKING:
    from penstock.runs.run import Run

# Files read between two chances to cancel and two reports of progress.
_CHUNK = 8

# Bytes of a document's beginning that hold its heading and first paragraph.
_HEAD_BYTES = 64 * 1024


async def analyse_tree(
    run: Run, tree: SourceTree, *, name: str, named: bool, links_per_section: int
) -> tuple[Outline, Sequence[Placed]]:
    """The outline of the tree, and all files that may be quoted, most important first.

    `name` is the tree's name when it does not say so itself, or in any case if `named`.
    """
    facts = await trio.to_thread.run_sync(_read_facts, tree, name, named)
    placed = await trio.to_thread.run_sync(place, tree.files)
    chosen = candidates(placed, links_per_section)
    described: dict[str, Described] = {}
    for start in range(0, len(chosen), _CHUNK):
        await run.progress("analyse", start / len(chosen))
        chunk = chosen[start : start + _CHUNK]
        described.update(
            await trio.to_thread.run_sync(_describe_chunk, tree.root, chunk)
        )
    await run.progress("analyse", 1.0)
    return draw_outline(facts, placed, described, links_per_section), placed


def _read_facts(tree: SourceTree, name: str, named: bool) -> ProjectFacts:
    paths = [file.path for file in tree.files]
    texts = {
        path: text
        for path in set(PARSERS).intersection(paths)
        if (text := read_text(tree.root, path, _HEAD_BYTES)) is not None
    }
    readme = find_readme(paths)
    return ProjectFacts(
        name=name,
        files=len(paths),
        cut=tree.cut,
        metadata=(Metadata(name) if named else Metadata()).filled_from(
            read_metadata(texts)
        ),
        readme=(read_text(tree.root, readme, _HEAD_BYTES) if readme else None) or "",
    )


def _describe_chunk(root: str, chunk: Sequence[Placed]) -> dict[str, Described]:
    found: dict[str, Described] = {}
    for one in chunk:
        # One more than is parsed, so that a longer module is known to be longer.
        limit = LONGEST_PARSED + 1 if one.language == "python" else _HEAD_BYTES
        found[one.path] = describe(one, read_text(root, one.path, limit))
    return found
