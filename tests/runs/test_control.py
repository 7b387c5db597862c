"""Cancel with a receipt, answers, words and reports."""

from __future__ import annotations

from dataclasses import replace

import pytest
import trio
import trio.testing

from fakes.cores import (
    FakeProcesses,
    Nothing,
    Seconds,
    fake_environment,
    kind,
    open_fake_core,
    request,
    types_of,
    wait_ended,
    whole_log,
)
from fakes.stores import inline_store
from penstock.pipeline import Run
from penstock.processes.process import Proof
from penstock.runs.core import Core
from penstock.words.api import BugReportRequest
from penstock.words.errors import (
    AlreadyAnswered,
    AskNotFound,
    Refused,
    RunNotFound,
    Terminal,
)
from penstock.words.events import CodeGenerated

Clock = trio.testing.MockClock


async def program(run: Run, inputs: Seconds) -> Nothing:
    """Run a fake program for as long as the inputs say."""
    await run.exec(["program", str(inputs.seconds)])
    return Nothing()


async def settle() -> None:
    await trio.testing.wait_all_tasks_blocked()


async def test_a_receipt_proves_that_scope_and_processes_are_gone(
    autojump_clock: Clock,
) -> None:
    """CN-01 TM-03"""
    processes = FakeProcesses()
    async with open_fake_core(
        kind("program", program), environment=fake_environment(processes)
    ) as core:
        await core.submitter.submit(request("program", "p", seconds=1000))
        await trio.sleep(1)
        assert processes.running == 1
        receipt = await core.control.cancel("p", "enough", wait=True)
        assert (receipt.outcome, receipt.method, receipt.survivors) == (
            "cancelled",
            "subreaper",
            (),
        )
        assert receipt.pids == (1001,)
        assert receipt.gone_at is not None
        assert receipt.gone_at >= receipt.requested_at
        assert processes.running == 0
        assert core.table.executions == {}
        again = await core.control.cancel("p", "again", wait=True)
        assert (again.outcome, again.method, again.pids) == (
            "already_terminal",
            "subreaper",
            (1001,),
        )


async def test_survivors_are_listed_and_never_called_gone(
    autojump_clock: Clock,
) -> None:
    """CN-06"""

    class LosingProcesses(FakeProcesses):
        def prove(self, pid: int) -> Proof:
            return replace(super().prove(pid), survivors="unknown")

    environment = fake_environment(LosingProcesses())
    async with open_fake_core(
        kind("program", program), environment=environment
    ) as core:
        await core.submitter.submit(request("program", "p", seconds=1000))
        await trio.sleep(1)
        receipt = await core.control.cancel("p", "enough", wait=True)
        assert receipt.survivors == "unknown"
        assert receipt.gone_at is None


async def test_a_queued_run_is_cancelled_without_ever_starting(
    autojump_clock: Clock,
) -> None:
    """CN-02"""
    async with open_fake_core(max_concurrent=1) as core:
        await core.submitter.submit(request(seconds=100))
        await core.submitter.submit(request(seconds=1, run_id="q"))
        receipt = await core.control.cancel("q", "no", wait=True)
        assert (receipt.outcome, receipt.method) == ("cancelled", "none")
        assert receipt.gone_at is not None
        assert await types_of(core, "q") == ["run.queued", "run.cancelled"]


async def test_cancel_before_submit_leaves_a_tombstone(autojump_clock: Clock) -> None:
    """CN-02: stop works before start."""
    async with open_fake_core() as core:
        receipt = await core.control.cancel("later", "never mind", wait=True)
        assert (receipt.outcome, receipt.gone_at) == ("tombstoned", None)
        submitted = await core.submitter.submit(request(seconds=1, run_id="later"))
        assert submitted.view.state == "cancelled"
        assert await types_of(core, "later") == ["run.queued", "run.cancelled"]


async def test_many_cancels_at_once_record_one_request_and_one_end(
    autojump_clock: Clock,
) -> None:
    """CN-03"""
    async with open_fake_core() as core:
        await core.submitter.submit(request(seconds=1000, run_id="a"))
        await settle()
        async with trio.open_nursery() as nursery:
            for _ in range(20):
                nursery.start_soon(cancel, core, "a")
        types = await types_of(core, "a")
        assert types.count("run.cancelled") == 1
        assert types.count("run.cancel_requested") <= 1


async def cancel(core: Core, run_id: str) -> None:
    receipt = await core.control.cancel(run_id, "x", wait=True)
    assert receipt.outcome in {"cancelled", "already_terminal"}


async def test_cancel_of_a_run_that_ends_in_the_same_moment_says_what_happened(
    autojump_clock: Clock,
) -> None:
    """CN-03 DT-02: the receipt agrees with the log."""
    async with open_fake_core() as core:
        for number in range(20):
            run_id = f"r{number}"
            await core.submitter.submit(request(seconds=1, run_id=run_id))
            began = trio.current_time()
            with trio.move_on_at(began + 1 + (number - 10) * 0.0001):
                await trio.sleep_forever()
            receipt = await core.control.cancel(run_id, "x", wait=True)
            await wait_ended(core, run_id)
            view = await core.reader.view(run_id)
            assert (receipt.outcome == "cancelled") == (view.state == "cancelled")


@pytest.mark.parametrize("run_id", ["", "a\0b", "x" * 201])
async def test_a_malformed_id_is_refused(run_id: str, autojump_clock: Clock) -> None:
    """EV-06 ER-02"""
    async with open_fake_core() as core:
        with pytest.raises(Refused):
            await core.control.cancel(run_id, "x", wait=True)


async def test_cancel_is_not_delayed_by_a_full_recorder(autojump_clock: Clock) -> None:
    """CN-04 QA-06: the scope is cancelled before anything is recorded."""

    async def chatter(run: Run, _inputs: Seconds) -> Nothing:
        async with trio.open_nursery() as nursery:
            for _ in range(20):
                nursery.start_soon(talk, run)
        return Nothing()

    async def talk(run: Run) -> None:
        while True:
            await run.log("x")

    chattering = kind("chatter", chatter)
    async with (
        inline_store(delay=lambda: 0.001) as store,
        open_fake_core(chattering, store=store, recorder_capacity=2) as core,
    ):
        await core.submitter.submit(request("chatter", "c"))
        await trio.sleep(0.1)
        with trio.fail_after(5):
            receipt = await core.control.cancel("c", "quiet", wait=True)
        assert receipt.gone_at is not None


async def test_cancel_of_a_run_that_will_not_unwind_says_so_after_the_sla(
    autojump_clock: Clock,
) -> None:
    """QA-06 CN-06"""

    async def stubborn(_run: Run, _inputs: Seconds) -> Nothing:
        with trio.CancelScope(shield=True):
            await trio.sleep(60)
        return Nothing()

    async with open_fake_core(kind("stubborn", stubborn)) as core:
        await core.submitter.submit(request("stubborn", "s"))
        await settle()
        began = trio.current_time()
        receipt = await core.control.cancel("s", "now", wait=True)
        assert trio.current_time() - began <= 5.1
        assert receipt.gone_at is None
        await wait_ended(core, "s")
        assert (await core.reader.view("s")).state == "cancelled"


async def test_an_answer_counts_once(autojump_clock: Clock) -> None:
    """WF-09 API-10 ER-04: from many tasks at once."""

    async def question(run: Run, _inputs: Seconds) -> Nothing:
        await run.log(await run.ask("colour", "Which?", ["red", "blue"]))
        return Nothing()

    wins: list[str] = []

    async def answer(core: Core, text: str) -> None:
        try:
            await core.control.answer("a", "colour", text, "tester")
            wins.append(text)
        except AlreadyAnswered:
            pass

    async with open_fake_core(kind("question", question)) as core:
        await core.submitter.submit(request("question", "a"))
        await settle()
        with pytest.raises(Refused):
            await core.control.answer("a", "colour", "green", "tester")
        with pytest.raises(AskNotFound):
            await core.control.answer("a", "shape", "round", "tester")
        async with trio.open_nursery() as nursery:
            for text in ("red", "blue") * 10:
                nursery.start_soon(answer, core, text)
        await wait_ended(core, "a")
        assert len(wins) == 1
        logs = [f.event for f in await whole_log(core.store) if f.type == "log"]
        assert [log.text for log in logs] == wins  # type: ignore[union-attr]


async def test_the_daemons_own_stream_is_no_run(autojump_clock: Clock) -> None:
    """TM-04"""
    async with open_fake_core() as core:
        with pytest.raises(RunNotFound):
            await core.reader.view("daemon")


async def test_an_intervention_is_recorded_until_the_end(autojump_clock: Clock) -> None:
    """API-10 CC-04"""
    async with open_fake_core() as core:
        await core.submitter.submit(request(seconds=5, run_id="a"))
        fact = await core.control.intervene("a", "faster")
        assert fact.type == "intervention.received"
        await wait_ended(core, "a")
        with pytest.raises(Terminal):
            await core.control.intervene("a", "too late")
        with pytest.raises(RunNotFound):
            await core.control.intervene("nobody", "hello")


async def test_a_bug_report_gets_its_verdict(autojump_clock: Clock) -> None:
    """OR-05 API-10 WF-08"""

    async def code(run: Run, inputs: Seconds) -> Nothing:
        await run.emit(CodeGenerated(code_hash="h1"), code_version=1)
        await run.emit(CodeGenerated(code_hash="h2"), code_version=2)
        await trio.sleep(inputs.seconds)
        return Nothing()

    async with open_fake_core(kind("code", code)) as core:
        await core.submitter.submit(request("code", "c", seconds=50))
        await trio.sleep(1)
        for version, code_hash, verdict in (
            (2, "h2", "valid"),
            (1, "h1", "stale"),
            (3, None, "invalid"),
        ):
            report = BugReportRequest(
                text="it breaks", version=version, code_hash=code_hash
            )
            fact, judgement = await core.control.report_bug("c", report)
            assert judgement.verdict == verdict
            assert fact.event.verdict == verdict  # type: ignore[union-attr]
        assert (await core.reader.view("c")).code_version == 2
