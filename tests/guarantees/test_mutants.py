"""The harness can fail: every planted bug is found, and by the story that says so."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from guarantees.mutants import MUTANTS, TESTED_MUTANTS, Mutant, TestedMutant
from guarantees.planting import plant, planted

HUNT = Path(__file__).parent / "hunt.py"
#: Seconds in which a bug must be found, on a loaded box.
HUNT_SECONDS = 300


@pytest.mark.slow
@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_a_planted_bug_is_found_by_its_story(mutant: Mutant, tmp_path: Path) -> None:
    """CN-07 DT-04"""
    plant(mutant.where, mutant.old, mutant.new, tmp_path)
    environ = {**os.environ, "PYTHONPATH": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, HUNT, mutant.scenario, mutant.fault],
        env=environ, capture_output=True, timeout=HUNT_SECONDS, text=True, check=False,
    )  # fmt: skip
    print(done.stdout)
    # A story that hangs for good ends its process, with a status of its own.
    hangs = done.returncode == 70
    assert done.returncode == 0 or hangs, (
        f"not found:\n{done.stdout}{done.stderr[-2000:]}"
    )
    assert hangs or f'--story "{mutant.scenario}"' in done.stdout


@pytest.mark.slow
@pytest.mark.parametrize("mutant", TESTED_MUTANTS, ids=lambda mutant: mutant.name)
def test_a_planted_bug_is_found_by_its_test(
    mutant: TestedMutant, tmp_path: Path
) -> None:
    """ST-03 ST-08 BUS-07: and without the bug, the same test passes elsewhere in this suite."""
    plant(mutant.where, mutant.old, mutant.new, tmp_path)
    tests = Path(__file__).parent.parent
    words = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider"]
    done = subprocess.run(
        [*words, str(tests / mutant.test.strip())],
        env={**os.environ, "PYTHONPATH": str(tmp_path)}, cwd=tests.parent,
        capture_output=True, timeout=HUNT_SECONDS, text=True, check=False,
    )  # fmt: skip
    # 1: a test has failed; any other status says that it was not run.
    assert done.returncode == 1, f"not found:\n{done.stdout[-2000:]}{done.stderr}"


def test_no_bug_is_planted_twice() -> None:
    mutants = (*MUTANTS, *TESTED_MUTANTS)
    assert len({mutant.name for mutant in mutants}) == len(mutants)


@pytest.mark.parametrize(
    "mutant", [*MUTANTS, *TESTED_MUTANTS], ids=lambda mutant: mutant.name
)
def test_a_bug_can_still_be_planted(mutant: Mutant | TestedMutant) -> None:
    """CN-07: its function says once what the bug changes, whatever became of its form and its place."""
    planted(mutant.where, mutant.old, mutant.new)


def test_a_bug_is_planted_by_what_a_function_says_and_not_by_its_form(
    tmp_path: Path,
) -> None:
    """A line that is broken elsewhere is the same; a function that does not say it is told."""
    plant(
        "open_recorder",
        "writing = trio.CancelScope(\n    shield=True,\n)",
        "writing = trio.CancelScope()",
        tmp_path,
    )
    [changed] = [
        path
        for path in tmp_path.rglob("*.py")
        if path.is_file() and not path.is_symlink()
    ]
    assert "writing = trio.CancelScope()" in changed.read_text()
    with pytest.raises(AssertionError, match="says this 0 times"):
        plant("open_recorder", "writing = 3", "", tmp_path / "other")
    with pytest.raises(AssertionError, match="stands 0 times"):
        plant("no_such_function", "pass", "", tmp_path / "third")
