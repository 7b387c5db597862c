"""Describe a source tree in llms.txt and llms-full.txt, with a model or without.

A run that is interrupted starts anew: every part gives the same result again, what a model said is
recorded, and the files in place are replaced only by whole ones.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import trio

from penstock.kinds.llms_txt.analyse import ANSWERS, analyse_tree
from penstock.kinds.llms_txt.formats import head_title
from penstock.kinds.llms_txt.inputs import LlmsTxtInputs, LlmsTxtOutput
from penstock.kinds.llms_txt.outline import Outline
from penstock.kinds.llms_txt.publishing import TreeTexts, count_tokens
from penstock.kinds.llms_txt.source import Source, fetch_tree, parse_source
from penstock.kinds.llms_txt.source_tree import SourceTree
from penstock.kinds.llms_txt.standing import (
    Difference,
    ask_standing,
    read_difference,
)
from penstock.kinds.llms_txt.wording import word_outline
from penstock.kinds.strangers import Reading, open_reading
from penstock.pipeline import Run, SourceUnusable


async def describe_source(run: Run, inputs: LlmsTxtInputs) -> LlmsTxtOutput:
    """Fetch, analyse, render. Nothing is written but in the output folder and the workspace."""
    source = parse_source(inputs.source)
    tree = await fetch_tree(run, source, inputs.max_files)
    await run.milestone("repo_fetched", files=len(tree.files), cut=tree.cut)
    async with open_reading(run, ANSWERS) as reading:
        return await _describe_tree(run, inputs, source, tree, reading)


async def _describe_tree(
    run: Run, inputs: LlmsTxtInputs, source: Source, tree: SourceTree, reading: Reading
) -> LlmsTxtOutput:
    await run.milestone("analysis_started")
    outline, placed = await analyse_tree(
        run,
        reading,
        tree,
        name=inputs.name or source.name,
        named=inputs.name is not None,
        links_per_section=inputs.section_links,
    )
    sections = {section: len(links) for section, links in outline.sections.items()}
    await run.milestone("analysis_completed", links=outline.links, sections=sections)
    if inputs.model is not False and not inputs.check:
        outline = await word_outline(run, outline, tree, inputs.model_files)
    standing = await _find_standing(reading, inputs, tree, outline)
    if inputs.check:
        return await _check(run, inputs, tree, outline, standing)
    texts = TreeTexts(run, reading, inputs, tree, _folder(inputs, source, standing))
    output = await texts.write(outline, placed, standing)
    await run.milestone("render_completed", **_sizes(output))
    await run.log(_told(output))
    return output


def _folder(
    inputs: LlmsTxtInputs, source: Source, standing: Difference | None
) -> Path | None:
    """Where files are written; None: nowhere. An update of a folder's own llms.txt is written there."""
    if inputs.out is not None:
        return Path(inputs.out)
    in_place = inputs.update and standing is not None and source.transport is None
    return Path(source.where) if in_place else None


async def _find_standing(
    reading: Reading, inputs: LlmsTxtInputs, tree: SourceTree, outline: Outline
) -> Difference | None:
    """What the llms.txt needs that is there already, where it matters; None if there is none.

    SourceUnusable says why one cannot be kept as it is: nothing is written over it.
    """
    if not (inputs.update or inputs.check):
        return None
    found: list[Any] = []

    async def take(_number: int, reply: Any) -> None:
        await trio.lowlevel.checkpoint()
        found.append("the log of the run says why" if reply is None else reply)

    request = ask_standing(outline, tree, inputs.base_url or "")
    for root in filter(None, (inputs.out, tree.root)):
        await reading.read([request], take, lambda: {"root": root})  # noqa: B023
        if isinstance(found[-1], str):
            raise SourceUnusable(f"{root}/llms.txt cannot be read: {found[-1]}")
        if found[-1]:
            return read_difference(root, found[-1])
    return None


async def _check(
    run: Run,
    inputs: LlmsTxtInputs,
    tree: SourceTree,
    outline: Outline,
    standing: Difference | None,
) -> LlmsTxtOutput:
    """What is told of an llms.txt that is up to date. SourceUnusable says what a stale one lacks."""
    if standing is None:
        where = Path(inputs.out or tree.root) / "llms.txt"
        raise SourceUnusable(f"there is no {where} to check")
    if standing.stale:
        raise SourceUnusable(f"llms.txt is stale: {standing}; --update mends it")
    await run.log("llms.txt is up to date\n")
    return LlmsTxtOutput(
        title=head_title(outline),
        llms_txt=standing.where,
        llms_txt_bytes=len(standing.text.encode()),
        llms_txt_tokens=await count_tokens(standing.text),
        links=standing.links,
        files=len(tree.files),
    )


def _sizes(output: LlmsTxtOutput) -> Mapping[str, Any]:
    told = output.model_dump(exclude_defaults=True)
    return {
        name: value
        for name, value in told.items()
        if name.endswith(("_bytes", "_tokens", "quoted"))
        or name in {"added", "removed"}
    }


def _told(output: LlmsTxtOutput) -> str:
    """How large the texts are, and where."""
    lines = [f"llms.txt, about {output.llms_txt_tokens:,} tokens: {output.llms_txt}"]
    if output.added or output.removed:
        lines.append(f"{output.added} links added, {output.removed} removed")
    whole = f"{output.quoted:,} files whole"
    cut = f", {output.not_quoted:,} for which there is no room named at its end"
    lines.append(
        f"llms-full.txt, about {output.llms_full_tokens:,} tokens, {whole}"
        f"{cut if output.not_quoted else ''}: {output.llms_full}"
    )
    if output.llms_ctx is not None:
        lines.append(f"llms-ctx.txt, about {output.llms_ctx_tokens:,} tokens: {output.llms_ctx}")  # fmt: skip
    return "".join(f"{line}\n" for line in lines)
