"""Files that appear whole or not at all.

A text is written beside its target under a hidden name, forced to disk, and renamed over the
target. Whoever looks, and whenever power fails, finds the old file or the new one. The hidden name
is made of the target and the writer's tag, so an execution that a kill interrupted leaves at most
one file, and the next execution of the same run overwrites that file and renames it away.
"""

from __future__ import annotations

import os
import stat
from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path

import trio

from penstock.kinds.unfinished import hidden_name
from penstock.pipeline import NotAvailable, run_in_thread

# An unlink is one call to a local disk; a mount that hangs must not hold a cancelled run for ever.
_CLEAN_UP_SECONDS = 1.0

#: Bytes gathered before they are written: a text comes in many small pieces, and each write is a
#: word to a thread and back.
_GATHERED = 256 * 1024

_WRITE_FLAGS = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC


class AtomicFile:
    """A text on its way into place; see `open_atomic`."""

    def __init__(self, target: Path, tag: str) -> None:
        self.target = target
        self.hidden = hidden_name(target, tag)
        self._descriptor = -1
        self._gathered = bytearray()

    def begin(self) -> None:
        """Open the hidden file, emptied. Blocks: call it in a worker thread."""
        self.target.parent.mkdir(parents=True, exist_ok=True)
        self._descriptor = os.open(self.hidden, _WRITE_FLAGS, 0o644)

    async def write(self, text: str) -> None:
        """Add `text`, encoded as UTF-8. NotAvailable says why the disk refuses what came so far."""
        self._gathered += text.encode()
        if len(self._gathered) < _GATHERED:
            await trio.lowlevel.checkpoint()
            return
        with _explained(self.target):
            await run_in_thread(self._write_gathered)

    def _write_gathered(self) -> None:
        data, self._gathered = self._gathered, bytearray()
        with memoryview(data) as whole:
            view = whole
            while view:
                view = view[os.write(self._descriptor, view) :]

    def commit(self) -> None:
        """Put the file into place. Blocks: call it in a worker thread."""
        self._write_gathered()
        os.fsync(self._descriptor)
        self._close()
        os.rename(self.hidden, self.target)
        # Only the directory's own fsync makes the new name survive a power failure.
        folder = os.open(
            self.target.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
        )
        try:
            os.fsync(folder)
        finally:
            os.close(folder)

    def abandon(self) -> None:
        """Leave nothing of an unfinished text; quiet when there is nothing. Blocks."""
        self._close()
        with suppress(OSError):
            if stat.S_ISREG(os.lstat(self.hidden).st_mode):
                os.unlink(self.hidden)

    def _close(self) -> None:
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)


@asynccontextmanager
async def open_atomic(target: Path, *, tag: str) -> AsyncGenerator[AtomicFile, None]:
    """Write `target` (absolute) so that it is in place, whole, when the block is left normally.

    Leaving by an error or a cancel removes what was written and leaves the old file. `tag` tells
    writers of the same target apart: the run's id. NotAvailable says why the disk refuses.
    """
    file = AtomicFile(target, tag)
    whole = False
    try:
        with _explained(target):
            await run_in_thread(file.begin)
        yield file
        with _explained(target):
            await run_in_thread(file.commit)
        whole = True
    finally:
        if not whole:
            with trio.move_on_after(_CLEAN_UP_SECONDS, shield=True):
                await run_in_thread(file.abandon, abandon_on_cancel=True)


@contextmanager
def _explained(target: Path) -> Generator[None, None, None]:
    """An OSError inside becomes the sentence that names the file."""
    try:
        yield
    except OSError as error:
        why = error.strerror or str(error)
        shown = os.fsencode(target).decode(errors="replace")
        raise NotAvailable(f"{shown} cannot be written: {why}") from error
