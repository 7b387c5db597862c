"""QA-02: a test run that is killed with -9 leaves no process behind, hostile ones least of all.

Whether it does is seen in an enclosure, whose first process every orphan comes to.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

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
