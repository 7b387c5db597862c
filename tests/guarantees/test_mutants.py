"""The harness can fail: every planted bug is found, and by the story that says so."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from textwrap import dedent

import pytest

from guarantees.mutants import MUTANTS, TESTED_MUTANTS, Mutant, TestedMutant
from guarantees.planting import PACKAGE, plant, planted
from guarantees.warm_python import WarmPython, open_warm_python

TESTS = Path(__file__).parents[1]
HUNT = TESTS / "guarantees" / "hunt.py"
#: pytest, which stops at the first failure; what it has imported by now it cannot rewrite.
PYTEST = ["-m", "pytest", "-q", "-x", "--assert=plain", "-p", "no:cacheprovider"]
#: Seconds in which a bug must be found, on a loaded box.
HUNT_SECONDS = 300


@pytest.fixture(scope="module")
def python() -> Iterator[WarmPython]:
    with open_warm_python() as python:
        yield python


@pytest.mark.slow
@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_a_planted_bug_is_found_by_its_story(
    mutant: Mutant, python: WarmPython, tmp_path: Path
) -> None:
    """CN-07 DT-04"""
    plant(mutant.where, mutant.old, mutant.new, tmp_path)
    words = [str(HUNT), mutant.scenario, mutant.fault]
    status, said = python.run(tmp_path, words, TESTS.parent, HUNT_SECONDS)
    print(said)
    # A story that hangs for good ends its process, with a status of its own.
    hangs = status == 70
    assert status == 0 or hangs, f"not found:\n{said[-4000:]}"
    assert hangs or f'--story "{mutant.scenario}"' in said


@pytest.mark.slow
@pytest.mark.parametrize("mutant", TESTED_MUTANTS, ids=lambda mutant: mutant.name)
def test_a_planted_bug_is_found_by_its_test(
    mutant: TestedMutant, python: WarmPython, tmp_path: Path
) -> None:
    """ST-03 ST-08 BUS-07"""
    plant(mutant.where, mutant.old, mutant.new, tmp_path)
    words = [*PYTEST, str(TESTS / mutant.test.strip())]
    status, said = python.run(tmp_path, words, TESTS.parent, HUNT_SECONDS)
    # 1: a test has failed; any other status says that it was not run.
    assert status == 1, f"not found:\n{said[-4000:]}"


@pytest.mark.slow
def test_without_a_bug_the_same_tests_pass(python: WarmPython, tmp_path: Path) -> None:
    """So that it is the bug which they find, and not where and how they are run here."""
    (tmp_path / "penstock").symlink_to(PACKAGE)
    tests = dict.fromkeys(str(TESTS / mutant.test.strip()) for mutant in TESTED_MUTANTS)
    status, said = python.run(
        tmp_path, [*PYTEST, *tests], TESTS.parent, len(tests) * HUNT_SECONDS
    )
    assert status == 0, said[-4000:]


def test_no_bug_is_planted_twice() -> None:
    """Under no two names; one bug may be for a story to find and for a test, since both must."""
    mutants = (*MUTANTS, *TESTED_MUTANTS)
    assert len({mutant.name for mutant in mutants}) == len(mutants)
    for alike in (MUTANTS, TESTED_MUTANTS):
        bugs = {(m.where, dedent(m.old).strip(), dedent(m.new).strip()) for m in alike}
        assert len(bugs) == len(alike)


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
