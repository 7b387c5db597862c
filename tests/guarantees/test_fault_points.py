"""Every story with every fault, at points spread over it; `penstock drill faults --every 1` tries all."""

from __future__ import annotations

from random import randrange

import pytest

from fakes.lengths import length
from penstock_drills.campaign import SEEDS
from penstock_drills.faultpoints import FAULTS, Sweep, Told, tell_at
from penstock_drills.scenarios import SCENARIOS

#: Of how many points one is tried here; the first one moves from fault to fault. The long form tries
#: all of them, which takes minutes.
STRIDE = length(29, 1)

#: The schedule of every story with a fault, and that of those without, which a failure tells.
SEED = 1
CHANCE = randrange(SEEDS)


@pytest.fixture(autouse=True)
def no_log_lines(caplog: pytest.LogCaptureFixture) -> None:
    """The failures of these stories are meant."""
    caplog.set_level("CRITICAL")


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_a_story_without_a_fault_keeps_every_law(scenario: str) -> None:
    """DT-04"""
    told = tell_at(SCENARIOS[scenario], "none", 1, CHANCE)
    assert told.broken == (), str(told)


@pytest.mark.slow
@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("scenario", SCENARIOS)
def test_every_law_holds_after_a_fault_at_any_point(scenario: str, fault: str) -> None:
    """CN-07 DT-04 CC-01 QA-01 QA-07 QA-10 SY-03 BUS-04 BUS-05 CN-04 CN-05"""
    first = 1 + (7 * FAULTS.index(fault)) % STRIDE
    stride = STRIDE if "store" not in fault else min(STRIDE, 5)
    swept = Sweep(SCENARIOS[scenario], fault, SEED, first, stride).run()
    assert [str(failure) for failure in swept.failures] == []
    # A short story may be over before its first point here; the drill tries them all.
    assert swept.points or first > stride // 2


@pytest.mark.slow
def test_a_seed_tells_every_story_again_in_the_same_order() -> None:
    """DT-05: else a failure's point would be another moment of another schedule."""
    story = SCENARIOS["slow stop"]

    def points(seed: int) -> int:
        return Sweep(story, "kill the daemon", seed).run().points

    seeds = range(1, length(4, 6))
    once = [points(seed) for seed in seeds]
    assert [points(seed) for seed in seeds] == once
    assert len(set(once)) > 1, "the seed decides nothing"


def test_a_failure_names_the_words_that_tell_it_again() -> None:
    """DT-05"""
    told = Told("asks", "store breaks", 7, 3, reached=True, broken=("a", "b"))
    assert str(told) == ('--seed 3 --story "asks" --fault "store breaks" --at 7: a; b')
