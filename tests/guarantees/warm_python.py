"""Python programs as forks of one that has imported what is not ours, each with a package of its own.

Of the second that a pytest of one test takes, more than half goes into importing what no bug is planted in.
"""

from __future__ import annotations

import ctypes
import gc
import importlib
import json
import os
import runpy
import select
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

#: What most tests, or pytest itself, import. Nothing of it may import `penstock`.
IMPORTED = (
    "_pytest.debugging", "_pytest.doctest", "_pytest.faulthandler", "_pytest.junitxml", "_pytest.logging",
    "_pytest.pastebin", "_pytest.recwarn", "_pytest.skipping", "_pytest.stepwise", "_pytest.terminal",
    "_pytest.threadexception", "_pytest.unraisableexception", "anyio", "asyncio", "click.testing", "httpx",
    "hypercorn.trio", "hypothesis.strategies", "pydantic", "pytest", "quart_trio", "sqlite3", "trio.testing",
)  # fmt: skip


_PR_SET_PDEATHSIG = 1


@dataclass
class WarmPython:
    """`run` is `subprocess.run` of `python argv` with `folder` before all other packages."""

    process: subprocess.Popen[str]

    def run(
        self, folder: Path, argv: list[str], cwd: Path, seconds: float
    ) -> tuple[int, str]:
        """Its exit status and what it wrote, to stdout and stderr alike.

        `argv` is a script and its words, or "-m", a module and its words. TimeoutError after `seconds`; it
        is killed then.
        """
        output = folder / "output"
        asked = {
            "folder": str(folder), "argv": argv, "cwd": str(cwd), "seconds": seconds,
            "output": str(output), "environ": {**os.environ, "PYTHONPATH": str(folder)},
        }  # fmt: skip
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(json.dumps(asked) + "\n")
        self.process.stdin.flush()
        status = json.loads(self.process.stdout.readline())
        if status is None:
            raise TimeoutError(output.read_text(errors="replace"))
        return status, output.read_text(errors="replace")


@contextmanager
def open_warm_python() -> Iterator[WarmPython]:
    """One for many programs, one after the other."""
    with subprocess.Popen(
        [sys.executable, __file__], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:  # fmt: skip
        yield WarmPython(process)
        # It ends when there is nobody to ask any more.


def main() -> None:
    """Fork for each line of stdin and tell how it ended; in the fork, be the program."""
    for name in IMPORTED:
        importlib.import_module(name)
    assert "penstock" not in sys.modules, "the bug would be planted too late"
    gc.collect()
    gc.freeze()
    for line in sys.stdin:
        asked = json.loads(line)
        sys.stdout.flush()
        warm = os.getpid()
        if (pid := os.fork()) == 0:
            _end_with(warm)
            _become(asked)
            return
        print(json.dumps(_wait(pid, asked["seconds"])), flush=True)


def _end_with(parent: int) -> None:
    """Whatever ends this one's parent ends it too: a planted bug may well loop for ever."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)


def _become(asked: dict[str, Any]) -> None:
    os.setsid()
    nothing = os.open(os.devnull, os.O_RDONLY)
    output = os.open(asked["output"], os.O_WRONLY | os.O_CREAT)
    for ours, theirs in ((nothing, 0), (output, 1), (output, 2)):
        os.dup2(ours, theirs)
    os.closerange(3, max(nothing, output) + 1)
    os.chdir(asked["cwd"])
    os.environ.clear()
    os.environ.update(asked["environ"])
    first, *words = asked["argv"]
    # Of the folder of this file nothing is imported, as it would not be by the program itself.
    sys.path[0] = asked["folder"]
    if first == "-m":
        sys.argv = words
        sys.path.insert(1, asked["cwd"])
        runpy.run_module(words[0], run_name="__main__", alter_sys=True)
    else:
        sys.argv = [first, *words]
        sys.path.insert(1, str(Path(first).parent))
        runpy.run_path(first, run_name="__main__")


def _wait(pid: int, seconds: float) -> int | None:
    """Its exit status, negative for a signal; None if it had to be killed after `seconds`.

    It is killed at once when nobody waits for the answer any more, which is the end of stdin.
    """
    handle = os.pidfd_open(pid)
    readable, _, _ = select.select([handle, sys.stdin], [], [], seconds)
    ended = handle in readable
    os.close(handle)
    if not ended:
        with suppress(ProcessLookupError):
            os.killpg(pid, signal.SIGKILL)
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    _, status = os.waitpid(pid, 0)
    return os.waitstatus_to_exitcode(status) if ended else None


if __name__ == "__main__":
    main()
