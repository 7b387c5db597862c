"""Describe a source tree in llms.txt and llms-full.txt, with a model or without.

A run that is interrupted starts anew: every part gives the same result again, what a model said is
recorded, and the files in place are replaced only by whole ones.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Protocol

from penstock.kinds.atomic import AtomicFile, open_atomic
from penstock.kinds.llms_txt.analyse import ANSWERS, analyse_tree
from penstock.kinds.llms_txt.classify import Placed
from penstock.kinds.llms_txt.confined_reading import ask_quote
from penstock.kinds.llms_txt.formats import FullText, render_head, render_llms_txt
from penstock.kinds.llms_txt.inputs import LlmsTxtInputs, LlmsTxtOutput
from penstock.kinds.llms_txt.outline import Outline
from penstock.kinds.llms_txt.source import Source, fetch_tree, parse_source
from penstock.kinds.llms_txt.source_tree import SourceTree
from penstock.kinds.llms_txt.wording import word_outline
from penstock.kinds.strangers import Reading, open_reading
from penstock.pipeline import Run

# Characters handed on at once: nobody waits for a whole quoted file.
_PART = 32 * 1024


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
    if inputs.model is not False:
        outline = await word_outline(run, outline, tree, inputs.model_files)

    folder = Path(inputs.out) if inputs.out is not None else await run.workspace()
    async with open_published(run, folder, "llms.txt") as short:
        for piece in render_llms_txt(outline, inputs.base_url or ""):
            await short.write(piece)
    full = FullText(render_head(outline), run.config.llms_full_bytes)
    async with open_published(run, folder, "llms-full.txt") as long:
        most = inputs.max_file_bytes
        await _write_full(run, reading, long, full, tree, placed, most)
    output = _output(outline, tree, short, long, full.quoted)
    await run.milestone("render_completed", **_sizes(output))
    return output


async def _write_full(
    run: Run,
    reading: Reading,
    published: PublishedText,
    full: FullText,
    tree: SourceTree,
    placed: Sequence[Placed],
    max_file_bytes: int,
) -> None:
    """Quote everything but what is optional, in the order of llms.txt."""
    await published.write(full.head)
    quotable = [one for one in placed if one.section != "Optional"]
    # A larger file is only named, and the text is in the order of llms.txt.
    small = [one for one in quotable if one.file.size <= max_file_bytes]
    chosen = {one.path for one in small}
    following = iter(quotable)

    async def take(number: int, reply: Any) -> None:
        for one in following:
            if one.path in chosen:
                break
            full.add(one.path, "")
        if number % 50 == 0:
            await run.progress("render", number / len(small))
        full.add(small[number].path, reply or "")
        if reply:
            await published.write(reply)

    def common() -> dict[str, Any]:
        return {"root": tree.root, "room": (full.room.left, full.room.for_names)}

    requests = [ask_quote(one, max_file_bytes) for one in small]
    await reading.read(requests, take, common)
    for one in following:
        full.add(one.path, "")
    await published.write(full.end())
    await run.progress("render", 1.0)


def _output(
    outline: Outline,
    tree: SourceTree,
    short: PublishedText,
    long: PublishedText,
    quoted: int,
) -> LlmsTxtOutput:
    return LlmsTxtOutput(
        title=render_head(outline).split("\n", 1)[0].removeprefix("# "),
        llms_txt=str(short.path),
        llms_txt_bytes=short.size,
        llms_full=str(long.path),
        llms_full_bytes=long.size,
        links=outline.links,
        files=len(tree.files),
        quoted=quoted,
    )


def _sizes(output: LlmsTxtOutput) -> dict[str, Any]:
    return {
        "llms_txt_bytes": output.llms_txt_bytes,
        "llms_full_bytes": output.llms_full_bytes,
    }


class TextSink(Protocol):
    """What takes text as it is made."""

    async def write(self, text: str) -> None:
        """Take the next piece."""


class PublishedText:
    """A text on its way; `size` is what was written of it, in UTF-8 bytes."""

    def __init__(self, path: Path, file: AtomicFile, artifact: TextSink) -> None:
        self.path = path
        self.size = 0
        self._file = file
        self._artifact = artifact

    async def write(self, text: str) -> None:
        """Add a piece to the file and to the artifact."""
        for start in range(0, len(text), _PART):
            part = text[start : start + _PART]
            await self._file.write(part)
            await self._artifact.write(part)
            self.size += len(part.encode())


@asynccontextmanager
async def open_published(
    run: Run, folder: Path, name: str
) -> AsyncGenerator[PublishedText, None]:
    """Write the file `name` in `folder` and stream it as the artifact `name`.

    The artifact is told complete only after the file is in place: whoever reads the event finds
    the file. Left by an error or a cancel, the old file stays.
    """
    path = folder / name
    async with run.artifact(name) as artifact:
        async with open_atomic(path, tag=run.run_id) as file:
            yield PublishedText(path, file, artifact)
        artifact.path = str(path)
