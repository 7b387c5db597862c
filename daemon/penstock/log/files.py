"""Whether the files of a log are still those that were opened.

A removed or replaced file goes on taking writes from whoever has it open, and gives none of them
back: what is acknowledged then is lost at the next start. So the names are looked up again.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class KnownFile:
    """A file by its name, and by what stood there when it was opened."""

    path: Path
    device: int
    inode: int

    def change(self) -> str | None:
        """What became of it, as a sentence; None while its name leads to the same file.

        A name that cannot be looked up (no permission, an I/O error) says nothing of the file.
        """
        try:
            found = os.stat(self.path)
        except (FileNotFoundError, NotADirectoryError):
            return f"{self.path} was removed while the daemon had it open"
        except OSError:
            return None
        if (found.st_dev, found.st_ino) == (self.device, self.inode):
            return None
        return f"{self.path} was replaced while the daemon had it open"


def known_file(path: Path) -> KnownFile:
    """The file that stands at `path` now. OSError if there is none."""
    found = os.stat(path)
    return KnownFile(path, found.st_dev, found.st_ino)


def first_change(files: Iterable[KnownFile]) -> str | None:
    """What became of the first of these files that is not what it was; None if all are."""
    return next((why for file in files if (why := file.change()) is not None), None)
