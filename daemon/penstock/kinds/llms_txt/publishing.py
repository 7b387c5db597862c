"""Texts on their way out: into a file that appears whole, and into an artifact that streams."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Protocol

from penstock.kinds.atomic import AtomicFile, open_atomic
from penstock.kinds.llms_txt.classify import Placed
from penstock.kinds.llms_txt.confined_reading import Request, ask_element, ask_quote
from penstock.kinds.llms_txt.formats import (
    context_head,
    head_title,
    render_head,
    render_llms_txt,
)
from penstock.kinds.llms_txt.full_text import FullText
from penstock.kinds.llms_txt.inputs import LlmsTxtInputs, LlmsTxtOutput
from penstock.kinds.llms_txt.outline import Outline
from penstock.kinds.llms_txt.source_tree import SourceTree
from penstock.kinds.llms_txt.standing import Difference
from penstock.kinds.strangers import Reading
from penstock.pipeline import Run, estimate_tokens, run_in_thread

# Characters handed on at once: nobody waits for a whole quoted file.
_PART = 32 * 1024

#: Files asked for at once: when a text is full, no more than these were read in vain.
QUOTED_AT_ONCE = 40

# Characters whose tokens are counted where they are; those of a longer text in a thread.
_COUNTED_AT_ONCE = 16 * 1024


class TextSink(Protocol):
    """What takes text as it is made."""

    async def write(self, text: str) -> None:
        """Take the next piece."""


class PublishedText:
    """A text on its way; `size` is what was written of it, in UTF-8 bytes.

    Where it can be read afterwards is `path`, or, if there is no file, `printed_by`: a command.
    """

    def __init__(
        self, path: Path | None, printed_by: str, file: AtomicFile | None, artifact: TextSink
    ) -> None:  # fmt: skip
        self.path = path
        self.printed_by = printed_by
        self.size = 0
        self._file = file
        self._artifact = artifact

    async def write(self, text: str) -> None:
        """Add a piece to the file and to the artifact."""
        for start in range(0, len(text), _PART):
            part = text[start : start + _PART]
            if self._file is not None:
                await self._file.write(part)
            await self._artifact.write(part)
            self.size += len(part.encode())

    @property
    def where(self) -> str:
        """The path, or the command that prints the text."""
        return self.printed_by if self.path is None else str(self.path)


@asynccontextmanager
async def open_published(
    run: Run, folder: Path | None, name: str
) -> AsyncGenerator[PublishedText, None]:
    """Write the file `name` in `folder`, if there is one, and stream it as the artifact `name`.

    The artifact is told complete only after the file is in place: whoever reads the event finds
    the file. Left by an error or a cancel, the old file stays.
    """
    printed_by = f"penstock artifacts {run.run_id} {name}"
    async with run.artifact(name) as artifact:
        if folder is None:
            yield PublishedText(None, printed_by, None, artifact)
            return
        path = folder / name
        async with open_atomic(path, tag=run.run_id) as file:
            yield PublishedText(path, printed_by, file, artifact)
        artifact.path = str(path)


class TreeTexts:
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
            llms_txt_tokens=await count_tokens(difference.text),
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
            if piece := full.add(small[number].path, piece, await count_tokens(piece)):
                await text.write(piece)

        def common() -> dict[str, Any]:
            room = (full.room.left, full.room.for_names)
            return {"root": self._tree.root, "room": room}

        await self._reading.read([ask(one) for one in small], take, common)
        name_others(following)


async def count_tokens(text: str) -> int:
    """Their estimated number; of a long text in a thread."""
    if len(text) <= _COUNTED_AT_ONCE:
        return estimate_tokens(text)
    return await run_in_thread(estimate_tokens, text)
