"""OD-01 to OD-05: the loop with a rule, in a core with virtual time and processes that only seem to be."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any

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
from penstock.kinds.command import KIND as COMMAND
from penstock.kinds.loop.pipeline import KIND as LOOP
from penstock.log.projections import RunView
from penstock.log.store import Store
from penstock.pipeline import Kind, Run
from penstock.runs.core import Core
from penstock.testing.faulty_store import FaultyStore, StoreFault
from penstock.words.errors import PenstockError, Refused, StoreBroken
from penstock.words.events import (
    ModelUsed,
    ProcessExited,
    RunFailed,
    StepCompleted,
    StepFailed,
)
from penstock.words.wait_reason import RESTART_ASK

Clock = trio.testing.MockClock


@dataclass
class Shell(FakeProcesses):
    """Lines last no time; each exits with the next of its codes, and with the last one ever after."""

    codes: dict[str, list[int]] = field(default_factory=dict)

    async def __call__(self, program: Any, **others: Any) -> ProcessExited:
        # The last word is a line, and not how long it lasts.
        first = replace(program, argv=program.argv[:1])
        exited = await super().__call__(first, **others)
        self.started[-1] = program.argv
        codes = self.codes.get(program.argv[-1], [0])
        code = codes.pop(0) if len(codes) > 1 else codes[0]
        return exited.model_copy(update={"exit_code": code})

    def count(self, line: str) -> int:
        return sum(argv[-1] == line for argv in self.started)


async def costly(run: Run, inputs: Seconds) -> Nothing:
    """A run that tells of having spent 100 tokens."""
    await run.emit(ModelUsed(model="m", tokens_in=90, tokens_out=10, cost=0.5))
    return Nothing()


COSTLY = kind("costly", costly)


@asynccontextmanager
async def loops(
    store: Store, shell: Shell, life: str = "life-1", *others: Kind
) -> AsyncIterator[Core]:
    environment = fake_environment(shell)
    async with open_fake_core(
        LOOP, COMMAND, COSTLY, *others, store=store, life=life, environment=environment
    ) as core:
        yield core


async def run_loop(
    codes: dict[str, list[int]], **inputs: Any
) -> tuple[RunView, Core, Shell]:
    """A loop `r` from its start to its end."""
    shell = Shell(codes=codes)
    async with inline_store() as store, loops(store, shell) as core:
        await core.submitter.submit(request("loop", "r", **inputs))
        view = await ended(core)
        view.details = {**view.details, "log": await whole_log(store)}
        return view, core, shell


async def ended(core: Core) -> RunView:
    with trio.fail_after(1_000_000):
        await wait_ended(core, "r")
    return await core.reader.view("r")


SLEEP = {"kind": "sleep", "inputs": {"seconds": 10}}


async def test_it_acts_until_the_command_exits_with_0(autojump_clock: Clock) -> None:
    """OD-01: each turn is a run of its own, and the step tells its id."""
    view, _, shell = await run_loop(
        {"check": [1, 1, 0]}, until="check", act="command fix it"
    )
    assert view.state == "completed"
    assert view.result == {"turns": 2, "reached": "until", "reason": "check"}
    assert view.milestones == ["goal_reached"]
    assert (shell.count("check"), shell.count("fix it")) == (3, 2)
    log = view.details["log"]
    assert [
        (e.name, e.child_id)
        for fact in log
        if isinstance(e := fact.event, StepCompleted)
    ] == [
        ("observe 1", None),
        ("act 1", "r.turn-1"),
        ("observe 2", None),
        ("act 2", "r.turn-2"),
        ("observe 3", None),
    ]
    parents = {
        fact.run_id: fact.event.parent_id for fact in log if fact.type == "run.queued"
    }
    assert parents == {"r": None, "r.turn-1": "r", "r.turn-2": "r"}


async def test_a_turn_begins_after_the_terminal_of_the_one_before(
    autojump_clock: Clock,
) -> None:
    """OD-02: positions prove it."""
    view, _, _ = await run_loop({"check": [1, 1, 1, 0]}, until="check", act=SLEEP)
    at = {
        (fact.run_id, fact.type): fact.position
        for fact in view.details["log"]
        if fact.type in ("run.queued", "run.completed")
    }
    for turn in (1, 2):
        terminal = at[f"r.turn-{turn}", "run.completed"]
        assert terminal < at[f"r.turn-{turn + 1}", "run.queued"]
    assert trio.current_time() >= 30


class Steps(trio.abc.Instrument):
    """Counts the steps of one task: whatever wakes it, a timer too, makes it take one."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.count = 0

    def before_task_step(self, task: trio.lowlevel.Task) -> None:
        self.count += task.name == self.name


async def test_while_a_turn_runs_the_loop_is_not_woken(autojump_clock: Clock) -> None:
    """OD-03: no polling; not one step of the loop's task while its turn sleeps for three hours."""
    async with (
        inline_store() as store,
        loops(store, Shell(codes={"check": [1, 0]})) as core,
    ):
        act = {"kind": "sleep", "inputs": {"seconds": 10_800}}
        asked = request("loop", "r", until="check", act=act, max_seconds=20_000)
        await core.submitter.submit(asked)
        # The turn sleeps, and the loop waits for its end.
        await trio.sleep(60)
        steps = Steps("run r")
        trio.lowlevel.add_instrument(steps)
        await trio.sleep(10_700)
        assert steps.count == 0
        view = await ended(core)
        trio.lowlevel.remove_instrument(steps)
    assert steps.count > 0
    assert view.state == "completed"


async def test_a_cancel_ends_the_turn_and_starts_no_other(
    autojump_clock: Clock,
) -> None:
    """OD-04"""
    async with (
        inline_store() as store,
        loops(store, Shell(codes={"check": [1]})) as core,
    ):
        await core.submitter.submit(request("loop", "r", until="check", act=SLEEP))
        await trio.sleep(15)
        before = trio.current_time()
        await core.control.cancel("r", "by a person", wait=True)
        await wait_ended(core, "r.turn-2")
        assert trio.current_time() - before < 1
        await trio.sleep(1000)
        log = await whole_log(store)
        last = [fact.type for fact in log if fact.run_id == "r"][-1]
    assert last == "run.cancelled"
    assert [f.run_id for f in log if f.type == "run.cancelled"] in (
        ["r", "r.turn-2"],
        ["r.turn-2", "r"],
    )
    assert {f.run_id for f in log} == {"daemon", "r", "r.turn-1", "r.turn-2"}


async def test_turns_are_bounded(autojump_clock: Clock) -> None:
    """OD-05"""
    view, _, shell = await run_loop(
        {"check": [1]}, until="check", act=SLEEP, max_turns=3
    )
    assert (view.state, view.error) == (
        "failed",
        "the goal was not reached in 3 turns",
    )
    # The last turn's work is looked at too.
    assert shell.count("check") == 4


async def test_time_is_bounded_and_the_turn_under_way_ends(
    autojump_clock: Clock,
) -> None:
    """OD-05"""
    async with (
        inline_store() as store,
        loops(store, Shell(codes={"check": [1]})) as core,
    ):
        await core.submitter.submit(
            request("loop", "r", until="check", act=SLEEP, max_seconds=25)
        )
        view = await ended(core)
        await wait_ended(core, "r.turn-3")
        third = await types_of(core, "r.turn-3")
    assert view.error == "the goal was not reached within 25 s"
    assert 25 <= trio.current_time() < 26
    assert third[-1] == "run.cancelled"


async def test_time_goes_on_over_a_restart(autojump_clock: Clock) -> None:
    """OD-05"""
    shell = Shell(codes={"check": [1]})
    async with inline_store() as store:
        async with loops(store, shell) as core:
            await core.submitter.submit(
                request("loop", "r", until="check", act=SLEEP, max_seconds=25)
            )
            await trio.sleep(15)
        await trio.sleep(100)
        async with loops(store, shell, "life-2") as core:
            view = await ended(core)
    assert view.error == "the goal was not reached within 25 s"


@pytest.mark.parametrize("limit", [{"max_tokens": 250}, {"max_cost": 1.2}])
async def test_what_its_turns_spend_is_bounded(
    autojump_clock: Clock, limit: dict[str, Any]
) -> None:
    """OD-05: the turns' spending counts, not only the loop's own."""
    view, _, _ = await run_loop(
        {"check": [1]}, until="check", act={"kind": "costly"}, **limit
    )
    assert view.state == "failed"
    assert str(view.error).startswith("no further turn: ")
    turns = {fact.run_id for fact in view.details["log"]} - {"r", "daemon"}
    assert len(turns) == 3


async def test_a_failed_turn_fails_the_loop_and_is_named(
    autojump_clock: Clock,
) -> None:
    """OD-05"""
    view, _, _ = await run_loop({"check": [1], "fix": [7]}, until="check", act="fix")
    told = [fact.event for fact in view.details["log"] if fact.run_id == "r"]
    (failed,) = [event for event in told if isinstance(event, StepFailed)]
    assert (failed.name, failed.child_id) == ("act 1", "r.turn-1")
    last = told[-1]
    assert isinstance(last, RunFailed)
    assert last.error == "act 1: the run r.turn-1 ended failed: exit status 7"
    assert last.details["child"] == "r.turn-1"


async def test_a_failed_turn_is_followed_by_the_next_if_asked(
    autojump_clock: Clock,
) -> None:
    """OD-05: unless the rule says so; resumed in the middle, no failure is told twice."""
    shell = Shell(codes={"check": [1, 1, 1, 0], "fix": [7]})
    async with inline_store() as store:
        async with loops(store, shell) as core:
            asked = request("loop", "r", until="check", act="fix", keep_going=True)
            await core.submitter.submit(asked)
            with core.bus.subscribe("r", 0) as subscription:
                async for batch in subscription:
                    if any(fact.type == "step.failed" for fact in batch.facts):
                        break
        async with loops(store, shell, "life-2") as core:
            view = await ended(core)
            log = await whole_log(store)
    assert view.state == "completed"
    failed = [e.name for fact in log if isinstance(e := fact.event, StepFailed)]
    assert failed == ["act 1", "act 2", "act 3"]
    assert shell.count("fix") == 3


@pytest.mark.parametrize("stop_at", [1, 5, 12, 18, 25, 31])
async def test_what_is_recorded_is_not_repeated_after_a_stop(
    autojump_clock: Clock, stop_at: float
) -> None:
    """OD-05: whenever it is stopped, the same turns come out, each child once."""
    shell = Shell(codes={"check": [1, 1, 1, 0]})
    async with inline_store() as store:
        async with loops(store, shell) as core:
            await core.submitter.submit(request("loop", "r", until="check", act=SLEEP))
            await trio.sleep(stop_at)
        async with loops(store, shell, "life-2") as core:
            view = await ended(core)
            log = await whole_log(store)
    assert view.result["turns"] == 3
    names = [e.name for fact in log if isinstance(e := fact.event, StepCompleted)]
    assert len(names) == len(set(names)) == 7
    queued = [fact.run_id for fact in log if fact.type == "run.queued"]
    assert queued == ["r", "r.turn-1", "r.turn-2", "r.turn-3"]
    assert shell.count("check") == 4


@pytest.mark.parametrize("line", ["nonsense", "fix"])
async def test_a_line_that_no_shell_can_execute_is_not_tried_again(
    autojump_clock: Clock, line: str
) -> None:
    """OD-05: the step that failed is named."""
    view, _, _ = await run_loop({line: [127]}, until=line, act=SLEEP)
    assert view.error == f"observe 1: `{line}` cannot be executed: exit status 127"


async def test_a_turn_that_can_never_start_is_told_before_the_first(
    autojump_clock: Clock,
) -> None:
    """OD-05"""
    for act, why in (
        ({"kind": "teleport"}, "not installed"),
        ({"kind": "sleep", "inputs": {"hours": 1}}, "inputs.hours"),
    ):
        view, _, shell = await run_loop({"check": [1]}, until="check", act=act)
        assert view.state == "failed"
        assert why in str(view.error)
        assert shell.started == []


async def test_folder_and_variables_are_handed_to_its_commands(
    autojump_clock: Clock,
) -> None:
    """OD-01"""
    view, _, _ = await run_loop(
        {"check": [1, 0]},
        until="check",
        act="fix",
        cwd="/somewhere",
        env={"TOKEN": "secret"},
    )
    (queued,) = [
        fact.event
        for fact in view.details["log"]
        if fact.type == "run.queued" and fact.run_id == "r.turn-1"
    ]
    assert queued.inputs["cwd"] == "/somewhere"
    assert queued.inputs["env"] == {"TOKEN": "…"}
    assert b"secret" not in b"".join(fact.body for fact in view.details["log"])


async def test_a_rule_needs_no_model_and_a_goal_does(autojump_clock: Clock) -> None:
    """APP-03: told at submit, before anything is recorded."""
    async with inline_store() as store, loops(store, Shell()) as core:
        await core.submitter.submit(request("loop", "r", until="check", act="fix"))
        await ended(core)
        with pytest.raises(PenstockError, match="need a model"):
            await core.submitter.submit(request("loop", "s", goal="peace", act="fix"))
        assert await store.run("s") is None


@pytest.mark.parametrize(
    ("inputs", "why"),
    [
        ({"act": "fix"}, "until.*goal"),
        ({"until": "check"}, "act.*kinds"),
        ({"until": "check", "act": "fix", "kinds": ["sleep"]}, "act.*kinds"),
        ({"until": "check", "act": "fix", "observe": "ls"}, "goal"),
        ({"until": "check", "act": "  "}, "empty"),
        ({"until": "", "act": "fix"}, "inputs.until"),
        ({"until": "check", "act": "fix", "max_turns": 0}, "inputs.max_turns"),
        ({"until": "check", "act": "fix", "cwd": "here"}, "inputs.cwd"),
    ],
)
def test_inputs_that_say_too_little_are_refused(
    inputs: dict[str, Any], why: str
) -> None:
    """ER-02"""
    with pytest.raises(Refused, match=why):
        LOOP.parse(inputs)


@pytest.mark.parametrize(
    ("text", "kind_name", "inputs"),
    [
        ("make fix", "command", {"shell": "make fix"}),
        ("command make fix", "command", {"shell": "make fix"}),
        ("echo {a,b}", "command", {"shell": "echo {a,b}"}),
        ("command", "command", {"shell": "command"}),
        ('coding {"prompt": "x"}', "coding", {"prompt": "x"}),
        ('command {"argv": ["a"]}', "command", {"argv": ["a"]}),
    ],
)
def test_an_act_is_written_as_people_write(
    text: str, kind_name: str, inputs: dict[str, Any]
) -> None:
    parsed: Any = LOOP.parse({"until": "check", "act": text})
    assert (parsed.act.kind, parsed.act.inputs) == (kind_name, inputs)
    again: Any = LOOP.parse(parsed.model_dump(mode="json"))
    assert again == parsed
    assert replace(LOOP, name="other").parse({"until": "c", "act": text})


class Counting(Shell):
    """`check` succeeds once two different turns have left their note."""

    def __init__(self, notes: list[str]) -> None:
        super().__init__()
        self.notes = notes

    async def __call__(self, program: Any, **others: Any) -> ProcessExited:
        self.codes = {"check": [0 if len(set(self.notes)) >= 2 else 1]}
        return await super().__call__(program, **others)


async def live_until_death(store: Store, shell: Shell, note: Kind) -> None:
    """One life of a daemon with a loop; it ends when the store does, as with kill -9."""
    try:
        async with loops(store, shell, "life-1", note) as core:
            act = {"kind": "note"}
            await core.submitter.submit(request("loop", "r", until="check", act=act))
            await ended(core)
    except* StoreBroken:
        pass


@pytest.mark.parametrize(
    ("said", "answer", "end"),
    [
        (None, None, "completed"),
        ("requeue", None, "completed"),
        ("fail", None, "failed"),
        ("ask", "requeue", "completed"),
        ("ask", "fail", "failed"),
    ],
)
async def test_the_loop_says_what_a_restart_does_to_its_turn(
    said: str | None, answer: str | None, end: str, autojump_clock: Clock
) -> None:
    """OD-05 law 5: whatever the turn's kind says, and with one answer for both."""
    begun: list[str] = []

    async def act(run: Run, _inputs: Seconds) -> Nothing:
        begun.append(run.run_id)
        await trio.sleep(10)
        return Nothing()

    once, shell = kind("once", act, on_restart="fail"), Shell(codes={"check": [1, 0]})
    async with inline_store() as store:
        dying = FaultyStore(store, epoch=store.epoch)
        asked = request(
            "loop", "r", until="check", act={"kind": "once"}, on_restart=said
        )
        try:
            async with loops(dying, shell, "life-1", once) as core:
                await core.submitter.submit(asked)
                await trio.sleep(5)
                dying.dead = True
                await core.control.intervene("r", "you are dead")
        except* StoreBroken:
            pass
        async with loops(store, shell, "life-2", once) as core:
            if answer is not None:
                assert core.table.executions == {}
                await core.control.answer("r", RESTART_ASK, answer, "a person")
            view = await ended(core)
            assert await core.reader.asks() == []
        turn = await store.run("r.turn-1")
    assert (view.state, len(begun)) == (end, 2 if end == "completed" else 1)
    assert turn is not None
    ends = {"completed"} if end == "completed" else {"failed", "cancelled"}
    assert turn.state in ends


async def test_killed_anywhere_it_ends_as_if_nothing_had_happened(
    autojump_clock: Clock,
) -> None:
    """OD-05: no recorded step is repeated, no turn begun twice, and the same turns come out."""
    for call in range(1, 1000):
        notes: list[str] = []

        async def take_note(
            run: Run, _inputs: Seconds, notes: list[str] = notes
        ) -> Nothing:
            notes.append(run.run_id)
            await trio.sleep(1)
            return Nothing()

        note, shell = kind("note", take_note), Counting(notes)
        async with inline_store() as store:
            dying = FaultyStore(store, StoreFault("broken", call), epoch=store.epoch)
            await live_until_death(dying, shell, note)
            row = await store.run("r")
            if row is None:
                continue
            if row.ended_at is not None:
                assert call > 20
                return
            async with loops(store, shell, "life-2", note) as core:
                view = await ended(core)
                log = await whole_log(store)
        assert view.state == "completed", (call, view.error)
        names = [e.name for fact in log if isinstance(e := fact.event, StepCompleted)]
        assert names == ["observe 1", "act 1", "observe 2", "act 2", "observe 3"]
        queued = [fact.run_id for fact in log if fact.type == "run.queued"]
        assert queued == ["r", "r.turn-1", "r.turn-2"]
        # At most what was under way was done again.
        assert shell.count("check") <= 4
        assert len(notes) <= 3
    raise AssertionError("it never came to its end")
