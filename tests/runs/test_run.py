"""What a pipeline may do: facts, steps, questions, children, artifacts."""

from __future__ import annotations

import hashlib
from contextlib import nullcontext
from typing import Any
from uuid import UUID

import pytest
import trio
import trio.testing

from fakes.cores import (
    Nothing,
    Seconds,
    kind,
    open_fake_core,
    request,
    types_of,
    wait_ended,
    whole_log,
)
from fakes.stores import inline_store
from penstock.pipeline import Run
from penstock.runs.artifact_writer import open_artifact
from penstock.runs.core import Core
from penstock.runs.run import MOST_AT_ONCE
from penstock.words.errors import (
    AskExpired,
    ChildNotCompleted,
    Conflict,
    Refused,
    StoreUnavailable,
    TooLarge,
)
from penstock.words.events import (
    AnyEvent,
    ArtifactCompleted,
    ArtifactPartial,
    CodeGenerated,
    Log,
    Milestone,
)
from penstock.words.priority import Priority

Clock = trio.testing.MockClock


async def events(core: Core, run_id: str) -> list[Any]:
    return [fact.event for fact in await core.store.read(run_id)]


async def test_only_declared_milestones_may_be_reported(autojump_clock: Clock) -> None:
    """ML-01"""

    async def report(run: Run, _inputs: Seconds) -> Nothing:
        await run.milestone("begun", count=1)
        with pytest.raises(Refused):
            await run.milestone("undeclared")
        with pytest.raises(Refused):
            await run.milestone("begun", bad=object())
        return Nothing()

    async with open_fake_core(
        kind("report", report, milestones=frozenset({"begun"}))
    ) as core:
        await core.submitter.submit(request("report", "r"))
        await wait_ended(core, "r")
        found = [e for e in await events(core, "r") if isinstance(e, Milestone)]
        assert [(m.name, m.metadata) for m in found] == [("begun", {"count": 1})]


async def test_a_resumed_run_does_no_recorded_step_again(autojump_clock: Clock) -> None:
    """QA-07 SC-13: the daemon dies between two steps."""
    done: list[str] = []

    async def steps(run: Run, _inputs: Seconds) -> Nothing:
        async def unit(name: str) -> str:
            done.append(name)
            return f"result of {name}"

        assert await run.step("one", lambda: unit("one")) == "result of one"
        if run.attempt == 1:
            await trio.sleep_forever()
        assert await run.step("two", lambda: unit("two")) == "result of two"
        return Nothing()

    stepper = kind("steps", steps)
    async with inline_store() as store:
        with trio.CancelScope() as death:
            async with open_fake_core(stepper, store=store, life="life-1") as core:
                await core.submitter.submit(request("steps", "s"))
                await trio.sleep(1)
                core.table.claiming = False
                await core.shutdown(reason="upgrade")
                death.cancel()
        async with open_fake_core(stepper, store=store, life="life-2") as core:
            await wait_ended(core, "s")
            assert done == ["one", "two"]
            view = await core.reader.view("s")
            assert (view.state, view.attempt) == ("completed", 2)


async def test_a_failed_step_is_told_and_raised(autojump_clock: Clock) -> None:
    """EV-14"""

    async def fail() -> None:
        raise ValueError("no luck")

    async def steps(run: Run, _inputs: Seconds) -> Nothing:
        await run.step("only", fail)
        return Nothing()

    async with open_fake_core(kind("steps", steps)) as core:
        await core.submitter.submit(request("steps", "s"))
        await wait_ended(core, "s")
        assert (await types_of(core, "s"))[-2:] == ["step.failed", "run.failed"]


async def test_names_are_unique_within_a_run(autojump_clock: Clock) -> None:
    """D-22"""

    async def nothing() -> None:
        return None

    async def steps(run: Run, _inputs: Seconds) -> Nothing:
        await run.step("same", nothing)
        await run.step("same", nothing)
        return Nothing()

    async with open_fake_core(kind("steps", steps)) as core:
        await core.submitter.submit(request("steps", "s"))
        await wait_ended(core, "s")
        assert "same" in ((await core.reader.view("s")).error or "")


async def test_a_question_gives_the_slot_back_and_takes_it_again(
    autojump_clock: Clock,
) -> None:
    """WF-09 TM-05"""

    async def question(run: Run, _inputs: Seconds) -> Nothing:
        await run.log(await run.ask("go", "Go on?", ["yes", "no"]))
        return Nothing()

    async with open_fake_core(kind("question", question), max_concurrent=1) as core:
        await core.submitter.submit(request("question", "q"))
        await core.submitter.submit(request(seconds=10, run_id="other"))
        await trio.sleep(1)
        assert (await core.reader.view("q")).state == "waiting"
        assert (await core.reader.view("other")).state == "running"
        await core.control.answer("q", "go", "yes", "me")
        await trio.sleep(1)
        assert (await core.reader.view("q")).state == "waiting"
        await wait_ended(core, "q")
        assert await types_of(core, "q") == [
            "run.queued", "run.started", "ask.raised", "run.waiting", "ask.answered",
            "run.resumed", "log", "run.completed",
        ]  # fmt: skip


async def test_a_question_that_was_taken_back_is_waited_for_no_more(
    autojump_clock: Clock,
) -> None:
    """WF-09: whoever waits for it hears why, and the run has its slot again."""
    said: list[str] = []

    async def ask(run: Run) -> None:
        try:
            await run.ask("may I", "May I?", ["allow"], details={"tool": "edit"})
        except AskExpired as error:
            said.append(str(error))

    async def question(run: Run, _inputs: Seconds) -> Nothing:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(ask, run)
            await trio.sleep(5)
            said.append(str(run.view.asks["may I"].details))
            await run.withdraw_ask("may I", "the turn ended")
            await run.withdraw_ask("may I", "again")
            await run.withdraw_ask("never put", "whatever")
        await run.log("goes on with its slot")
        return Nothing()

    async with open_fake_core(kind("question", question)) as core:
        await core.submitter.submit(request("question", "q"))
        await wait_ended(core, "q")
        view = await core.reader.view("q")
        types = await types_of(core, "q")
    assert said == [
        "{'tool': 'edit'}",
        "the question 'may I' was taken back: the turn ended",
    ]
    assert (view.state, view.asks["may I"].open) == ("completed", False)
    assert types[2:] == [
        "ask.raised", "run.waiting", "ask.withdrawn", "run.resumed", "log", "run.completed",
    ]  # fmt: skip


async def test_an_answer_before_the_withdrawal_stays(autojump_clock: Clock) -> None:
    """WF-09: of two in the same moment the first holds, and nobody is told that there was a second."""
    answers: list[str] = []

    async def question(run: Run, _inputs: Seconds) -> Nothing:
        answers.append(await run.ask("q", "?", given="yes"))
        await run.withdraw_ask("q", "too late")
        return Nothing()

    async with open_fake_core(kind("question", question)) as core:
        await core.submitter.submit(request("question", "q"))
        await wait_ended(core, "q")
        assert (await core.reader.view("q")).state == "completed"
        assert "ask.withdrawn" not in await types_of(core, "q")
    assert answers == ["yes"]


@pytest.mark.parametrize("default", ["later", None])
async def test_an_expired_question_takes_its_default(
    default: str | None, autojump_clock: Clock
) -> None:
    """WF-09"""
    caught: list[str] = []

    async def question(run: Run, _inputs: Seconds) -> Nothing:
        try:
            caught.append(await run.ask("when", "When?", default=default, expires=60))
        except AskExpired:
            caught.append("expired")
        await run.log("goes on with its slot")
        return Nothing()

    async with open_fake_core(kind("question", question)) as core:
        await core.submitter.submit(request("question", "q"))
        await wait_ended(core, "q")
        assert caught == [default or "expired"]
        assert trio.current_time() >= 60
        assert (await core.reader.view("q")).state == "completed"


async def test_a_question_outlives_a_restart_and_may_be_answered_meanwhile(
    autojump_clock: Clock,
) -> None:
    """WF-09 APP-07"""
    answers: list[str] = []

    async def question(run: Run, _inputs: Seconds) -> Nothing:
        answers.append(await run.ask("name", "Who?"))
        return Nothing()

    asker = kind("question", question)
    async with inline_store() as store:
        async with open_fake_core(asker, store=store, life="life-1") as core:
            await core.submitter.submit(request("question", "q"))
            await trio.sleep(1)
        async with open_fake_core(
            asker, store=store, life="life-2", max_concurrent=1
        ) as core:
            assert [ask.name for ask in await core.reader.asks()] == ["name"]
            await core.control.answer("q", "name", "me", "tester")
            await wait_ended(core, "q")
    assert answers == ["me"]


async def test_the_time_of_a_waiting_run_does_not_run_out(
    autojump_clock: Clock,
) -> None:
    """SC-06: timeout bounds executing time."""

    async def question(run: Run, _inputs: Seconds) -> Nothing:
        await run.ask("go", "Go?")
        await trio.sleep(1.5)
        return Nothing()

    async with open_fake_core(kind("question", question)) as core:
        await core.submitter.submit(request("question", "q", timeout=2.0))
        await trio.sleep(100)
        await core.control.answer("q", "go", "yes", "me")
        await wait_ended(core, "q")
        assert (await core.reader.view("q")).state == "completed"
        row = await core.store.run("q")
        assert row is not None
        assert 1.5 <= row.used_seconds < 2


@pytest.mark.parametrize("patience", [5, 9.5])
async def test_a_task_that_gives_up_its_question_takes_the_slot_again(
    patience: float, autojump_clock: Clock
) -> None:
    """SC-03: it gives up while it waits for the answer, or for its slot after the answer."""
    computed: list[float] = []

    async def compute() -> None:
        computed.append(trio.current_time())
        await trio.sleep(3)

    async def question(run: Run, _inputs: Seconds) -> Nothing:
        with trio.move_on_after(patience) as limit:
            await run.ask("go", "Go on?")
        assert limit.cancelled_caught
        await run.step("computing", compute)
        return Nothing()

    async with open_fake_core(kind("question", question), max_concurrent=1) as core:
        await core.submitter.submit(request("question", "q"))
        await core.submitter.submit(request(seconds=10, run_id="other"))
        await trio.sleep(9)
        if patience > 9:
            await core.control.answer("q", "go", "yes", "me")
        await wait_ended(core, "q")
        view = await core.reader.view("other")
        assert view.ended_at is not None
        assert computed == [pytest.approx(10, abs=0.1)]
        row = await core.store.run("q")
        assert row is not None
        assert row.state == "completed"
        assert row.used_seconds == pytest.approx(3, abs=0.1)


async def test_a_run_whose_task_gave_up_its_question_ends_with_its_slot(
    autojump_clock: Clock,
) -> None:
    """SC-03 CN-04: it completes when it has its slot again; a cancel does not wait for that."""

    async def question(run: Run, _inputs: Seconds) -> Nothing:
        with trio.move_on_after(5):
            await run.ask("go", "Go on?")
        return Nothing()

    async with open_fake_core(kind("question", question), max_concurrent=1) as core:
        await core.submitter.submit(request("question", "q"))
        await core.submitter.submit(request(seconds=1000, run_id="other"))
        await trio.sleep(6)
        assert (await core.reader.view("q")).state == "waiting"
        with trio.fail_after(1):
            receipt = await core.control.cancel("q", "enough", wait=True)
        assert receipt.outcome == "cancelled"
        assert (await core.reader.view("other")).state == "running"


async def test_a_child_runs_in_the_parents_slot_and_is_found_again(
    autojump_clock: Clock,
) -> None:
    """SC-09 CN-05 D-22"""

    async def parent(run: Run, _inputs: Seconds) -> Nothing:
        child = await run.spawn_run("one", "sleep", {"seconds": 5})
        assert child.state == "completed"
        with pytest.raises(ChildNotCompleted):
            await run.spawn_run("two", "sleep", {"fail": True})
        return Nothing()

    async with open_fake_core(kind("parent", parent), max_concurrent=1) as core:
        await core.submitter.submit(request("parent", "p"))
        await wait_ended(core, "p")
        assert (await core.reader.view("p")).state == "completed"
        assert (await core.reader.view("p.one")).parent_id == "p"
        facts = {(f.run_id, f.type): f.position for f in await whole_log(core.store)}
        assert facts["p.one", "run.completed"] < facts["p.two", "run.queued"]


@pytest.mark.parametrize("priority", [Priority.CRITICAL, Priority.BACKGROUND])
async def test_a_child_is_as_important_as_its_parent(
    priority: Priority, autojump_clock: Clock
) -> None:
    """SC-09: what a run waits for waits no longer, and no shorter, than the run itself would."""

    async def parent(run: Run, _inputs: Seconds) -> Nothing:
        await run.spawn_run("one", "sleep", {"seconds": 1})
        return Nothing()

    async with open_fake_core(kind("parent", parent)) as core:
        await core.submitter.submit(request("parent", "p", priority=priority))
        await wait_ended(core, "p")
        assert (await core.reader.view("p.one")).priority == priority


@pytest.mark.parametrize("how", ["cancel", "fail"])
async def test_children_are_cancelled_with_their_parent(
    how: str, autojump_clock: Clock
) -> None:
    """CN-05"""

    async def parent(run: Run, _inputs: Seconds) -> Nothing:
        async with trio.open_nursery() as nursery:
            for number in range(3):
                nursery.start_soon(
                    run.spawn_run, str(number), "sleep", {"seconds": 500}
                )
            if how == "fail":
                await trio.sleep(5)
                raise ValueError("the parent fails")
        return Nothing()

    async with open_fake_core(kind("parent", parent), max_concurrent=2) as core:
        await core.submitter.submit(request("parent", "p"))
        await trio.sleep(2)
        if how == "cancel":
            await core.control.cancel("p", "enough", wait=True)
        await wait_ended(core, "p", "p.0", "p.1", "p.2")
        assert {(await core.reader.view(f"p.{n}")).state for n in range(3)} == {
            "cancelled"
        }
        assert core.table.executions == {}


async def test_a_tree_of_runs_is_bounded(autojump_clock: Clock) -> None:
    """QA-05: a run that spawns itself must end."""

    async def endless(run: Run, _inputs: Seconds) -> Nothing:
        await run.spawn_run("next", "endless", {})
        return Nothing()

    async with open_fake_core(kind("endless", endless), max_tree_depth=4) as core:
        await core.submitter.submit(request("endless", "e"))
        await wait_ended(core, "e")
        assert (await core.reader.view("e")).state == "failed"
        assert "deep" in ((await core.reader.view("e.next.next.next")).error or "")


async def partials(core: Core, run_id: str) -> str:
    return "".join(
        e.text for e in await events(core, run_id) if isinstance(e, ArtifactPartial)
    )


async def test_an_artifacts_pieces_joined_are_the_whole(autojump_clock: Clock) -> None:
    """ML-04 DS-02 DS-03"""
    text = "".join(f"line {n} é…\n" for n in range(2000))

    async def write(run: Run, _inputs: Seconds) -> Nothing:
        async with run.artifact("a.txt") as artifact:
            for start in range(0, len(text), 7):
                await artifact.write(text[start : start + 7])
            artifact.path = "/a.txt"
        return Nothing()

    async with open_fake_core(kind("write", write)) as core:
        await core.submitter.submit(request("write", "w"))
        await wait_ended(core, "w")
        assert await partials(core, "w") == text
        completed = [
            e for e in await events(core, "w") if isinstance(e, ArtifactCompleted)
        ]
        assert completed[0].sha256 == hashlib.sha256(text.encode()).hexdigest()
        assert completed[0].size == len(text.encode())


@pytest.mark.parametrize("how", ["cancel", "fail"])
async def test_held_text_goes_out_before_any_terminal(
    how: str, autojump_clock: Clock
) -> None:
    """DS-03 DS-04"""

    async def write(run: Run, _inputs: Seconds) -> Nothing:
        async with run.artifact("a") as artifact:
            for word in ("one ", "two ", "three"):
                await artifact.write(word)
            if how == "fail":
                raise ValueError("halfway")
            await trio.sleep_forever()
        return Nothing()

    async with open_fake_core(kind("write", write), throttle_seconds=60) as core:
        await core.submitter.submit(request("write", "w"))
        await trio.sleep(1)
        if how == "cancel":
            await core.control.cancel("w", "x", wait=True)
        await wait_ended(core, "w")
        assert await partials(core, "w") == "one two three"
        types = await types_of(core, "w")
        assert "artifact.completed" not in types
        assert types[-2] == "artifact.partial"


@pytest.mark.parametrize("back", [True, False])
async def test_a_piece_that_an_outage_dropped_goes_again_or_the_artifact_fails(
    back: bool, autojump_clock: Clock
) -> None:
    """DS-03 D-16: nothing is called whole that is not."""
    recorded: list[AnyEvent] = []

    async def emit(event: AnyEvent, *, event_id: UUID | None = None) -> object:
        await trio.lowlevel.checkpoint()
        away = isinstance(event, ArtifactPartial) and (
            trio.current_time() < until or not back
        )
        if away:
            return None
        recorded.append(event)
        return event

    until = trio.current_time() + 5
    refusal = (
        nullcontext() if back else pytest.raises(StoreUnavailable, match="not whole")
    )
    with refusal:
        async with open_artifact(
            "a", emit, attempt=1, interval=0.1, capacity=100
        ) as artifact:
            for word in ("one ", "two ", "three"):
                await artifact.write(word)
                await trio.sleep(3)
    text = "".join(e.text for e in recorded if isinstance(e, ArtifactPartial))
    whole = any(isinstance(e, ArtifactCompleted) for e in recorded)
    assert (text, whole) == (("one two three", True) if back else ("", False))


async def test_many_facts_are_recorded_in_one_go_and_in_order(
    autojump_clock: Clock,
) -> None:
    """PF-03: dense, one commit, and each as `emit` would have it."""
    commits: list[int] = []

    async def many(run: Run, _inputs: Seconds) -> Nothing:
        before = core.recorder.counters.batches
        facts = await run.emit_many([Log(text=f"{n}") for n in range(500)])
        commits.append(core.recorder.counters.batches - before)
        assert [fact.sequence for fact in facts] == list(range(3, 503))
        assert await run.emit_many([]) == ()
        return Nothing()

    async with open_fake_core(kind("many", many)) as core:
        await core.submitter.submit(request("many", "m"))
        await wait_ended(core, "m")
        facts = await core.store.read("m", limit=1000)
        assert facts[-1].type == "run.completed", facts[-1].event
        texts = [fact.event.text for fact in facts if isinstance(fact.event, Log)]
    assert commits == [1]
    assert texts == [str(n) for n in range(500)]


@pytest.mark.parametrize(
    ("events", "error"),
    [
        ([Log(text="x")] * (MOST_AT_ONCE + 1), Refused),
        ([Log(text="x" * 3_000_000)] * 3, TooLarge),
    ],
)
async def test_no_more_facts_are_recorded_in_one_go_than_a_commit_should_have(
    autojump_clock: Clock, events: list[Log], error: type[Exception]
) -> None:
    """PF-03 PF-05: nothing of them is recorded."""
    refused = []

    async def many(run: Run, _inputs: Seconds) -> Nothing:
        with pytest.raises(error) as raised:
            await run.emit_many(events)
        refused.append(raised.value)
        return Nothing()

    async with open_fake_core(kind("many", many)) as core:
        await core.submitter.submit(request("many", "m"))
        await wait_ended(core, "m")
        assert "log" not in await types_of(core, "m")
    assert len(refused) == 1


async def test_a_text_as_large_as_the_throttle_holds_goes_out_at_once(
    autojump_clock: Clock,
) -> None:
    """PF-03 ML-02: a large text is written as fast as the log takes it, in pieces of that size."""
    sizes = []

    async def emit(event: AnyEvent, *, event_id: UUID | None = None) -> object:
        await trio.lowlevel.checkpoint()
        if isinstance(event, ArtifactPartial):
            sizes.append(len(event.text))
        return event

    began = trio.current_time()
    async with open_artifact(
        "a", emit, attempt=1, interval=0.1, capacity=100
    ) as artifact:
        for _ in range(50):
            await artifact.write("x" * 60)
        assert trio.current_time() == began
    assert sum(sizes) == 3000
    assert max(sizes) < 200
    assert len(sizes) < 40


async def test_pieces_are_spaced_and_a_milestone_flushes_them(
    autojump_clock: Clock,
) -> None:
    """DS-02 ML-02 QA-04"""

    async def write(run: Run, _inputs: Seconds) -> Nothing:
        async with run.artifact("a") as artifact:
            for _ in range(100):
                await artifact.write("x")
                await trio.sleep(0.01)
            await run.milestone("half")
        return Nothing()

    async with open_fake_core(kind("write", write)) as core:
        await core.submitter.submit(request("write", "w"))
        await wait_ended(core, "w")
        types = await types_of(core, "w")
        assert 9 <= types[: types.index("milestone")].count("artifact.partial") <= 13
        assert types[types.index("milestone") :] == [
            "milestone",
            "artifact.completed",
            "run.completed",
        ]


async def test_a_code_version_must_grow(autojump_clock: Clock) -> None:
    """VS-01 D-17"""

    async def code(run: Run, _inputs: Seconds) -> Nothing:
        await run.emit(CodeGenerated(), code_version=3)
        with pytest.raises(Conflict):
            await run.emit(CodeGenerated(), code_version=2)
        return Nothing()

    async with open_fake_core(kind("code", code)) as core:
        await core.submitter.submit(request("code", "c"))
        await wait_ended(core, "c")
        view = await core.reader.view("c")
        assert (view.state, view.code_version) == ("completed", 3)


async def test_a_fact_that_is_too_large_is_refused_and_the_run_goes_on(
    autojump_clock: Clock,
) -> None:
    """EV-11"""

    async def shout(run: Run, _inputs: Seconds) -> Nothing:
        with pytest.raises(TooLarge, match="8388608"):
            await run.log("x" * (10 * 1024 * 1024))
        await run.log("x" * (2 * 1024 * 1024))
        return Nothing()

    async with open_fake_core(kind("shout", shout)) as core:
        await core.submitter.submit(request("shout", "s"))
        await wait_ended(core, "s")
        assert (await core.reader.view("s")).state == "completed"
