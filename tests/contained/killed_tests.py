"""Tests that are killed with -9 while they work: `killed_tests.py WORD TEST...`.

It kills pytest once a process that has WORD in its arguments lives, and tells as JSON, in words,
what of all that the tests had started was still there after the time they have to end it.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

from contained.escapes import alone, living
from penstock.processes.containment import all_pids
from penstock.processes.liveness import read_of_threads

#: Seconds for the tests to have started it, on a loaded machine.
BEGIN_SECONDS = 40.0
#: Seconds for a keeper to have seen nothing more for a while, and for a supervisor to end its tree.
END_SECONDS = 10.0
LOOK_SECONDS = 0.02


def kill_tests(word: str, tests: list[str]) -> None:
    """Start these tests, and end them as soon as they have started the process."""
    words = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider"]
    environ = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    with subprocess.Popen([*words, *tests], env=environ, stdout=sys.stderr) as pytest:
        give_up = time.monotonic() + BEGIN_SECONDS
        while not set(living(word.encode())) - {os.getpid(), pytest.pid}:
            assert time.monotonic() < give_up, f"no {word} was started"
            assert pytest.poll() is None, f"the tests ended before a {word}"
            time.sleep(LOOK_SECONDS)
        pytest.kill()


def main(word: str, *tests: str) -> None:
    os.chdir(Path(__file__).parents[2])
    kill_tests(word, list(tests))
    give_up = time.monotonic() + END_SECONDS
    while not alone() and time.monotonic() < give_up:
        time.sleep(LOOK_SECONDS)
    left = [read_of_threads(pid, "cmdline") for pid in all_pids() if pid != os.getpid()]
    words = [text.replace(b"\0", b" ").decode(errors="replace") for text in left]
    print(json.dumps({"kind": word, "left": [] if alone() else words}))


if __name__ == "__main__":
    assert os.environ.get("CONTAINED") == "1", "only inside the enclosure"
    assert os.getpid() < 10, "only in a PID namespace of its own"
    main(*sys.argv[1:])
