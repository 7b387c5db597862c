"""Another process that has a log open, though no lock file says so."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_HOLD = """
import sys
from pathlib import Path
import trio
from penstock.log.sqlite.store import open_sqlite, threads

async def main():
    async with open_sqlite(Path(sys.argv[1]), life="other", run_blocking=threads(1)):
        print("open", flush=True)
        await trio.to_thread.run_sync(sys.stdin.read)

trio.run(main)
"""


@contextmanager
def another_daemon(path: Path) -> Iterator[None]:
    """Another process has the log open, and no lock file says so."""
    with subprocess.Popen(
        [sys.executable, "-c", _HOLD, str(path)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    ) as process:  # fmt: skip
        assert process.stdout is not None
        try:
            assert process.stdout.readline() == b"open\n"
            yield
        finally:
            assert process.stdin is not None
            process.stdin.close()
