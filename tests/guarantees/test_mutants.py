"""The harness can fail: every planted bug is found, and by the story that says so."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import penstock
from guarantees.mutants import MUTANTS, TESTED_MUTANTS, Mutant, TestedMutant

PACKAGE = Path(penstock.__file__).parent
HUNT = Path(__file__).parent / "hunt.py"
#: Seconds in which a bug must be found, on a loaded box.
HUNT_SECONDS = 120


def _plant(mutant: Mutant | TestedMutant, folder: Path) -> None:
    """The package in `folder`, made of links to ours, and one file that differs."""
    place = folder / "penstock"
    source = PACKAGE
    for part in Path(mutant.file).parts:
        place.mkdir()
        for other in source.iterdir():
            if other.name not in {part, "__pycache__"}:
                (place / other.name).symlink_to(other)
        place, source = place / part, source / part
    text = source.read_text()
    assert text.count(mutant.old) == 1, f"{mutant.file} has changed: plant the bug anew"
    place.write_text(text.replace(mutant.old, mutant.new))


@pytest.mark.slow
@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_a_planted_bug_is_found_by_its_story(mutant: Mutant, tmp_path: Path) -> None:
    """CN-07 DT-04"""
    _plant(mutant, tmp_path)
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
    _plant(mutant, tmp_path)
    tests = Path(__file__).parent.parent
    words = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider"]
    done = subprocess.run(
        [*words, str(tests / mutant.test)],
        env={**os.environ, "PYTHONPATH": str(tmp_path)}, cwd=tests.parent,
        capture_output=True, timeout=HUNT_SECONDS, text=True, check=False,
    )  # fmt: skip
    # 1: a test has failed; any other status says that it was not run.
    assert done.returncode == 1, f"not found:\n{done.stdout[-2000:]}{done.stderr}"


def test_no_bug_is_planted_twice() -> None:
    mutants = (*MUTANTS, *TESTED_MUTANTS)
    assert len({mutant.name for mutant in mutants}) == len(mutants)
