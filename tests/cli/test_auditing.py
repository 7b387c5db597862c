"""QA-01, QA-02: `audit` finds what breaks a law, and nothing else."""

from __future__ import annotations

from typing import Any

import pytest

from fakes.penstock_command import Penstock
from fakes.scripted_daemon import ScriptedDaemon, fact, story
from penstock.cli.auditing import Audit
from penstock.events import Recorded

LINE = {"type": "log", "text": "x"}
DONE = {"type": "run.completed"}


def audited(facts: list[dict[str, Any]], floor: int = 1) -> Audit:
    audit = Audit()
    audit.begin_at(floor)
    for data in facts:
        audit.take(Recorded.from_wire(data))
    return audit


def test_a_sound_log_is_found_sound() -> None:
    other = [fact(6, 1, LINE, "b"), fact(7, 1, {"type": "daemon.started"}, "daemon")]
    audit = audited([*story(), *other])
    assert audit.findings == []
    assert (audit.facts, audit.runs, audit.ended, audit.open_runs) == (7, 2, 1, ["b"])


@pytest.mark.parametrize(
    ("facts", "finding"),
    [
        ([fact(1, 1, LINE), fact(3, 2, LINE)], "position 3 comes after 1"),
        ([fact(1, 1, LINE), fact(2, 3, LINE)], "sequence 3 comes after 1"),
        ([fact(1, 2, LINE)], "sequence 2 comes after 0"),
        ([fact(1, 1, DONE), fact(2, 2, LINE)], "log was recorded after the end"),
        (
            [fact(1, 1, DONE), fact(2, 2, DONE)],
            "run.completed was recorded after the end",
        ),
    ],
)
def test_each_broken_law_is_found(facts: list[dict[str, Any]], finding: str) -> None:
    [found] = audited(facts).findings
    assert finding in found


def test_what_was_pruned_is_no_hole() -> None:
    assert audited([fact(9, 4, LINE), fact(10, 5, DONE)], floor=9).findings == []


def test_the_verb_fails_for_a_broken_log(
    penstock: Penstock, daemon: ScriptedDaemon
) -> None:
    daemon.routes["GET", "/events"] = (200, {"events": [], "next": 0, "more": False})
    assert penstock("audit").exit_code == 0
