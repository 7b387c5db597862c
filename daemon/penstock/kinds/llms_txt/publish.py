"""A text that goes to its file and to the run's followers at once."""

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
