"""OR: whether a bug report is about the code as it is now."""

from __future__ import annotations

import dataclasses
import inspect
import itertools

import pytest

from penstock.words import staleness
from penstock.words.staleness import CodeMark, judge

VERSIONS = {"older": 1, "same": 2, "newer": 3}
NOW = {"d": 4}
CLOCKS = {
    "before": {"d": 3},
    "after": {"d": 4, "client": 1},
    "equal": {"d": 4},
    "concurrent": {"client": 1},
    "empty": {},
}
HASHES = {"same": "aa", "other": "bb", "none": None, "empty": ""}
TABLE = [
    (version, clock, code, known)
    for version, clock, code in itertools.product(VERSIONS, CLOCKS, HASHES)
    for known in (True, False)
]


def expected(
    version: str, clock: str, code: str, known: bool
) -> tuple[str, str | None]:
    """The rule in its shortest form: the first of the three that speaks against decides."""
    if version != "same":
        return ("invalid" if version == "newer" else "stale"), "version"
    if clock == "before":
        return "stale", "clock"
    if known and code == "other":
        return "stale", "hash"
    return "valid", None


@pytest.mark.parametrize(("version", "clock", "code", "known"), TABLE)
def test_the_whole_truth_table(
    version: str, clock: str, code: str, known: bool
) -> None:
    """OR-01 OR-02 OR-03 OR-04 OR-05 OR-06: `known` is whether the current code has a hash."""
    report = CodeMark(VERSIONS[version], CLOCKS[clock], HASHES[code])
    judgement = judge(report, CodeMark(2, NOW, "aa" if known else None))
    failed = judgement.failed.name if judgement.failed else None
    assert (judgement.verdict, failed) == expected(version, clock, code, known)


@pytest.mark.parametrize(
    ("report", "checks"),
    [
        (CodeMark(1, NOW, "aa"), [("version", "fails")]),
        (CodeMark(3, NOW, "aa"), [("version", "fails")]),
        (CodeMark(2, {"d": 1}, "aa"), [("version", "agrees"), ("clock", "fails")]),
        (CodeMark(2, {"d": 5}, None), [("version", "agrees"), ("clock", "agrees")]),
        (CodeMark(2, {"x": 1}, None), [("version", "agrees"), ("clock", "undecided")]),
        (
            CodeMark(2, {"x": 1}, "bb"),
            [("version", "agrees"), ("clock", "undecided"), ("hash", "fails")],
        ),
        (
            CodeMark(2, {"d": 5}, "aa"),
            [("version", "agrees"), ("clock", "agrees"), ("hash", "agrees")],
        ),
    ],
)
def test_the_checks_are_told_in_order_with_the_one_that_failed(
    report: CodeMark, checks: list[tuple[str, str]]
) -> None:
    """OR-07"""
    judgement = judge(report, CodeMark(2, NOW, "aa"))
    assert [(c.name, c.found) for c in judgement.checks] == checks
    assert all(c.why for c in judgement.checks)
    shown = judgement.shown()
    assert shown["failed"] == next((n for n, found in checks if found == "fails"), None)


def test_two_of_three_never_suffice() -> None:
    """OR-01"""
    current = CodeMark(2, NOW, "aa")
    right = CodeMark(2, {"d": 5}, "aa")
    assert judge(right, current).verdict == "valid"
    for wrong in ({"version": 1}, {"clock": {"d": 3}}, {"code_hash": "bb"}):
        assert judge(dataclasses.replace(right, **wrong), current).verdict == "stale"


def test_without_any_code_yet_a_report_is_judged_by_its_version() -> None:
    """OR-06"""
    assert judge(CodeMark(), CodeMark()).verdict == "valid"
    assert judge(CodeMark(1), CodeMark()).verdict == "invalid"


def test_a_mistaken_version_is_told_with_the_current_one() -> None:
    """OR-05"""
    failed = judge(CodeMark(7), CodeMark(2)).failed
    assert failed is not None
    assert "7" in failed.why
    assert "2" in failed.why


def test_time_is_never_asked() -> None:
    """OR-07: there is nowhere a time stamp could come in."""
    assert {f.name for f in dataclasses.fields(CodeMark)} == {
        "version",
        "clock",
        "code_hash",
    }
    assert "datetime" not in inspect.getsource(staleness)


def test_a_judgement_is_frozen() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        judge(CodeMark(), CodeMark()).verdict = "stale"  # type: ignore[misc]
