"""Whether a bug report is about the code as it is now.

Three things must agree: version, clock and code hash. Time stamps are never asked: clocks of two
machines differ, and a report may be sent long after it was written.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from penstock.words.clocks import Clock, happens_before

Verdict = Literal["valid", "stale", "invalid"]


@dataclass(frozen=True, slots=True)
class CodeMark:
    """Which code is meant: the current one, or the one that a report is about.

    The clock of the current code is that of the fact which made it. No code yet is version 0.
    """

    version: int = 0
    clock: Clock = field(default_factory=dict)
    #: None or empty: not known.
    code_hash: str | None = None


@dataclass(frozen=True, slots=True)
class Check:
    """One comparison; `undecided` means that it speaks neither for the report nor against it."""

    name: Literal["version", "clock", "hash"]
    found: Literal["agrees", "undecided", "fails"]
    why: str


@dataclass(frozen=True, slots=True)
class Judgement:
    """The verdict, and the checks that were made, in order. Only the last one can have failed."""

    verdict: Verdict
    checks: tuple[Check, ...]

    @property
    def failed(self) -> Check | None:
        """The check that decided against the report."""
        last = self.checks[-1]
        return last if last.found == "fails" else None

    def shown(self) -> Mapping[str, object]:
        """The judgement as the reporter is told it."""
        return {
            "verdict": self.verdict,
            "checks": [
                {"name": c.name, "found": c.found, "why": c.why} for c in self.checks
            ],
            "failed": self.failed.name if self.failed else None,
        }


def judge(report: CodeMark, current: CodeMark) -> Judgement:
    """The verdict on a report against the current code.

    An older version, a clock before that of the current code, or another hash makes it stale. A
    version that does not exist yet makes it invalid: the reporter is mistaken, or the log is.
    """
    version = _check_version(report, current)
    if version.found == "fails":
        newer = report.version > current.version
        return Judgement("invalid" if newer else "stale", (version,))
    clock = _check_clock(report, current)
    if clock.found == "fails":
        return Judgement("stale", (version, clock))
    if not report.code_hash or not current.code_hash:
        return Judgement("valid", (version, clock))
    code = _check_hash(report.code_hash, current.code_hash)
    verdict: Verdict = "stale" if code.found == "fails" else "valid"
    return Judgement(verdict, (version, clock, code))


def _check_version(report: CodeMark, current: CodeMark) -> Check:
    if report.version > current.version:
        why = f"version {report.version} does not exist; the current one is {current.version}"
        return Check("version", "fails", why)
    if report.version < current.version:
        why = f"version {report.version} was replaced; the current one is {current.version}"
        return Check("version", "fails", why)
    return Check("version", "agrees", f"version {current.version} is the current one")


def _check_clock(report: CodeMark, current: CodeMark) -> Check:
    if happens_before(report.clock, current.clock):
        return Check(
            "clock", "fails", "the report was made before the current code was known"
        )
    if happens_before(current.clock, report.clock):
        return Check(
            "clock", "agrees", "the report was made in knowledge of the current code"
        )
    return Check("clock", "undecided", "the report and the current code are concurrent")


def _check_hash(reported: str, current: str) -> Check:
    if reported != current:
        return Check(
            "hash", "fails", "the report is about other code of the same version"
        )
    return Check("hash", "agrees", "the code is the same")
