"""PT-02: programs that a pipeline talks with while they run."""

from __future__ import annotations

import sys
import tracemalloc
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
import trio
import trio.testing

from fakes.cores import Nothing, Seconds, kind
from fakes.kind_runs import Ended, RealPrograms, open_kinds, run_in
from penstock.pipeline import COMPLETED, NobodyReads, ProcessFailed, Run
from penstock.processes.liveness import living_since
from penstock.testing import FakeProcesses, FakeProgram, open_test_core
from penstock.words.events import Log, ProcessExited, ProcessStarted

real = pytest.mark.processes
MIB = 1024 * 1024
#: As many bytes as no pipe and no buffer of ours holds.
MUCH = 64 * MIB


async def run_block(home: Path, block: Callable[[Run], Awaitable[Any]]) -> Ended:
    """A run whose pipeline does this with real programs, to its end."""

    async def pipeline(run: Run, _inputs: Seconds) -> Nothing:
        await block(run)
        return Nothing()

    talk = kind("talk", pipeline)
    with trio.fail_after(60):
        async with open_kinds(talk, home=home, programs=RealPrograms()) as core:
            return await run_in(core, talk, {})


async def receive_all(stream: trio.abc.ReceiveStream) -> bytes:
    return b"".join([piece async for piece in stream])


def python(code: str) -> list[str]:
    return [sys.executable, "-I", "-S", "-c", code]


@real
async def test_a_pipeline_talks_with_a_program(tmp_path: Path) -> None:
    """PT-02: line by line, both ways, with its start, its log and its proof on record."""
    said: list[bytes] = []

    async def talk(run: Run) -> None:
        script = (
            'while read word; do echo "$word again"; echo "heard" >&2; done; exit 3'
        )
        async with run.process(["sh", "-c", script], check=False) as program:
            for word in (b"one\n", b"two\n"):
                await program.stdin.send_all(word)
                said.append(await program.stdout.receive_some())
        assert program.ended is not None
        assert program.ended.exit_code == 3

    ended = await run_block(tmp_path, talk)
    assert ended.view.state == COMPLETED
    assert said == [b"one again\n", b"two again\n"]
    assert len(ended.of(ProcessStarted)) == 1
    [exited] = ended.of(ProcessExited)
    assert (exited.exit_code, exited.survivors) == (3, ())
    logs = ended.of(Log)
    assert {log.stream for log in logs} == {"stderr"}
    assert "again" not in "".join(log.text or "" for log in logs)


@real
async def test_a_program_that_never_reads_blocks_its_writer_alone(
    tmp_path: Path,
) -> None:
    """PT-02: no more than a pipe holds is taken from the writer."""
    sent = 0

    async def talk(run: Run) -> None:
        nonlocal sent
        async with run.process(["sleep", "1000"], check=False) as program:
            with trio.move_on_after(0.5):
                while True:
                    await program.stdin.send_all(bytes(4096))
                    sent += 4096
            raise KeyError("enough")

    ended = await run_block(tmp_path, talk)
    assert ended.view.error == "KeyError: 'enough'"
    assert 0 < sent <= MIB
    [started] = ended.of(ProcessStarted)
    assert living_since(started.pid) is None


@real
async def test_much_goes_through_in_flat_memory(tmp_path: Path) -> None:
    """PT-02"""
    received = 0

    async def talk(run: Run) -> None:
        nonlocal received
        async with run.process(["cat"]) as program, trio.open_nursery() as nursery:

            @nursery.start_soon
            async def _() -> None:
                for _ in range(MUCH // MIB):
                    await program.stdin.send_all(bytes(MIB))
                await program.stdin.aclose()

            async for piece in program.stdout:
                received += len(piece)

    tracemalloc.start()
    ended = await run_block(tmp_path, talk)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert ended.view.state == COMPLETED, ended.view.error
    assert received == MUCH
    assert peak < 16 * MIB


@real
@pytest.mark.parametrize("in_a_task", [False, True])
async def test_a_program_that_ends_while_it_is_written_to_fails_nothing(
    tmp_path: Path, *, in_a_task: bool
) -> None:
    """PT-02: what counts is how the program ended."""
    told: list[Exception] = []

    async def write(program: Any) -> None:
        try:
            while True:
                await program.stdin.send_all(bytes(MIB))
        except NobodyReads as error:
            told.append(error)
            raise

    async def talk(run: Run) -> None:
        async with run.process(["head", "-c", "1"]) as program:
            if in_a_task:
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(write, program)
                    nursery.start_soon(receive_all, program.stdout)
            else:
                await write(program)

    ended = await run_block(tmp_path, talk)
    assert ended.view.state == COMPLETED, ended.view.error
    assert len(told) == 1


@real
async def test_the_end_of_a_program_that_takes_no_more_is_told_all_the_same(
    tmp_path: Path,
) -> None:
    async def talk(run: Run) -> None:
        with pytest.raises(ProcessFailed, match="exit status 4"):
            async with run.process(["sh", "-c", "exit 4"]) as program:
                while True:
                    await program.stdin.send_all(bytes(MIB))

    ended = await run_block(tmp_path, talk)
    assert ended.view.state == COMPLETED, ended.view.error


@real
async def test_a_program_may_close_its_output_and_go_on(tmp_path: Path) -> None:
    """PT-02: that is the end of its output and not its own."""
    still = False

    async def talk(run: Run) -> None:
        nonlocal still
        script = "echo all; exec >&-; read word; echo got $word >&2"
        async with run.process(["sh", "-c", script]) as program:
            assert await receive_all(program.stdout) == b"all\n"
            still = program.ended is None
            await program.stdin.send_all(b"word\n")

    ended = await run_block(tmp_path, talk)
    assert ended.view.state == COMPLETED, ended.view.error
    assert still
    assert "".join(log.text or "" for log in ended.of(Log)) == "got word\n"


@real
async def test_output_that_nobody_takes_any_more_is_dropped_to_the_end(
    tmp_path: Path,
) -> None:
    """PT-02: leaving the block is no reason for a program to fail."""
    code = (
        "import sys; print('x' * 5_000_000); sys.stdin.read(); print('y' * 5_000_000)"
    )

    async def talk(run: Run) -> None:
        async with run.process(python(code)) as program:
            await program.stdin.send_all(b"something")

    ended = await run_block(tmp_path, talk)
    assert ended.view.state == COMPLETED, ended.view.error


@real
async def test_closing_the_output_tells_the_program(tmp_path: Path) -> None:
    """PT-02: as a pipe does; one that would write for ever ends."""

    async def talk(run: Run) -> None:
        async with run.process(["yes"], check=False) as program:
            await program.stdout.receive_some()
            await program.stdout.aclose()
        assert program.ended is not None
        assert program.ended.signal == 13

    ended = await run_block(tmp_path, talk)
    assert ended.view.state == COMPLETED, ended.view.error


@real
async def test_a_block_that_fails_ends_the_whole_tree(tmp_path: Path) -> None:
    """PT-02 SY-03: containment is that of `exec`."""
    pids: list[int] = []

    async def talk(run: Run) -> None:
        script = "sleep 1000 & echo $!; wait"
        async with run.process(["sh", "-c", script]) as program:
            pids.append(int(await program.stdout.receive_some()))
            raise KeyError("mine")

    ended = await run_block(tmp_path, talk)
    assert ended.view.error == "KeyError: 'mine'", "and in no group"
    assert living_since(pids[0]) is None


@real
async def test_a_program_that_is_not_there_is_refused_in_a_sentence(
    tmp_path: Path,
) -> None:
    """PT-02: and a block that waits for it is not left to wait."""

    async def talk(run: Run) -> None:
        async with run.process(["no-such-program-anywhere"]):
            await trio.sleep_forever()

    ended = await run_block(tmp_path, talk)
    assert "'no-such-program-anywhere' cannot be executed" in (ended.view.error or "")


async def test_a_cancel_ends_a_program_that_is_talked_with(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """PT-02 CN-01"""
    processes = FakeProcesses({"deaf": FakeProgram.hanging()})

    async def pipeline(run: Run, _inputs: Seconds) -> Nothing:
        async with run.process(["deaf"]) as program:
            await program.stdin.send_all(b"hello")
        return Nothing()

    talk = kind("talk", pipeline)
    async with open_test_core([talk], processes=processes) as core:
        run_id = await core.submit("talk", {})
        await trio.sleep(1)
        assert processes.running
        await core.cancel(run_id)
        view = await core.wait_ended(run_id)
    assert view.state == "cancelled"
    assert not processes.running


async def test_a_fake_program_whose_output_is_closed_ends(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """PT-02"""

    async def pipeline(run: Run, _inputs: Seconds) -> Nothing:
        async with run.process(["words"]) as program:
            await program.stdout.aclose()
        return Nothing()

    words = FakeProcesses({"words": FakeProgram(stdout=b"a", seconds=1e6)})
    talk = kind("talk", pipeline)
    async with open_test_core([talk], processes=words) as core:
        ended = await core.run("talk", {})
    assert ended.state == COMPLETED, ended.error


async def test_a_fake_program_may_be_talked_with(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """PT-02: what docs/pipelines.md promises of tests."""
    heard: list[bytes] = []

    async def pipeline(run: Run, _inputs: Seconds) -> Nothing:
        async with run.process(["parrot"]) as program:
            for word in (b"one", b"two"):
                await program.stdin.send_all(word)
                heard.append(await program.stdout.receive_some())
        return Nothing()

    parrot = FakeProcesses({"parrot": FakeProgram.echoing()})
    talk = kind("talk", pipeline)
    async with open_test_core([talk], processes=parrot) as core:
        ended = await core.run("talk", {})
    assert ended.state == COMPLETED, ended.error
    assert heard == [b"one", b"two"]


async def test_a_cancelled_block_may_take_leave_of_its_program(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """PT-02: within its patience the program lives and answers, and what it answers is heard."""
    heard: list[bytes] = []

    async def talk(run: Run, _inputs: Seconds) -> Nothing:
        async with run.process(["echo"], patience=2) as program:
            try:
                await trio.sleep_forever()
            finally:
                with trio.move_on_after(1, shield=True):
                    await program.stdin.send_all(b"goodbye\n")
                    heard.append(await program.stdout.receive_some())
        return Nothing()

    processes = FakeProcesses({"echo": FakeProgram.echoing()})
    async with open_test_core([kind("talk", talk)], processes=processes) as core:
        run_id = await core.submit("talk", {})
        await trio.sleep(1)
        await core.cancel(run_id)
        assert (await core.view(run_id)).state == "cancelled"
    assert heard == [b"goodbye\n"]
    assert processes.running == 0


async def test_a_block_that_does_not_end_has_its_program_ended(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """PT-02: when the patience is over, whatever its pipeline does."""
    ended_after: list[float] = []

    async def talk(run: Run, _inputs: Seconds) -> Nothing:
        async with run.process(["sleeper"], patience=2) as program:
            try:
                await trio.sleep_forever()
            finally:
                began = trio.current_time()
                with trio.CancelScope(shield=True):
                    await program.stdout.receive_some()
                    ended_after.append(trio.current_time() - began)
        return Nothing()

    processes = FakeProcesses({"sleeper": FakeProgram.hanging()})
    async with open_test_core([kind("talk", talk)], processes=processes) as core:
        run_id = await core.submit("talk", {})
        await trio.sleep(1)
        with trio.fail_after(60):
            await core.cancel(run_id)
    assert len(ended_after) == 1
    assert 2 <= ended_after[0] < 3
    assert processes.running == 0
