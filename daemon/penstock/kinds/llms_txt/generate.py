"""Describe a source tree in llms.txt and llms-full.txt, with a model or without.

A run that is interrupted starts anew: every part gives the same result again, what a model said is
recorded, and the files in place are replaced only by whole ones.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import trio

from penstock.kinds.llms_txt.analyse import ANSWERS, analyse_tree
from penstock.kinds.llms_txt.classify import Placed
from penstock.kinds.llms_txt.confined_reading import (
    Request,
    ask_element,
    ask_quote,
)
from penstock.kinds.llms_txt.formats import (
    context_head,
    head_title,
    render_head,
    render_llms_txt,
)
from penstock.kinds.llms_txt.full_text import FullText
from penstock.kinds.llms_txt.inputs import LlmsTxtInputs, LlmsTxtOutput
from penstock.kinds.llms_txt.outline import Outline
from penstock.kinds.llms_txt.publishing import PublishedText, open_published
from penstock.kinds.llms_txt.source import Source, fetch_tree, parse_source
from penstock.kinds.llms_txt.source_tree import SourceTree
from penstock.kinds.llms_txt.standing import (
    Difference,
    ask_standing,
    read_difference,
)
from penstock.kinds.llms_txt.wording import word_outline
from penstock.kinds.strangers import Reading, open_reading
from penstock.pipeline import Run, SourceUnusable, estimate_tokens, run_in_thread

#: Files asked for at once: when a text is full, no more than these were read in vain.
QUOTED_AT_ONCE = 40

# Characters whose tokens are counted where they are; those of a longer text in a thread.
_COUNTED_AT_ONCE = 16 * 1024


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
    writing = _Writing(run, reading, inputs, tree, _folder(inputs, source, standing))
    output = await writing.write(outline, placed, standing)
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
        llms_txt_tokens=await _tokens(standing.text),
        links=standing.links,
        files=len(tree.files),
    )


class _Writing:
    """The texts of one tree, one after the other."""

    def __init__(
        self,
        run: Run,
        reading: Reading,
        inputs: LlmsTxtInputs,
        tree: SourceTree,
        folder: Path | None,
    ) -> None:
        self._run = run
        self._reading = reading
        self._inputs = inputs
        self._tree = tree
        self._folder = folder

    async def write(
        self,
        outline: Outline,
        placed: Sequence[Placed],
        standing: Difference | None,
    ) -> LlmsTxtOutput:
        """Write llms.txt, llms-full.txt, and llms-ctx.txt if it is wanted."""
        text = "".join(render_llms_txt(outline, self._inputs.base_url or ""))
        difference = standing or Difference(text, outline.links)
        async with open_published(self._run, self._folder, "llms.txt") as short:
            await short.write(difference.text)
        told = LlmsTxtOutput(
            title=head_title(outline),
            llms_txt=short.where,
            llms_txt_bytes=short.size,
            llms_txt_tokens=await _tokens(difference.text),
            links=difference.links,
            files=len(self._tree.files),
            added=sum(map(len, difference.new.values())),
            removed=len(difference.gone),
        )
        told = told.model_copy(update=await self._write_full(outline, placed))
        if self._inputs.ctx:
            told = told.model_copy(update=await self._write_context(outline, placed))
        return told

    async def _write_full(
        self, outline: Outline, placed: Sequence[Placed]
    ) -> dict[str, Any]:
        """Quote everything but what is optional, in the order of llms.txt."""
        full = self._account(render_head(outline), names_rest=True)
        quotable = [one for one in placed if one.section != "Optional"]
        async with open_published(self._run, self._folder, "llms-full.txt") as text:
            await text.write(full.head)
            await self._quote(quotable, self._ask_quote, full, text)
            await text.write(full.end())
        await self._run.progress("render", 1.0)
        return {
            "llms_full": text.where,
            "llms_full_bytes": text.size,
            "llms_full_tokens": full.tokens,
            "quoted": full.quoted,
            "not_quoted": full.not_quoted,
        }

    async def _write_context(
        self, outline: Outline, placed: Sequence[Placed]
    ) -> dict[str, Any]:
        """The files that llms.txt lists, but for the optional ones, whole."""
        full = self._account(context_head(outline), names_rest=False)
        known = {one.path: one for one in placed}
        async with open_published(self._run, self._folder, "llms-ctx.txt") as text:
            await text.write(full.head)
            for section, links in outline.sections.items():
                if section == "Optional":
                    continue
                linked = {link.path: link for link in links}
                await text.write(f"<{section.lower()}>\n")

                def ask(one: Placed) -> Request:
                    limit = self._inputs.max_file_bytes
                    return ask_element(one, linked[one.path], limit)  # noqa: B023

                await self._quote([known[path] for path in linked], ask, full, text)
                await text.write(f"</{section.lower()}>\n")
            await text.write("</project>\n")
        return {
            "llms_ctx": text.where,
            "llms_ctx_bytes": text.size,
            "llms_ctx_tokens": full.tokens,
        }

    def _account(self, head: str, *, names_rest: bool) -> FullText:
        cap = self._run.config.llms_full_bytes
        return FullText(head, cap, self._inputs.max_tokens, names_rest=names_rest)

    def _ask_quote(self, one: Placed) -> Request:
        return ask_quote(one, self._inputs.max_file_bytes)

    async def _quote(
        self,
        quotable: Sequence[Placed],
        ask: Callable[[Placed], Request],
        full: FullText,
        text: PublishedText,
    ) -> None:
        """Quote these files, as far as the text has room; the others are only counted and named."""
        for start in range(0, len(quotable), QUOTED_AT_ONCE):
            part = quotable[start : start + QUOTED_AT_ONCE]
            await self._quote_part(part, ask, full, text)
            await self._run.progress("render", (start + len(part)) / len(quotable))

    async def _quote_part(
        self,
        part: Sequence[Placed],
        ask: Callable[[Placed], Request],
        full: FullText,
        text: PublishedText,
    ) -> None:
        most = self._inputs.max_file_bytes
        # A larger file is only named, and the text is in the order of llms.txt.
        small = [
            one for one in part if one.file.size <= most and full.may_fit(one.file.size)
        ]
        chosen = {one.path for one in small}
        following = iter(part)

        def name_others(ones: Iterable[Placed]) -> None:
            for one in ones:
                if one.path in chosen:
                    break
                full.add(one.path, "", 0)

        async def take(number: int, reply: Any) -> None:
            name_others(following)
            piece = reply or ""
            if piece := full.add(small[number].path, piece, await _tokens(piece)):
                await text.write(piece)

        def common() -> dict[str, Any]:
            room = (full.room.left, full.room.for_names)
            return {"root": self._tree.root, "room": room}

        await self._reading.read([ask(one) for one in small], take, common)
        name_others(following)


async def _tokens(text: str) -> int:
    if len(text) <= _COUNTED_AT_ONCE:
        return estimate_tokens(text)
    return await run_in_thread(estimate_tokens, text)


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
