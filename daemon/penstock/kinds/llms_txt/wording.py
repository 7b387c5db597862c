"""Better words for an outline, by a model: purpose, key concepts, a line for each file.

The model fills fields; which files are listed, and where they lie, stays as the tree has it, so no
link can be invented. Without a usable answer the static words stay.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from penstock.kinds.llms_txt.classify import find_readme
from penstock.kinds.llms_txt.outline import Link, Outline
from penstock.kinds.llms_txt.source_tree import SourceTree, read_text
from penstock.pipeline import (
    BudgetSpent,
    ContextTooLarge,
    ModelFailed,
    Refused,
    Run,
    import_late,
    load_programs,
    read_layers,
    run_in_thread,
)

_SIGNATURES = "penstock.kinds.llms_txt.signatures"

#: Files described by one answer: small models forget the first ones of a longer list.
FILES_AT_ONCE = 8
#: Bytes of one file's beginning that the model reads: eight of them fit a small window.
FILE_BYTES = 1200
#: Bytes of the README's beginning.
README_BYTES = 4000
#: Paths that stand for the tree.
PATHS_TOLD = 40
#: Key concepts that are told.
CONCEPTS = 6


async def word_outline(
    run: Run, outline: Outline, tree: SourceTree, files: int
) -> Outline:
    """The outline in the model's words; at most so many files are described.

    The outline as it is, with a fact that says so, if no model is configured or it fails.
    """
    if not run.has_models:
        await run.log("no model is configured: the descriptions are static\n")
        return outline
    await load_programs()
    signatures = await import_late(_SIGNATURES)
    try:
        worded = await _word_head(run, signatures, outline, tree)
        notes: dict[str, str] = {}
        links = _to_describe(outline)[:files]
        for start in range(0, len(links), FILES_AT_ONCE):
            await run.progress("describe", start / len(links))
            batch = links[start : start + FILES_AT_ONCE]
            notes |= await _describe(run, signatures, worded, tree, batch)
    except (ModelFailed, ContextTooLarge, BudgetSpent) as error:
        why = str(error)
    else:
        await run.milestone("model_described", files=len(notes))
        return _with_notes(worded, notes)
    await run.milestone("model_failed", why=why)
    return outline


async def _word_head(
    run: Run, signatures: Any, outline: Outline, tree: SourceTree
) -> Outline:
    paths = [file.path for file in tree.files]
    readme = find_readme(paths)
    text = await _beginning(tree, readme, README_BYTES) if readme else ""
    told = [link.path for links in outline.sections.values() for link in links]

    async def ask() -> dict[str, Any]:
        answer = await run.lm.ask(
            signatures.DescribeProject,
            inputs={
                "title": outline.title,
                "readme": text or "(there is none)",
                "files": "\n".join(told[:PATHS_TOLD]),
            },
            layers=await read_layers(run),
            check=_check_head,
            name="llms-txt.project",
            role="describe",
        )
        return dict(answer.fields)

    said = await run.step("model: purpose", ask)
    concepts = "; ".join(one.strip(" .;") for one in said["concepts"][:CONCEPTS])
    info = (f"Key concepts: {concepts}.", *outline.info) if concepts else outline.info
    return replace(outline, summary=said["purpose"], info=info)


def _check_head(fields: Mapping[str, Any]) -> None:
    if not fields["purpose"].strip():
        raise Refused("purpose", "is empty")


async def _describe(
    run: Run, signatures: Any, outline: Outline, tree: SourceTree, batch: Sequence[Link]
) -> dict[str, str]:
    """Path to line, of those files the model knew something about."""

    async def ask() -> dict[str, str]:
        texts = [
            f"== {link.path}\n{await _beginning(tree, link.path, FILE_BYTES)}"
            for link in batch
        ]
        answer = await run.lm.ask(
            signatures.DescribeFiles,
            inputs={
                "project": f"{outline.title}: {outline.summary}",
                "files": "\n\n".join(texts),
            },
            layers=await read_layers(run),
            name="llms-txt.files",
            role="describe",
        )
        ours = {link.path for link in batch}
        return {k: v for k, v in answer["descriptions"].items() if k in ours and v}

    found: dict[str, str] = await run.step(f"model: {batch[0].path}", ask)
    return found


async def _beginning(tree: SourceTree, path: str, limit: int) -> str:
    return await run_in_thread(read_text, tree.root, path, limit) or ""


def _to_describe(outline: Outline) -> list[Link]:
    """All links, those that say nothing of themselves first."""
    links = [link for links in outline.sections.values() for link in links]
    return sorted(links, key=lambda link: bool(link.note))


def _with_notes(outline: Outline, notes: Mapping[str, str]) -> Outline:
    sections = {
        section: tuple(
            replace(link, note=notes.get(link.path, link.note)) for link in links
        )
        for section, links in outline.sections.items()
    }
    return replace(outline, sections=sections)
