"""AG: runs of the scripted agent, from its first word to what is left of its work, under virtual time."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import trio

from fakes.agent_processes import BASE, HEAD, AgentProcesses
from penstock.kinds.agent.pipeline import KIND
from penstock.log.projections import RunView
from penstock.log.store import Store
from penstock.runs.open_core import open_core
from penstock.testing import InMemoryCore, open_memory_store, open_test_core
from penstock.testing.in_memory import memory_environment
from penstock.words.config import Config
from penstock.words.errors import Refused
from penstock.words.recorded import Recorded

Clock = trio.testing.MockClock
REPOSITORY = "/the/repository"


def task(scenario: str, **more: Any) -> dict[str, Any]:
    """What a run of this scenario is asked for."""
    return {
        "prompt": "Write f.txt",
        "command": ["scripted", scenario],
        "repository": REPOSITORY,
        **more,
    }


@asynccontextmanager
async def open_agents(
    tmp_path: Path,
    processes: AgentProcesses | None = None,
    store: Store | None = None,
    life: str = "life-1",
    **settings: Any,
) -> AsyncIterator[InMemoryCore]:
    """A core whose runs are agents."""
    async with open_test_core(
        [KIND], processes=processes or AgentProcesses(), workspaces=tmp_path, store=store, life=life, **settings
    ) as core:  # fmt: skip
        yield core


def of_type(facts: list[Recorded], *types: str) -> list[Any]:
    """The facts of these types, as events."""
    return [fact.event for fact in facts if fact.type in types]


def said(facts: list[Recorded]) -> str:
    """All that the agent said."""
    return "".join(e.text for e in of_type(facts, "agent.said") if e.role == "agent")


def logged(facts: list[Recorded]) -> str:
    """The run's log."""
    return "".join(e.text or "" for e in of_type(facts, "log"))


def processes_of(core: InMemoryCore) -> AgentProcesses:
    """The programs of this core."""
    assert isinstance(core.processes, AgentProcesses)
    return core.processes


async def ended_well(core: InMemoryCore, run_id: str) -> Mapping[str, Any]:
    """The result of a run that completed, and of which nothing is left."""
    view = await core.wait_ended(run_id)
    assert (view.state, view.error) == ("completed", None)
    assert core.processes.running == 0
    result: Mapping[str, Any] = view.result
    return result


async def ended_badly(core: InMemoryCore, run_id: str) -> RunView:
    """The run, which failed, and of which nothing is left."""
    view = await core.wait_ended(run_id)
    assert view.state == "failed"
    assert core.processes.running == 0
    return view


async def test_an_agent_edits_after_it_was_allowed_to(
    autojump_clock: Clock, tmp_path: Path
) -> None:
    """AG-01: its words, tools and plan are facts; its work is a branch, a patch and a report."""
    async with open_agents(tmp_path) as core:
        run_id = await core.submit("agent", task("edit"))
        ask = await core.wait_asked(run_id)
        await trio.sleep(1)
        assert (await core.view(run_id)).state == "waiting"
        assert ask.choices == ("allow", "deny")
        assert ask.question == "agent wants to edit: Write f.txt"
        assert ask.details["tool"] == "edit"
        assert "+x" in ask.details["diff"]
        await core.answer(run_id, ask.name, "allow")
        result = await ended_well(core, run_id)
        facts = await core.facts(run_id)
        view = await core.view(run_id)
    assert said(facts) == "done once"
    assert [(e.tool, e.paths, e.asked) for e in of_type(facts, "tool.called")][-1] == (
        "edit", ("f.txt",), True,
    )  # fmt: skip
    assert [e.status for e in of_type(facts, "tool.ended")] == ["completed"]
    assert [len(e.entries) for e in of_type(facts, "plan.updated")] == [2]
    assert result["branch"] == f"penstock/{run_id}"
    assert (result["base"], result["head"]) == (BASE, HEAD)
    assert (result["stop_reason"], result["summary"]) == ("end_turn", "done once")
    assert (result["asked"], result["denied"], result["unasked"]) == (1, 0, 0)
    assert (result["files"], result["added"]) == (["f.txt"], 1)
    assert (result["turns"], result["tokens"]) == (1, 11)
    assert set(view.artifacts) == {"changes.patch", "report.md"}
    assert processes_of(core).stages == ["open", "commit", "branch"]


@pytest.mark.parametrize(("answer", "chosen"), [("deny", "reject"), (None, "reject")])
async def test_what_is_denied_or_not_answered_in_time_is_rejected(
    answer: str | None, chosen: str, autojump_clock: Clock, tmp_path: Path
) -> None:
    """AG-02: never `cancelled`, which an agent takes for the end of its turn."""
    async with open_agents(tmp_path) as core:
        run_id = await core.submit("agent", task("edit", answer_within=60))
        ask = await core.wait_asked(run_id)
        if answer is not None:
            await core.answer(run_id, ask.name, answer)
        result = await ended_well(core, run_id)
        facts = await core.facts(run_id)
    assert said(facts) == f"done {chosen}"
    assert result["denied"] == 1


async def test_rules_answer_before_people_are_asked(
    autojump_clock: Clock, tmp_path: Path
) -> None:
    """AG-02: the first that matches holds."""
    async with open_agents(tmp_path) as core:
        free = await core.submit("agent", task("edit", permissions="edit"))
        deny = [{"do": "deny", "tools": ["edit"]}]
        shut = await core.submit("agent", task("edit", permissions="all", rules=deny))
        await ended_well(core, free)
        assert (await ended_well(core, shut))["denied"] == 1
        texts = [said(await core.facts(run_id)) for run_id in (free, shut)]
        asks = [await core.view(run_id) for run_id in (free, shut)]
    assert texts == ["done once", "done reject"]
    assert [view.asks for view in asks] == [{}, {}]


async def test_two_questions_at_once_are_answered_in_any_order(
    autojump_clock: Clock, tmp_path: Path
) -> None:
    """AG-02"""
    async with open_agents(tmp_path) as core:
        run_id = await core.submit("agent", task("two-asks"))
        await core.wait_asked(run_id)
        await trio.sleep(1)
        asks = (await core.view(run_id)).asks.values()
        names = {ask.details["command"]: ask.name for ask in asks if ask.open}
        await core.answer(run_id, names["make 1"], "deny")
        await core.answer(run_id, names["make 0"], "allow")
        await ended_well(core, run_id)
        assert said(await core.facts(run_id)) == "once reject"


async def test_a_wish_that_the_agent_takes_back_is_no_question_any_more(
    autojump_clock: Clock, tmp_path: Path
) -> None:
    """AG-02: a question does not outlive who asks."""
    async with open_agents(tmp_path) as core:
        run_id = await core.submit("agent", task("withdraw"))
        ask = await core.wait_asked(run_id)
        await ended_well(core, run_id)
        facts, view = await core.facts(run_id), await core.view(run_id)
    assert [e.name for e in of_type(facts, "ask.withdrawn")] == [ask.name]
    assert not view.asks[ask.name].open


@pytest.mark.parametrize("scenario", ["slow", "edit", "late-cancel", "deaf-cancel"])
async def test_a_cancel_ends_the_turn_and_leaves_nothing(
    scenario: str, autojump_clock: Clock, tmp_path: Path
) -> None:
    """AG-03: whether the agent listens or not; its work so far is kept."""
    async with open_agents(tmp_path) as core:
        run_id = await core.submit("agent", task(scenario))
        await trio.sleep(3)
        began = trio.current_time()
        receipt = await core.cancel(run_id)
        took = trio.current_time() - began
        view = await core.view(run_id)
        facts = await core.facts(run_id)
    assert (view.state, receipt.survivors) == ("cancelled", ())
    assert core.processes.running == 0
    assert took < 5
    assert processes_of(core).agents[0].cancelled.is_set()
    assert processes_of(core).stages[-1] == "rescue"
    assert "the work is kept" in logged(facts)
    assert not [ask for ask in view.asks.values() if ask.open]


async def test_a_restart_goes_on_with_the_session_and_the_same_question(
    autojump_clock: Clock, tmp_path: Path
) -> None:
    """AG-04: the question stays open meanwhile, is answered once, and its answer is used once."""
    async with open_memory_store() as store:
        async with open_agents(tmp_path, store=store) as core:
            run_id = await core.submit("agent", task("edit"))
            first = await core.wait_asked(run_id)
        async with open_agents(tmp_path, store=store, life="life-2") as core:
            assert (await core.view(run_id)).asks[first.name].open
            await core.answer(run_id, first.name, "allow")
            result = await ended_well(core, run_id)
            facts = await core.facts(run_id)
            told = processes_of(core).agents[0].told
    assert [e.name for e in of_type(facts, "ask.raised")] == [first.name]
    assert len(of_type(facts, "ask.answered")) == 1
    assert not of_type(facts, "ask.withdrawn")
    assert result["stop_reason"] == "end_turn"
    (prompt,) = [m["params"] for m in told if m.get("method") == "session/prompt"]
    assert prompt["prompt"][0]["text"].startswith("You were interrupted.")


async def test_a_restart_after_the_last_turn_starts_no_agent(
    autojump_clock: Clock, tmp_path: Path
) -> None:
    """AG-04: its work is made a branch, and what it said is in the result."""
    processes = AgentProcesses(stubborn=True)
    async with open_memory_store() as store:
        async with open_agents(tmp_path, processes, store=store) as core:
            run_id = await core.submit("agent", task("echo"))
            await trio.sleep(2)
            assert "turn 1" in (await core.view(run_id)).steps
        async with open_agents(tmp_path, store=store, life="life-2") as core:
            result = await ended_well(core, run_id)
            assert processes_of(core).agents == []
    assert (result["turns"], result["summary"]) == (1, "you said: Write f.txt")
    assert result["branch"] == f"penstock/{run_id}"


async def test_a_restart_keeps_what_was_denied_and_done_unasked(
    autojump_clock: Clock, tmp_path: Path
) -> None:
    """AG-04: the result tells of all turns, whichever execution had them."""
    results = {}
    for scenario, more in (("edit", {"permissions": "none"}), ("unasked", {})):
        async with open_memory_store() as store:
            processes = AgentProcesses(stubborn=True)
            async with open_agents(tmp_path, processes, store=store) as core:
                run_id = await core.submit("agent", task(scenario, **more))
                await trio.sleep(2)
                assert "turn 1" in (await core.view(run_id)).steps
            async with open_agents(tmp_path, store=store, life="life-2") as core:
                results[scenario] = await ended_well(core, run_id)
                assert processes_of(core).agents == []
    assert (results["edit"]["denied"], results["unasked"]["unasked"]) == (1, 1)


@pytest.mark.parametrize(("scenario", "told"), [("refusal", "refused to do it"), ("cancelled", "gave the turn up")])  # fmt: skip
async def test_a_turn_that_the_agent_refuses_or_gives_up_fails_its_run(
    scenario: str, told: str, autojump_clock: Clock, tmp_path: Path
) -> None:
    """AG-08"""
    async with open_agents(tmp_path) as core:
        inputs = {**task("stop"), "prompt": scenario}
        view = await ended_badly(core, await core.submit("agent", inputs))
    assert told in (view.error or "")
    assert not [name for name in view.steps if name.startswith("turn")]


@pytest.mark.parametrize(
    ("scenario", "asked"),
    [
        ("resume", ["session/resume"]),
        ("load", ["session/load"]),
        ("resume-refused", ["session/resume", "session/load"]),
        ("echo", ["session/new"]),
    ],
)
async def test_a_session_is_taken_up_again_in_the_first_way_that_works(
    scenario: str, asked: list[str], autojump_clock: Clock, tmp_path: Path
) -> None:
    """AG-04: what it tells of its past is not recorded a second time."""
    processes = AgentProcesses(scenarios=["die-in-turn"])
    async with open_agents(tmp_path, processes) as core:
        run_id = await core.submit("agent", task(scenario))
        await ended_well(core, run_id)
        facts = await core.facts(run_id)
    told = [m.get("method") for m in processes.agents[1].told]
    assert [m for m in told if m and m.startswith("session/") and m != "session/prompt"] == asked  # fmt: skip
    assert "the past" not in said(facts)
    assert "killed by SIGKILL); it is started again" in logged(facts)


async def test_an_agent_that_dies_again_and_again_fails_its_run(
    autojump_clock: Clock, tmp_path: Path
) -> None:
    """AG-04"""
    async with open_agents(tmp_path) as core:
        run_id = await core.submit("agent", task("die-in-turn"))
        view = await ended_badly(core, run_id)
    assert view.error == "agent: the agent has ended, killed by SIGKILL"
    assert len(processes_of(core).agents) == 3
    assert processes_of(core).stages[-1] == "rescue"


async def test_what_people_say_is_a_further_turn(
    autojump_clock: Clock, tmp_path: Path
) -> None:
    """AG-05"""
    async with open_agents(tmp_path) as core:
        run_id = await core.submit("agent", task("edit"))
        ask = await core.wait_asked(run_id)
        await core.core.control.intervene(run_id, "and tell me why")
        await core.answer(run_id, ask.name, "allow")
        again = await core.wait_asked(run_id)
        assert again.name != ask.name
        await core.answer(run_id, again.name, "allow")
        result = await ended_well(core, run_id)
        told = processes_of(core).agents[0].told
    prompts = [m["params"]["prompt"][0]["text"] for m in told if m.get("method") == "session/prompt"]  # fmt: skip
    assert prompts == ["Write f.txt", "and tell me why"]
    assert result["turns"] == 2


async def test_a_spent_quota_is_waited_for_without_a_slot(
    autojump_clock: Clock, tmp_path: Path
) -> None:
    """AG-06: the run says which and until when, and goes on."""
    async with open_agents(tmp_path) as core:
        run_id = await core.submit("agent", task("limit"))
        await trio.sleep(2)
        waiting = (await core.view(run_id)).waiting
        assert waiting is not None
        assert (waiting.kind, waiting.subject) == ("quota", "agent")
        assert waiting.until is not None
        await ended_well(core, run_id)
        facts = await core.facts(run_id)
    assert said(facts) == "begunwent on"
    assert [e.name for e in of_type(facts, "step.completed") if e.name.startswith("quota")] == ["quota 1"]  # fmt: skip
    assert len(processes_of(core).agents) == 1


async def test_a_long_wait_for_a_quota_keeps_no_program_alive(
    autojump_clock: Clock, tmp_path: Path
) -> None:
    """AG-06: it is started again when the time has come, and all others of the quota wait with it."""
    async with open_agents(tmp_path) as core:
        first = await core.submit("agent", task("long-limit"))
        await trio.sleep(60)
        other = await core.submit("agent", task("echo"))
        await trio.sleep(60)
        assert core.processes.running == 0
        waits = [(await core.view(run_id)).waiting for run_id in (first, other)]
        assert [w and (w.kind, w.subject) for w in waits] == [("quota", "agent")] * 2
        why = await core.core.why(first)
        assert "It waits, without a slot: quota of agent until" in why.reasons[0].text
        for run_id in (first, other):
            await ended_well(core, run_id)
        assert trio.current_time() >= 2 * 3600
    assert [agent.scenario for agent in processes_of(core).agents].count("long-limit") == 2  # fmt: skip


async def test_a_restart_in_a_wait_for_a_quota_waits_on(
    autojump_clock: Clock, tmp_path: Path
) -> None:
    """AG-06: until when is a step of the run."""
    async with open_memory_store() as store:
        async with open_agents(tmp_path, store=store) as core:
            run_id = await core.submit("agent", task("long-limit"))
            await trio.sleep(60)
        async with open_agents(tmp_path, store=store, life="life-2") as core:
            await trio.sleep(60)
            waiting = (await core.view(run_id)).waiting
            assert waiting is not None
            assert waiting.kind == "quota"
            assert processes_of(core).agents == []
            await ended_well(core, run_id)


@pytest.mark.parametrize(
    ("more", "error"),
    [({"quota": "fail"}, "is used up until"), ({"quota_within": 1}, "longer than this run waits")],
)  # fmt: skip
async def test_a_quota_nobody_waits_for_fails_the_run(
    more: dict[str, Any], error: str, autojump_clock: Clock, tmp_path: Path
) -> None:
    """AG-06"""
    async with open_agents(tmp_path) as core:
        view = await ended_badly(
            core, await core.submit("agent", task("limit", **more))
        )
    assert error in (view.error or "")


async def test_an_agent_that_overspends_is_ended(
    autojump_clock: Clock, tmp_path: Path
) -> None:
    """AG-07: what it spent is booked, and the sentence says how much."""
    async with open_agents(tmp_path) as core:
        run_id = await core.submit("agent", task("spend", budget={"cost": 0.55}))
        view = await ended_badly(core, run_id)
    assert (view.error or "").startswith("the agent spent 0.")
    assert 0.55 < view.cost < 1.2
    assert processes_of(core).agents[0].cancelled.is_set()


async def test_an_agent_that_spends_on_is_ended_though_it_never_stops_talking(
    autojump_clock: Clock, tmp_path: Path
) -> None:
    """AG-07: it may take leave, and no longer."""
    async with open_agents(tmp_path) as core:
        run_id = await core.submit("agent", task("spend-on", budget={"cost": 0.55}))
        view = await ended_badly(core, run_id)
    assert (view.error or "").startswith("the agent spent 0.")
    assert view.cost < 20


async def test_no_turn_is_begun_once_too_much_is_spent(
    autojump_clock: Clock, tmp_path: Path
) -> None:
    """AG-07: what an agent tells only as its turn ends counts for the next."""
    async with open_agents(tmp_path) as core:
        run_id = await core.submit("agent", task("edit", budget={"tokens": 10}))
        ask = await core.wait_asked(run_id)
        await core.core.control.intervene(run_id, "and once more")
        await core.answer(run_id, ask.name, "allow")
        view = await ended_badly(core, run_id)
    assert view.error == "the agent spent 11 tokens, more than 10"
    assert processes_of(core).agents[0].turns == 1


@pytest.mark.parametrize(
    ("models", "sentence"),
    [
        ({"run_budget": {"cost": 0.7}}, "more than 0.7"),
        ({"run_budget": {"cost": 0.7}, "tree_budget": {"cost": 0.3}}, "of 0.3 money are spent by r-1 and all runs below it"),
    ],
)  # fmt: skip
async def test_what_any_run_and_its_whole_tree_spend_is_bounded_too(
    models: dict[str, Any], sentence: str, autojump_clock: Clock, tmp_path: Path
) -> None:
    """AG-07: by the settings for all that asks models."""
    processes = AgentProcesses()
    world = memory_environment(processes, workspaces=tmp_path)
    config = Config.model_validate({"models": models})
    kinds = {KIND.name: KIND}
    async with (
        open_memory_store() as store,
        open_core(config, store=store, kinds=kinds, life="life-1", environment=world) as real,
    ):  # fmt: skip
        core = InMemoryCore(real, processes)
        view = await ended_badly(
            core, await core.submit("agent", task("spend", stall=2))
        )
    assert sentence in (view.error or "")


async def test_silence_is_told_once(autojump_clock: Clock, tmp_path: Path) -> None:
    """AG-07"""
    async with open_agents(tmp_path) as core:
        run_id = await core.submit("agent", task("silent", stall=100))
        await ended_well(core, run_id)
        facts = await core.facts(run_id)
    assert [e.name for e in of_type(facts, "milestone")] == ["session", "silent"]


async def test_the_silence_of_a_person_is_not_that_of_the_agent(
    autojump_clock: Clock, tmp_path: Path
) -> None:
    """AG-07: after an answer it has its time anew."""
    async with open_agents(tmp_path) as core:
        run_id = await core.submit("agent", task("ponder", stall=100))
        ask = await core.wait_asked(run_id)
        await trio.sleep(1000)
        await core.answer(run_id, ask.name, "allow")
        await ended_well(core, run_id)
        facts = await core.facts(run_id)
    assert [e.name for e in of_type(facts, "milestone")] == ["session"]


async def test_nobody_is_told_of_silence_all_the_time(
    autojump_clock: Clock, tmp_path: Path
) -> None:
    """AG-07: looking so often would keep the daemon busy."""
    async with open_agents(tmp_path) as core:
        with pytest.raises(Refused, match="greater than or equal to 1"):
            await core.submit("agent", task("echo", stall=1e-6))


#: What goes wrong with an agent, and what the run fails with.
SENTENCES = {
    "dead": "agent: the agent has ended, exit status 3",
    "hang-initialize": "agent did not begin within 60 s",
    "deaf": "agent did not begin within 60 s",
    "version": "version",
    "auth": "agent wants somebody to log in",
    "auth-at-prompt": "agent wants somebody to log in",
    "endless-line": "line",
    "many-values": "no message of the protocol",
}


@pytest.mark.parametrize(("scenario", "sentence"), SENTENCES.items())
async def test_a_fault_of_an_agent_is_a_sentence(
    scenario: str, sentence: str, autojump_clock: Clock, tmp_path: Path
) -> None:
    """AG-08: and nothing is left running."""
    async with open_agents(tmp_path) as core:
        view = await ended_badly(core, await core.submit("agent", task(scenario)))
    assert sentence in (view.error or "")


async def test_a_program_that_is_not_there_is_named(
    autojump_clock: Clock, tmp_path: Path
) -> None:
    """AG-08: with what brings it."""
    agents = {"codex": {"command": ["missing"]}}
    async with open_agents(tmp_path, agents=agents) as core:
        run_id = await core.submit("agent", {"prompt": "p", "agent": "codex"})
        view = await ended_badly(core, run_id)
        unknown = await core.submit("agent", {"prompt": "p", "agent": "kodex"})
        other = await ended_badly(core, unknown)
    assert view.error == (
        "inputs.argv: 'missing' cannot be executed: No such file or directory;"
        " `npm install -g @agentclientprotocol/codex-acp` brings it"
    )
    assert "'kodex' is not known; there are claude, codex" in (other.error or "")


@pytest.mark.parametrize(
    "scenario",
    ["fs", "garbage", "binary", "deep", "wrong-ids", "same-id", "flood", "talk", "mode"],
)  # fmt: skip
async def test_what_is_odd_does_not_end_a_run(
    scenario: str, autojump_clock: Clock, tmp_path: Path
) -> None:
    """AG-08: adapters change every week."""
    async with open_agents(tmp_path) as core:
        run_id = await core.submit("agent", task(scenario, permissions="none"))
        await ended_well(core, run_id)
        assert len(await core.facts(run_id)) < 400


async def test_a_thousand_questions_are_a_thousand_questions(
    autojump_clock: Clock, tmp_path: Path
) -> None:
    """AG-08: each is answered, here by nobody; of those at once some are refused."""
    async with open_agents(tmp_path) as core:
        run_id = await core.submit("agent", task("many-asks", answer_within=5))
        await ended_well(core, run_id)
        view = await core.view(run_id)
        told = json.loads(said(await core.facts(run_id)))
    assert sum(told.values()) == 1000
    assert len(view.asks) == told["reject"] >= 800


async def test_what_ran_unasked_is_told_or_ends_the_run(
    autojump_clock: Clock, tmp_path: Path
) -> None:
    """AG-02: agents decide themselves when they ask."""
    async with open_agents(tmp_path) as core:
        told = await core.submit("agent", task("unasked"))
        assert (await ended_well(core, told))["unasked"] == 1
        strict = await core.submit("agent", task("unasked", strict=True))
        view = await ended_badly(core, strict)
    assert "without asking" in (view.error or "")


async def test_no_more_are_alive_than_may_be(
    autojump_clock: Clock, tmp_path: Path
) -> None:
    """AG-09: one that waits for a person is alive too."""
    processes = AgentProcesses()
    async with open_agents(
        tmp_path, processes, agents={"max_alive": 2}, max_concurrent=5
    ) as core:
        runs = [await core.submit("agent", task("edit")) for _ in range(4)]
        await trio.sleep(5)
        assert len(processes.agents) == 2
        views = [await core.view(run_id) for run_id in runs]
        alive = [view.run_id for view in views if view.asks]
        assert len(alive) == 2
        first = await core.wait_asked(alive[0])
        await core.answer(alive[0], first.name, "allow")
        await core.wait_ended(alive[0])
        await trio.sleep(1)
        assert len(processes.agents) == 3
        runs.remove(alive[0])

        async def answer(run_id: str) -> None:
            ask = await core.wait_asked(run_id)
            await core.answer(run_id, ask.name, "allow")

        # Nobody knows which of them asks last: it is let in with an answer to another.
        async with trio.open_nursery() as nursery:
            for run_id in runs:
                nursery.start_soon(answer, run_id)
        for run_id in runs:
            assert (await core.wait_ended(run_id)).state == "completed"


async def test_who_waits_for_one_agent_keeps_no_place_from_the_others(
    autojump_clock: Clock, tmp_path: Path
) -> None:
    """AG-09: runs of an agent with few places of its own take none of the common ones meanwhile."""
    agents = {"max_alive": 2, "mine": {"command": ["scripted", "edit"], "slots": 1}}
    async with open_agents(tmp_path, agents=agents, max_concurrent=5) as core:
        mine = {"prompt": "p", "agent": "mine"}
        runs = [await core.submit("agent", mine) for _ in range(3)]
        await trio.sleep(5)
        views = [await core.view(run_id) for run_id in runs]
        waits = [v.waiting.subject for v in views if v.waiting and not v.asks]
        assert waits == ["1 runs of mine are alive, the most at once"] * 2
        other = await core.submit("agent", task("echo"))
        with trio.fail_after(60):
            assert (await core.wait_ended(other)).state == "completed"


async def test_a_repository_that_git_cannot_copy_fails_with_its_words(
    autojump_clock: Clock, tmp_path: Path
) -> None:
    """AG-10: before any agent is started."""
    why = "copy /the/repository: it is not in a git repository"
    async with open_agents(tmp_path, AgentProcesses(git_fails={"open": why})) as core:
        view = await ended_badly(core, await core.submit("agent", task("edit")))
    assert view.error == f"git could not {why}"
    assert processes_of(core).agents == []


async def test_work_that_cannot_be_kept_stays_in_its_folder(
    autojump_clock: Clock, tmp_path: Path
) -> None:
    """AG-10: as on a full disk; the log says where."""
    processes = AgentProcesses(git_fails={"rescue": "keep the work"})
    async with open_agents(tmp_path, processes) as core:
        run_id = await core.submit("agent", task("slow"))
        await trio.sleep(2)
        await core.cancel(run_id)
        facts = await core.facts(run_id)
    assert f"so the work stays in {tmp_path / run_id / 'tree'}" in logged(facts)
    assert (tmp_path / run_id).exists()
