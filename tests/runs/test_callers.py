"""PT-07 PT-08: the environment and umask of whoever asked for a run, from the submit to its programs."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import Any

import pytest
import trio.testing

from fakes.cores import FakeProcesses, fake_environment
from penstock.kinds.command import KIND as COMMAND
from penstock.kinds.command import CommandInputs, CommandOutput
from penstock.kinds.loop.pipeline import KIND as LOOP
from penstock.log.filters import RunFilter
from penstock.pipeline import Kind, Log, Run
from penstock.testing import FakeProgram, InMemoryCore, open_test_core
from penstock.testing.faulty_store import open_memory_store
from penstock.words.errors import OtherInputs, Refused, TooLarge
from penstock.words.surroundings import Surroundings, pack_environ

Clock = trio.testing.MockClock

SECRET = "hunter2-of-the-caller"
#: A value of this shell's own also where a kind would set one.
SHELL = {
    "PATH": "/mine", "FOO": "1", "API_KEY": SECRET, "TERM": "xterm", "PYTHONUNBUFFERED": "0",
}  # fmt: skip


def shell(umask: int | None = 0o027, **environ: str) -> Surroundings:
    """What a shell with these variables sends."""
    return Surroundings(pack_environ({**SHELL, **environ}), umask)


def given(core: InMemoryCore, number: int = -1) -> dict[str, str]:
    """The environment of one of the programs that were started."""
    return dict(core.processes.environs[number])


def inputs(*argv: str, **others: Any) -> dict[str, Any]:
    return {"argv": list(argv or ("true",)), **others}


async def test_a_program_gets_the_callers_environment_and_umask(
    autojump_clock: Clock,
) -> None:
    """PT-08: `--env` wins over it, and bytes that are no text stay what they were."""
    async with open_test_core([COMMAND]) as core:
        odd = os.fsdecode(b"\xff\xfe")
        run_id = await core.submit(
            "command", inputs(env={"FOO": "2"}), surroundings=shell(ODD=odd)
        )
        await core.wait_ended(run_id)
        assert given(core) == {**SHELL, "ODD": odd, "FOO": "2"}
        assert core.processes.umasks == [0o027]


async def test_who_sends_no_environment_gets_the_daemons_few_variables(
    autojump_clock: Clock,
) -> None:
    """PT-08"""
    world = fake_environment()
    executor = replace(
        world.executor, environ={"PATH": "/daemon", "PENSTOCK_URL": "http://here"}
    )
    processes = executor.start_process
    assert isinstance(processes, FakeProcesses)
    async with open_test_core(
        [COMMAND], environment=replace(world, executor=executor)
    ) as core:
        await core.wait_ended(await core.submit("command", inputs()))
        assert processes.environs[0].items() >= executor.environ.items()
        assert processes.umasks == [None]
        nothing = Surroundings(pack_environ({"PENSTOCK_URL": "http://elsewhere"}))
        await core.wait_ended(
            await core.submit("command", inputs(), surroundings=nothing)
        )
        assert processes.environs[1].items() >= executor.environ.items(), "a PATH"
        await core.wait_ended(
            await core.submit("command", inputs(), surroundings=shell())
        )
        assert processes.environs[2] == {**SHELL, "PENSTOCK_URL": "http://here"}


async def test_where_only_listed_names_are_wanted_no_others_are_kept(
    autojump_clock: Clock,
) -> None:
    """PT-08: the umask is no secret."""
    async with open_test_core([COMMAND], env="listed") as core:
        run_id = await core.submit("command", inputs(), surroundings=shell())
        await core.wait_ended(run_id)
        assert given(core).items() >= {"PATH": "/mine", "TERM": "xterm"}.items()
        assert not given(core).keys() & {"FOO", "API_KEY"}
        assert core.processes.umasks == [0o027]
        kept = await core.core.store.surroundings(run_id)
        assert kept is not None
        assert SECRET.encode() not in (kept.environ or b"")


async def test_another_terminal_asks_for_the_same_run(autojump_clock: Clock) -> None:
    """PT-07: what the first one had holds."""
    async with open_test_core([COMMAND]) as core:
        core.processes.programs["slow"] = FakeProgram(seconds=10)
        for term in ("xterm", "dumb"):
            await core.submit(
                "command",
                inputs("slow"),
                run_id="a",
                surroundings=shell(TERM=term, umask=0o22),
            )
        await core.submit("command", inputs("slow"), run_id="a")
        with pytest.raises(OtherInputs):
            await core.submit(
                "command", inputs("slow", env={"TERM": "dumb"}), run_id="a"
            )
        await core.wait_ended("a")
        assert [e["TERM"] for e in core.processes.environs] == ["xterm"]


async def test_children_have_what_their_parent_has(autojump_clock: Clock) -> None:
    """PT-08: the turns of a loop, and what it looks at."""
    async with open_test_core([COMMAND, LOOP]) as core:
        core.processes.programs["/bin/sh"] = FakeProgram.failing()
        ends = {"until": "ready", "act": "work", "max_turns": 1, "keep_going": True}
        run_id = await core.submit("loop", ends, surroundings=shell())
        await core.wait_ended(run_id)
        assert len(core.processes.environs) == 3
        assert all(environ == SHELL for environ in core.processes.environs)
        assert core.processes.umasks == [0o027] * 3


async def test_a_retry_has_what_the_run_had(autojump_clock: Clock) -> None:
    """PT-08: by whomever it is asked for, and its own retry too."""
    async with open_test_core([COMMAND]) as core:
        run_id = await core.submit("command", inputs(), surroundings=shell())
        for _ in range(2):
            await core.wait_ended(run_id)
            run_id = (await core.core.submitter.retry(run_id)).view.run_id
        await core.wait_ended(run_id)
        assert core.processes.environs == [SHELL] * 3
        assert core.processes.umasks == [0o027] * 3


async def test_the_next_life_of_the_daemon_still_has_it(autojump_clock: Clock) -> None:
    """PT-08 RS-04"""
    async with open_memory_store() as store:
        async with open_test_core([COMMAND], store=store) as core:
            core.processes.programs["slow"] = FakeProgram.hanging()
            await core.submit(
                "command",
                inputs("slow"),
                run_id="a",
                on_restart="requeue",
                surroundings=shell(),
            )
            await core.core.bus.wait_published("a")
        async with open_test_core([COMMAND], store=store, life="life-2") as core:
            await core.wait_ended("a")
            assert core.processes.environs == [SHELL]


async def clean(run: Run, _inputs: CommandInputs) -> CommandOutput:
    """A kind whose program is its own, and looks at what its caller has."""
    assert (await run.environ())["API_KEY"] == SECRET
    await run.exec(["reader"], env={"MINE": "1"}, clean=True)
    return CommandOutput(exit_code=0)


async def test_a_program_that_is_a_kinds_own_gets_few_of_the_callers_variables(
    autojump_clock: Clock,
) -> None:
    """PT-08: what reads strangers' files needs no secret of its user."""
    kind = Kind("clean", "clean", CommandInputs, CommandOutput, clean)
    async with open_test_core([kind]) as core:
        run_id = await core.submit("clean", inputs(), surroundings=shell())
        assert (await core.wait_ended(run_id)).state == "completed"
        assert given(core) == {"PATH": "/mine", "TERM": "xterm", "MINE": "1"}
        assert core.processes.umasks == [None]


async def test_a_run_whose_inputs_name_no_folder_runs_in_its_callers(
    autojump_clock: Clock,
) -> None:
    """PT-08: it is an input then, as if it had been named; a kind that has none is left alone."""
    async with open_test_core([COMMAND, LOOP]) as core:
        around = Surroundings(pack_environ(SHELL), cwd="/my/folder")
        said = {"cwd": "/named"}
        for asked, expected in ((inputs(), "/my/folder"), (inputs(**said), "/named")):
            run_id = await core.submit("command", asked, surroundings=around)
            assert (await core.wait_ended(run_id)).inputs["cwd"] == expected


async def test_too_large_an_environment_and_one_without_names_are_refused(
    autojump_clock: Clock,
) -> None:
    """PT-08 BP-04: nothing is recorded."""
    async with open_test_core([COMMAND], max_environment_bytes=100) as core:
        before = core.core.bus.head
        with pytest.raises(TooLarge, match=r"'BIG' \(200 bytes\)"):
            await core.submit("command", inputs(), surroundings=shell(BIG="x" * 200))
        with pytest.raises(Refused, match="has no name"):
            await core.submit("command", inputs(), surroundings=Surroundings(b"=x\0"))
        assert core.core.bus.head == before


async def test_no_fact_and_no_reply_tells_of_it(autojump_clock: Clock) -> None:
    """PT-08: not even the names."""
    async with open_test_core([COMMAND]) as core:
        run_id = await core.submit("command", inputs(), surroundings=shell())
        view = await core.wait_ended(run_id)
        reply = await core.core.reader.reply(run_id)
        listed = await core.core.reader.list(RunFilter())
        row = await core.core.store.run(run_id)
        told = repr(
            (await core.core.store.read_all(), view, reply, listed, row)
        ) + "".join(str(fact.wire()) for fact in await core.facts(run_id))
        assert SECRET not in told
        assert "API_KEY" not in told


async def test_a_run_whose_environment_is_not_in_its_log_says_so(
    autojump_clock: Clock,
) -> None:
    """PT-08: an import has none; the umask is there."""
    async with open_memory_store() as store:
        async with open_test_core([COMMAND], store=store) as core:
            run_id = await core.submit("command", inputs(), surroundings=shell())
            await core.wait_ended(run_id)
            # As an import leaves it.
            store._db.execute("UPDATE callers SET environment = NULL")
            again = (await core.core.submitter.retry(run_id)).view.run_id
            view = await core.wait_ended(again)
            assert view.state == "completed"
            logs = [f.event for f in await core.facts(again)]
            texts = [log.text or "" for log in logs if isinstance(log, Log)]
            [told] = [text for text in texts if "environment" in text]
            assert "an import brings none" in told
            assert not core.processes.environs[1].keys() & SHELL.keys() - {
                "PYTHONUNBUFFERED"
            }
            assert core.processes.umasks[1] == 0o027
