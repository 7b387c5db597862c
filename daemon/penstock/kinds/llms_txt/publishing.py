"""Texts on their way out: into a file that appears whole, and into an artifact that streams."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Protocol

from penstock.kinds.atomic import AtomicFile, open_atomic
from penstock.pipeline import Run

# Characters handed on at once: nobody waits for a whole quoted file.
_PART = 32 * 1024


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
