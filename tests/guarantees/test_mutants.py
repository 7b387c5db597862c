"""The harness can fail: every planted bug is found, and by the story that says so."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import penstock
from guarantees.mutants import MUTANTS, Mutant

PACKAGE = Path(penstock.__file__).parent
HUNT = Path(__file__).parent / "hunt.py"
#: Seconds in which a bug must be found, on a loaded box.
HUNT_SECONDS = 120


def _plant(mutant: Mutant, folder: Path) -> None:
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


def test_no_bug_is_planted_twice() -> None:
    assert len({mutant.name for mutant in MUTANTS}) == len(MUTANTS)
