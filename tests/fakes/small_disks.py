"""A disk that is soon full, for a server's tables."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from penstock_drills.private_postgres import PATIENCE


@contextmanager
def small_disk(folder: Path, size: str) -> Iterator[Path]:
    """A disk of this size, the server's."""
    if os.geteuid():
        pytest.skip("only root may mount a small disk")
    place, owner = folder / "small", folder.stat()
    place.mkdir()
    options = f"size={size},uid={owner.st_uid},gid={owner.st_gid},mode=700"
    subprocess.run(
        ["mount", "-t", "tmpfs", "-o", options, "none", place],
        check=True,
        timeout=PATIENCE,
    )
    try:
        yield place
    finally:
        subprocess.run(["umount", "-l", place], check=True, timeout=PATIENCE)


def fill_disk(place: Path) -> Path:
    """Take all the room there is; the file that does."""
    filler = place / "filler"
    with filler.open("wb", buffering=0) as file, suppress(OSError):
        while True:
            file.write(bytes(64 * 1024))
    return filler
