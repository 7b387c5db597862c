"""WF-09: questions and answers."""

from __future__ import annotations

import pytest
import trio

from fakes.house_beside import HouseBeside
from fakes.penstock_command import Penstock
from penstock.pipeline import Inputs, Kind, Output, Run
from penstock.words.events import AskRaised, RunCompleted


class SurveyInputs(Inputs):
    """What is asked at once."""

    names: tuple[str, ...] = ("one",)


async def ask(run: Run, inputs: SurveyInputs) -> Output:
    """Ask all at once, and end when all are answered."""
    async with trio.open_nursery() as nursery:
        for name in inputs.names:
            nursery.start_soon(run.ask, name, "Really?", ("yes", "no"))
    return Output()


SURVEY = Kind("survey", "Asks", SurveyInputs, Output, ask)


@pytest.fixture
def kinds() -> tuple[Kind, ...]:
    return (SURVEY,)


@pytest.fixture
def asking(daemon: HouseBeside) -> HouseBeside:
    """The run `r` asks one thing."""
    daemon.submit("survey", run_id="r")
    daemon.wait_fact("r", AskRaised)
    return daemon


def answers(daemon: HouseBeside, run_id: str) -> dict[str, str | None]:
    return {name: ask.answer for name, ask in daemon.view(run_id).asks.items()}


def test_open_questions_are_listed(penstock: Penstock, asking: HouseBeside) -> None:
    assert "Really?" in penstock("asks").stdout


@pytest.mark.parametrize("words", [["yes"], ["one", "yes"]])
def test_the_name_may_be_left_out_while_there_is_one(
    penstock: Penstock, asking: HouseBeside, words: list[str]
) -> None:
    assert penstock("answer", "r", *words).exit_code == 0
    asking.wait_fact("r", RunCompleted)
    assert answers(asking, "r") == {"one": "yes"}


def test_with_several_questions_the_name_is_needed(
    penstock: Penstock, daemon: HouseBeside
) -> None:
    """WF-09 CL-01: a command that was called wrongly; what it may say is listed."""
    daemon.submit("survey", {"names": ["one", "two"]}, run_id="r")
    while len(daemon.view("r").asks) < 2:
        daemon.beside.do(daemon.house.core.bus.wait_published, "r")
    result = penstock("answer", "r", "yes")
    assert result.exit_code == 2
    # They are asked at once, in any order.
    assert "one (Really?)" in result.stderr
    assert "two (Really?)" in result.stderr
    assert answers(daemon, "r") == {"one": None, "two": None}


@pytest.mark.parametrize("words", [[], ["yes"], ["one", "yes"]])
def test_a_second_answer_is_a_conflict_as_over_rest(
    penstock: Penstock, asking: HouseBeside, words: list[str]
) -> None:
    """WF-09 CL-01: however it is said, with the name or without."""
    penstock("answer", "r", "yes")
    asking.wait_fact("r", RunCompleted)
    result = penstock("answer", "r", *words)
    assert (result.exit_code, result.stdout) == (4, "")


def test_a_run_that_has_asked_nothing_is_told_apart_from_no_run(
    penstock: Penstock, daemon: HouseBeside
) -> None:
    """CL-01: there is no such question, or no such run: not found."""
    daemon.submit("survey", {"names": []}, run_id="silent")
    silent, nobody = (penstock("answer", run, "yes") for run in ("silent", "nobody"))
    assert (silent.exit_code, nobody.exit_code) == (3, 3)
    assert "silent has asked nothing" in silent.stderr
    assert "there is no run 'nobody'" in nobody.stderr


def test_the_loser_of_a_race_is_told(penstock: Penstock, asking: HouseBeside) -> None:
    assert penstock("answer", "r", "one", "yes").exit_code == 0
    late = penstock("answer", "r", "one", "no")
    assert (late.exit_code, late.stdout) == (4, "")
    assert answers(asking, "r") == {"one": "yes"}


@pytest.mark.usefixtures("asking")
def test_nobody_is_asked_in_a_pipe(penstock: Penstock) -> None:
    result = penstock("answer", "r", stdin="")
    assert result.exit_code == 2
    assert "is missing" in result.stderr
