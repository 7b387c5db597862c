"""QA-02: a test run that is killed with -9 leaves no process behind, hostile ones least of all.

Whether it does is seen in an enclosure, whose first process every orphan comes to.
"""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from guarantees.warm_python import open_warm_python

pytestmark = pytest.mark.alone

CONTAINED = Path(__file__).parents[1] / "contained"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("word", "tests"),
    [
        ("serve", "tests/cli/test_real.py"),
        # A drill has a daemon, and a keeper, of its own.
        ("serve", "tests/guarantees/test_drills.py::test_a_killed_daemon_loses_nothing_that_it_acknowledged"),
        ("sleep", "tests/processes/test_processes.py"),
        # The hostile trees of these run for longer than what is left may take to end.
        ("mark-", "tests/processes/test_containment.py::test_a_session_never_claims_that_all_is_gone"),
    ],
)  # fmt: skip
def test_killed_tests_leave_no_process_behind(word: str, tests: str) -> None:
    done = subprocess.run(
        [sys.executable, CONTAINED / "enclose.py", CONTAINED / "killed_tests.py", word, tests],
        capture_output=True, timeout=120, text=True, check=False,
    )  # fmt: skip
    if done.returncode == 77:
        pytest.skip(done.stdout.strip())
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {"kind": word, "left": []}


@pytest.mark.parametrize("how", ["killed", "nobody asks"])
def test_a_planted_bug_that_loops_ends_with_who_planted_it(
    how: str, tmp_path: Path
) -> None:
    """QA-02: it has a session of its own, which no signal to pytest's own group reaches."""
    told, program = tmp_path / "pid", tmp_path / "loops.py"
    os.mkfifo(told)
    program.write_text(
        f"import os, signal\nopen({str(told)!r}, 'w').write(str(os.getpid()))\nsignal.pause()\n"
    )
    with (
        open_warm_python() as python,
        ThreadPoolExecutor(1) as asking,
    ):
        asked = asking.submit(python.run, tmp_path, [str(program)], tmp_path, 300)
        handle = os.pidfd_open(int(told.read_text()))
        assert python.process.stdin is not None
        if how == "killed":
            python.process.kill()
        else:
            python.process.stdin.close()
        ended, _, _ = select.select([handle], [], [], 60)
        os.close(handle)
        assert ended, "it still loops"
        with pytest.raises((json.JSONDecodeError, TimeoutError)):
            asked.result(60)
