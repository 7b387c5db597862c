"""SC-05, ER-02: the kind `command`, with a run in memory and real, harmless programs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import trio

from fakes.pipeline_run import FakeRun
from penstock.kinds.command import KIND, CommandInputs, CommandOutput
from penstock.pipeline import Executed, end_in_words
from penstock.words.errors import ProcessFailed, Refused


async def run(tmp_path: Path, **inputs: Any) -> CommandOutput:
    with trio.fail_after(30):
        output = await KIND.pipeline(FakeRun(tmp_path), KIND.parse(inputs))
    assert isinstance(output, CommandOutput)
    return output


async def test_a_program_that_succeeds_completes_the_run(tmp_path: Path) -> None:
    assert await run(tmp_path, argv=["true"]) == CommandOutput(exit_code=0)


async def test_a_shell_line_is_given_to_a_shell(tmp_path: Path) -> None:
    assert (await run(tmp_path, shell="true | true")).exit_code == 0


async def test_a_status_that_is_not_expected_fails_the_run_and_is_told(
    tmp_path: Path,
) -> None:
    """SC-05"""
    with pytest.raises(ProcessFailed, match="exit status 3") as failed:
        await run(tmp_path, shell="exit 3")
    assert failed.value.facts == {"exit_code": 3, "signal": None}


async def test_an_expected_status_completes_the_run(tmp_path: Path) -> None:
    assert (await run(tmp_path, shell="exit 3", exit_codes_ok=[0, 3])).exit_code == 3


@pytest.mark.parametrize(
    ("exit_code", "signal", "sentence"),
    [
        (1, None, "exit status 1"),
        (None, 9, "killed by SIGKILL"),
        (None, 40, "killed by signal 40"),
        (None, None, "unknown"),
    ],
)
def test_an_ending_is_told_in_words(
    exit_code: int | None, signal: int | None, sentence: str
) -> None:
    assert sentence in end_in_words(Executed(exit_code, signal))


@pytest.mark.parametrize(
    ("inputs", "field"),
    [
        ({}, "inputs"),
        ({"argv": ["a"], "shell": "a"}, "inputs"),
        ({"argv": []}, "inputs.argv"),
        ({"argv": ["a\0b"]}, "inputs.argv.0"),
        ({"argv": "make test"}, "inputs.argv"),
        ({"shell": ""}, "inputs.shell"),
        ({"argv": ["a"], "cwd": "relative"}, "inputs.cwd"),
        ({"argv": ["a"], "env": {"A=B": "c"}}, "inputs.env.A=B"),
        ({"argv": ["a"], "env": {"A": "b\0"}}, "inputs.env.A"),
        ({"argv": ["a"], "exit_codes_ok": [256]}, "inputs.exit_codes_ok.0"),
        ({"argv": ["a"], "arguments": []}, "inputs.arguments"),
    ],
)
def test_bad_inputs_are_refused_with_their_field(
    inputs: dict[str, Any], field: str
) -> None:
    """ER-02"""
    with pytest.raises(Refused) as refused:
        KIND.parse(inputs)
    assert refused.value.field.startswith(field)
    # Pydantic's own words are no sentence of ours.
    assert "Value error" not in str(refused.value)


def test_values_of_the_environment_are_not_shown() -> None:
    inputs = CommandInputs(argv=["a"], env={"TOKEN": "secret", "A": "hidden"})
    assert inputs.shown()["env"] == {"A": "…", "TOKEN": "…"}
    assert "secret" not in str(inputs.shown())


def test_a_restart_fails_a_command() -> None:
    """Nobody but its author knows whether a command may be done twice."""
    assert KIND.on_restart == "fail"
