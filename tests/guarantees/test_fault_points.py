"""Every story with every fault, at points spread over it; `penstock drill faults --every 1` tries all."""

from __future__ import annotations

import os

import pytest

from penstock.drills.faultpoints import FAULTS, Sweep, tell_at
from penstock.drills.scenarios import SCENARIOS

#: Of how many points one is tried here; the first one moves from fault to fault. 1 tries all of
#: them, which takes an hour or more.
STRIDE = int(os.environ.get("PENSTOCK_TEST_STRIDE", "29"))


@pytest.fixture(autouse=True)
def no_log_lines(caplog: pytest.LogCaptureFixture) -> None:
    """The failures of these stories are meant."""
    caplog.set_level("CRITICAL")


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_a_story_without_a_fault_keeps_every_law(scenario: str) -> None:
    """DT-04"""
    told = tell_at(SCENARIOS[scenario], "none", 1)
    assert told.broken == ()


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("scenario", SCENARIOS)
def test_every_law_holds_after_a_fault_at_any_point(scenario: str, fault: str) -> None:
    """CN-07 DT-04 CC-01 QA-01 QA-07 QA-10 SY-03 BUS-04 BUS-05 CN-04 CN-05"""
    first = 1 + (7 * FAULTS.index(fault)) % STRIDE
    stride = STRIDE if "store" not in fault else min(STRIDE, 5)
    swept = Sweep(SCENARIOS[scenario], fault, first, stride).run()
    assert [str(failure) for failure in swept.failures] == []
    # A short story may be over before its first point here; the drill tries them all.
    assert swept.points or first > stride // 2
