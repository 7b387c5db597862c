"""Better words for an outline, by a model: purpose, key concepts, a line for each file.

The model fills fields; which files are listed, and where they lie, stays as the tree has it, so no
link can be invented. Without a usable answer the static words stay.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from penstock.kinds.llms_txt.classify import find_readme
from penstock.kinds.llms_txt.describe import DEFINES
from penstock.kinds.llms_txt.grounded import LOOKED_THROUGH, is_grounded
from penstock.kinds.llms_txt.markup import first_sentence
from penstock.kinds.llms_txt.outline import Link, Outline
from penstock.kinds.llms_txt.source_tree import SourceTree, read_text
from penstock.pipeline import (
    BudgetSpent,
    Check,
    ContextTooLarge,
    MalformedAnswer,
    ModelFailed,
    ModelTruncated,
    Refused,
    Run,
    import_late,
    load_programs,
    read_layers,
    run_in_thread,
)

_SIGNATURES = "penstock.kinds.llms_txt.signatures"

#: Characters of one file's beginning that the model reads: what it is for stands there, and a small window
#: has room.
FILE_CHARACTERS = 2400
#: Words of a line: one that is longer describes nothing.
MOST_WORDS = 40
#: Bytes of the README's beginning.
README_BYTES = 4000
#: Paths that stand for the tree.
PATHS_TOLD = 40
#: Key concepts that are told.
CONCEPTS = 6


async def word_outline(
    run: Run, outline: Outline, tree: SourceTree, files: int
) -> Outline:
    """The outline in the model's words; at most so many files are described, those that say nothing.

    A bad answer spoils only what it was to say. Where no model is configured, or its server fails, the rest
    of the outline stays as it is, with a fact that says so.
    """
    if not run.has_models:
        await run.log("no model is configured: the descriptions are static\n")
        return outline
    await load_programs()
    signatures = await import_late(_SIGNATURES)
    worded, notes = outline, dict[str, str]()
    try:
        worded = await _word_head(run, signatures, outline, tree)
        links = _to_describe(outline)[:files]
        for number, link in enumerate(links):
            await run.progress("describe", number / len(links))
            if line := await _describe(run, signatures, worded, tree, link):
                notes[link.path] = line
    except (ModelFailed, BudgetSpent) as error:
        await run.milestone("model_failed", why=str(error))
    else:
        await run.milestone("model_described", files=len(notes))
    return _with_notes(worded, notes)


async def _ask(
    run: Run, name: str, signature: Any, inputs: Mapping[str, Any], check: Check
) -> dict[str, Any] | None:
    """The fields of an answer, once for all executions; None for one that never could be used."""

    async def ask() -> dict[str, Any] | None:
        try:
            answer = await run.lm.ask(
                signature,
                inputs=inputs,
                layers=await read_layers(run),
                check=check,
                name=f"llms-txt.{signature.__name__}",
                role="describe",
                form="json",
            )
        except (MalformedAnswer, ModelTruncated, ContextTooLarge) as error:
            await run.log(f"{name} stays as it is: {error}\n")
            return None
        return dict(answer.fields)

    found: dict[str, Any] | None = await run.step(name, ask)
    return found


async def _word_head(
    run: Run, signatures: Any, outline: Outline, tree: SourceTree
) -> Outline:
    paths = [file.path for file in tree.files]
    readme = find_readme(paths)
    text = await _beginning(tree, readme, README_BYTES) if readme else ""
    told = [link.path for links in outline.sections.values() for link in links]
    words = [text, outline.title, outline.summary, *outline.info, *told]

    def check(fields: Mapping[str, Any]) -> None:
        if not fields["purpose"].strip():
            raise Refused("purpose", "is empty")
        if not is_grounded(fields["purpose"], words):
            raise Refused("purpose", "is not in the words of the README and the files")

    inputs = {
        "title": outline.title,
        "readme": text or "(there is none)",
        "files": "\n".join(told[:PATHS_TOLD]),
    }
    said = await _ask(run, "model: purpose", signatures.DescribeProject, inputs, check)
    if said is None:
        return outline
    grounded = [one for one in said["concepts"] if is_grounded(one, words)]
    concepts = "; ".join(one.strip(" .;") for one in grounded[:CONCEPTS])
    info = (f"Key concepts: {concepts}.", *outline.info) if concepts else outline.info
    return replace(outline, summary=said["purpose"], info=info)


async def _describe(
    run: Run, signatures: Any, outline: Outline, tree: SourceTree, link: Link
) -> str:
    """What the model says a file is for, in one line of the file's own words; "" for nothing of use."""
    text = await _beginning(tree, link.path, LOOKED_THROUGH)
    if not text.strip():
        return ""
    words = (link.path, text, outline.title, outline.summary)

    def check(fields: Mapping[str, Any]) -> None:
        count = len(fields["description"].split())
        if not 2 <= count <= MOST_WORDS:
            raise Refused("description", f"has {count} words, not 2 to {MOST_WORDS}")
        if not is_grounded(first_sentence(fields["description"]), words):
            raise Refused("description", "is not in the words of the file")

    inputs = {
        "project": f"{outline.title}: {outline.summary}",
        "file": f"{link.path}\n{text[:FILE_CHARACTERS]}",
    }
    name = f"model: {link.path}"
    said = await _ask(run, name, signatures.DescribeFile, inputs, check)
    return "" if said is None else first_sentence(said["description"])


async def _beginning(tree: SourceTree, path: str, limit: int) -> str:
    return await run_in_thread(read_text, tree.root, path, limit) or ""


def _to_describe(outline: Outline) -> list[Link]:
    """The links that say nothing of themselves, or name only what they define."""
    links = [link for links in outline.sections.values() for link in links]
    return [link for link in links if not link.note or link.note.startswith(DEFINES)]


def _with_notes(outline: Outline, notes: Mapping[str, str]) -> Outline:
    sections = {
        section: tuple(
            replace(link, note=notes.get(link.path, link.note)) for link in links
        )
        for section, links in outline.sections.items()
    }
    return replace(outline, sections=sections)
