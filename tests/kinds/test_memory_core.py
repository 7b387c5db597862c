"""`penstock.testing`: what the author of a plug-in is promised."""

from __future__ import annotations

from pathlib import Path

import pytest
import trio
import trio.testing

from penstock.pipeline import Inputs, Kind, Output, Run
from penstock.testing import (
    FakeProcesses,
    FakeProgram,
    open_memory_store,
    open_test_core,
    run_in_virtual_time,
)
from penstock.words.errors import Refused

Clock = trio.testing.MockClock


class Words(Inputs):
    argv: tuple[str, ...] = ()
    ask: bool = False


class Said(Output):
    text: str = ""


async def perform(run: Run, inputs: Words) -> Said:
    """Ask if it is to, then execute what it is given."""
    said = await run.ask("name", "Who?", ("you", "me")) if inputs.ask else ""
    if inputs.argv:
        done = await run.exec(inputs.argv, capture=True)
        said += done.stdout.decode()
    await run.milestone("said", text=said)
    return Said(text=said)


KIND = Kind("perform", "Perform", Words, Said, perform)


async def test_a_run_is_taken_to_its_end(autojump_clock: Clock) -> None:
    """WF: the real core, with its result and its facts, in no time."""
    processes = FakeProcesses({"greet": FakeProgram(stdout=b"hello", seconds=3600)})
    async with open_test_core([KIND], processes=processes) as core:
        ended = await core.run("perform", {"argv": ["greet", "you"]})
        facts = await core.facts(ended.run_id)
    assert (ended.state, ended.result) == ("completed", {"text": "hello"})
    assert [fact.type for fact in facts] == [
        "run.queued", "run.started", "process.started", "process.exited", "milestone",
        "run.completed",
    ]  # fmt: skip
    assert processes.started == [("greet", "you")]
    assert processes.running == 0


async def test_a_question_is_answered_as_a_person_does(autojump_clock: Clock) -> None:
    """WF: the test waits until it is asked, and a wrong word is refused."""
    async with open_test_core([KIND]) as core:
        run_id = await core.submit("perform", {"ask": True})
        ask = await core.wait_asked(run_id)
        assert (ask.question, ask.choices) == ("Who?", ("you", "me"))
        with pytest.raises(Refused):
            await core.answer(run_id, "name", "nobody")
        await core.answer(run_id, "name", "me")
        assert (await core.wait_ended(run_id)).result == {"text": "me"}


async def test_who_waits_for_a_question_is_told_that_the_run_ended_without(
    autojump_clock: Clock,
) -> None:
    """WF"""
    async with open_test_core([KIND]) as core:
        run_id = await core.submit("perform")
        with pytest.raises(LookupError, match="completed and did not ask"):
            await core.wait_asked(run_id)


@pytest.mark.parametrize(
    ("program", "told"),
    [
        (FakeProgram.failing(3), "exit status 3"),
        (FakeProgram.killed(9), "killed by SIGKILL"),
        (FakeProgram.lost(), "its supervisor was lost"),
    ],
    ids=["failing", "killed", "lost"],
)
async def test_programs_fail_as_they_are_told_to(
    autojump_clock: Clock, program: FakeProgram, told: str
) -> None:
    """WF: fakes are named by their fault."""
    processes = FakeProcesses({"tool": program})
    async with open_test_core([KIND], processes=processes) as core:
        ended = await core.run("perform", {"argv": ["tool"]})
    assert ended.state == "failed"
    assert told in (ended.error or "")


async def test_a_program_that_hangs_is_ended_by_a_cancel_with_proof(
    autojump_clock: Clock,
) -> None:
    """CN-06: and one that leaves something behind is not called gone."""
    processes = FakeProcesses(
        {"calm": FakeProgram.hanging(), "wild": FakeProgram.surviving(77)}
    )
    async with open_test_core([KIND], processes=processes) as core:
        receipts = {}
        for tool in ("calm", "wild"):
            run_id = await core.submit("perform", {"argv": [tool]})
            await trio.sleep(60)
            receipts[tool] = await core.cancel(run_id)
    assert receipts["calm"].gone_at is not None
    assert receipts["wild"].survivors == (77,)
    assert receipts["wild"].gone_at is None


async def test_a_store_that_two_cores_share_in_turn_is_a_restart(
    autojump_clock: Clock,
) -> None:
    """WF: what a restart interrupts goes on in the next life."""
    async with open_memory_store() as store:
        async with open_test_core([KIND], store=store) as core:
            run_id = await core.submit("perform", {"argv": ["sleep", "60"]})
            await trio.sleep(1)
        async with open_test_core([KIND], store=store, life="life-2") as core:
            ended = await core.wait_ended(run_id)
    assert (ended.state, ended.attempt) == ("completed", 2)


async def test_workspaces_are_real_where_a_folder_is_given(tmp_path: Path) -> None:
    """WF: for kinds that work with files, on the real clock."""

    async def write(run: Run, _inputs: Words) -> Said:
        folder = trio.Path(await run.workspace())
        await (folder / "note").write_text("kept")
        return Said()

    kind = Kind("write", "Write", Words, Said, write)
    with trio.fail_after(30):
        async with open_test_core([kind], workspaces=tmp_path) as core:
            ended = await core.run("write")
    assert (tmp_path / ended.run_id / "note").read_text() == "kept"


def test_virtual_time_needs_no_plugin_of_pytest() -> None:
    """WF: an hour in no time, in the same order each time."""

    async def order() -> list[str]:
        said: list[str] = []

        async def say(name: str) -> None:
            await trio.sleep(3600)
            said.append(name)

        async with trio.open_nursery() as nursery:
            for name in "abcdefgh":
                nursery.start_soon(say, name)
        return said

    assert run_in_virtual_time(order, seed=5) == run_in_virtual_time(order, seed=5)
