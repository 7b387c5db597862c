"""SC-05, ER-02: the kind `command`, with real, harmless programs on a core in memory."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import trio
import trio.testing

from fakes.kind_runs import Ended, RealPrograms, run_kind
from penstock.kinds.command import KIND, CommandInputs
from penstock.pipeline import Executed, end_in_words
from penstock.processes.process import Proof
from penstock.runs.kind import digest_inputs, encode_inputs
from penstock.testing import (
    FakeProcesses,
    FakeProgram,
    open_memory_store,
    open_test_core,
)
from penstock.words.api import SubmitRequest
from penstock.words.errors import Refused
from penstock.words.events import Log, Progress, RunFailed
from penstock.words.run_exit import RunExit

pytestmark = pytest.mark.processes


async def run(tmp_path: Path, **inputs: Any) -> Ended:
    return await run_kind(KIND, inputs, tmp_path, programs=RealPrograms())


async def test_a_program_that_succeeds_completes_the_run(tmp_path: Path) -> None:
    ended = await run(tmp_path, argv=["true"])
    assert (ended.view.state, ended.view.result) == ("completed", {"exit_code": 0})


async def test_a_shell_line_is_given_to_a_shell(tmp_path: Path) -> None:
    ended = await run(tmp_path, shell="true | true")
    assert ended.view.result == {"exit_code": 0}


async def test_a_status_that_is_not_expected_fails_the_run_and_is_told(
    tmp_path: Path,
) -> None:
    """SC-05"""
    [failed] = (await run(tmp_path, shell="exit 3")).of(RunFailed)
    assert "exit status 3" in failed.error
    assert failed.details == {"exit_code": 3, "signal": None}


async def test_an_expected_status_completes_the_run(tmp_path: Path) -> None:
    ended = await run(tmp_path, shell="exit 3", exit_codes_ok=[0, 3])
    assert ended.view.result == {"exit_code": 3}


@pytest.mark.parametrize("on_restart", ["requeue", "fail", "ask"])
async def test_a_run_whose_input_a_restart_lost_is_not_repeated_silently(
    autojump_clock: trio.testing.MockClock, on_restart: Any
) -> None:
    """PT-02: what was sent is not kept; it fails, or a person decides, as its `on_restart` says."""
    deaf = FakeProcesses({"deaf": FakeProgram.hanging(), "calm": FakeProgram()})
    async with open_memory_store() as store:
        async with open_test_core([KIND], store=store, processes=deaf) as core:
            inputs = {"argv": ["deaf"], "stdin": "open"}
            request = SubmitRequest(
                kind="command", inputs=inputs, on_restart=on_restart
            )
            run_id = (await core.core.submitter.submit(request)).view.run_id
            await trio.sleep(1)
        deaf.programs["deaf"] = FakeProgram()
        async with open_test_core(
            [KIND], store=store, processes=deaf, life="life-2"
        ) as core:
            if on_restart == "ask":
                await core.wait_asked(run_id)
                await core.answer(run_id, "daemon:restart", "requeue")
            ended = await core.wait_ended(run_id)
    if on_restart == "ask":
        assert ended.state == "completed", "a person knows what can be sent again"
    else:
        assert ended.state == "failed"
        why = "is not kept" if on_restart == "requeue" else "not to be repeated"
        assert why in (ended.error or "")
    assert len(deaf.started) == 1 + (on_restart == "ask")


class EndedByLease(FakeProcesses):
    """Programs that heed TERM and say that all is well."""

    def prove(self, pid: int) -> Proof:
        return replace(super().prove(pid), by_lease=True)


@pytest.mark.parametrize("code", [0, 3])
async def test_a_program_that_the_lease_ended_fails_its_run_whatever_it_says(
    autojump_clock: trio.testing.MockClock, code: int
) -> None:
    """MB-04: it was not done; the failure is the daemon's, and is no program's exit code."""
    programs = EndedByLease({"calm": FakeProgram(exit_code=code)})
    async with open_test_core([KIND], processes=programs) as core:
        run_id = await core.submit("command", {"argv": ["calm"]})
        ended = await core.wait_ended(run_id)
    assert ended.state == "failed"
    assert "ended by the lease" in (ended.error or "")
    assert ended.exit == RunExit(125, "penstock")


def test_inputs_that_say_nothing_new_are_those_of_older_daemons() -> None:
    """PT-02: the same id and inputs are the same run, over an upgrade too."""
    said = KIND.parse({"argv": ["true"], "stdin": None})
    assert "stdin" not in said.model_dump(mode="json")
    assert KIND.parse({"argv": ["true"], "stdin": "open"}).takes_input()


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


async def test_both_streams_can_be_one_in_the_order_in_which_they_were_written(
    tmp_path: Path,
) -> None:
    """PT-06: which two pipes cannot tell."""
    shell = "for i in 1 2 3 4 5 6 7 8; do echo $i; echo $i >&2; done"
    logs = (await run(tmp_path, shell=shell, stderr="stdout")).of(Log)
    assert {log.stream for log in logs} == {"stdout"}
    written = "".join(f"{n}\n{n}\n" for n in range(1, 9))
    assert "".join(log.text or "" for log in logs) == written


def test_where_its_streams_go_makes_it_no_other_run() -> None:
    """PT-06: a script that keeps its log by `2>&1` asks for the run that was there without."""
    apart = CommandInputs(argv=["a"])
    joined = CommandInputs(argv=["a"], stderr="stdout")
    digests = {
        digest_inputs(KIND.name, encode_inputs(inputs), inputs.manner)
        for inputs in (apart, joined)
    }
    assert len(digests) == 1
    assert joined.shown()["stderr"] == "stdout"
    # So it is with what is sent to it, but not with a terminal.
    fed, terminal = (
        CommandInputs(argv=["a"], stdin=stdin) for stdin in ("open", "tty")
    )
    digests |= {digest_inputs(KIND.name, encode_inputs(fed), fed.manner)}
    assert len(digests) == 1
    digests |= {digest_inputs(KIND.name, encode_inputs(terminal), terminal.manner)}
    assert len(digests) == 2
    # What older daemons recorded of the same inputs is the same.
    assert "stderr" not in apart.shown()


def test_a_restart_fails_a_command() -> None:
    """Nobody but its author knows whether a command may be done twice."""
    assert KIND.on_restart == "fail"


@pytest.mark.parametrize(
    ("env", "found"),
    [({}, "1"), ({"PYTHONUNBUFFERED": ""}, ""), ({"PYTHONUNBUFFERED": "x"}, "x")],
)
async def test_what_python_prints_is_seen_as_it_comes_unless_the_caller_says_otherwise(
    tmp_path: Path, env: dict[str, str], found: str
) -> None:
    """PT-08: and it is no part of what the run was asked for."""
    ended = await run(tmp_path, shell="echo [$PYTHONUNBUFFERED]", env=env)
    assert "".join(log.text or "" for log in ended.of(Log)) == f"[{found}]\n"
    assert ended.view.inputs["env"] == dict.fromkeys(env, "…")


@pytest.mark.parametrize(
    ("program", "expected"),
    [
        ("no-such-program", (127, "penstock")),
        ("", (127, "penstock")),
        ("not-executable", (126, "penstock")),
        (".", (126, "penstock")),
    ],
)
async def test_a_program_that_cannot_be_started_ends_as_in_a_shell(
    tmp_path: Path, program: str, expected: tuple[int, str]
) -> None:
    """PT-01"""
    (tmp_path / "not-executable").write_text("#!/bin/sh\n")
    known = program in ("no-such-program", "")
    word = program if known else str(tmp_path / program)
    ended = (await run(tmp_path, argv=[word])).view.exit
    assert ended is not None
    assert (ended.code, ended.origin) == expected


@pytest.mark.parametrize("by_path", [True, False])
async def test_a_script_that_names_no_interpreter_is_the_shells(
    tmp_path: Path, by_path: bool
) -> None:
    """PT-01: as it is by `env`, `timeout` and every shell."""
    script = tmp_path / "no-other-script"
    script.write_text('echo "$1" "$#"; exit 3\n')
    script.chmod(0o700)
    argv = [str(script) if by_path else script.name, "a b", "c"]
    env = {"PATH": f"/no/such/folder:{tmp_path}:/usr/bin:/bin"}
    ended = await run(tmp_path, argv=argv, env=env)
    assert [log.text for log in ended.of(Log)] == ["a b 2\n"]
    assert ended.view.exit == RunExit(3, "program")


async def test_what_a_program_left_behind_is_counted(tmp_path: Path) -> None:
    """PT-08"""
    ended = await run(tmp_path, shell="sleep 60 & sleep 60 & exit 3")
    assert (ended.view.leftover, ended.view.exit) == (2, RunExit(3, "program"))


async def test_what_the_program_prints_of_its_progress_is_that_of_the_run(
    tmp_path: Path,
) -> None:
    """PT-06: it gives none itself."""
    ended = await run(tmp_path, shell="printf '[ 42%%] Building\\n'; read line; exit 3")
    assert [fact.fraction for fact in ended.of(Progress)] == [0.42]
    assert ended.view.progress == 0.42
