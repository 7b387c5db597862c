"""An outside author's tests of a kind, in memory."""

import errand
import greet

from penstock.testing import (
    FakeProcesses,
    FakeProgram,
    open_memory_store,
    open_test_core,
)

KINDS = [errand.KIND, greet.KIND]
SAY = {"say": FakeProgram(stdout=b"hello\n", seconds=3600)}


async def test_an_errand_is_done_by_a_program_and_a_child(autojump_clock):
    async with open_test_core(KINDS, processes=FakeProcesses(SAY)) as core:
        ended = await core.run("errand", {"tool": "say", "to": "you"})
        child = await core.view(f"{ended.run_id}.greeting")
    assert ended.result == {"said": "hello", "greeted": ["you"]}
    assert child.priority == 30


async def test_nobody_is_asked_who_was_named(autojump_clock):
    async with open_test_core(KINDS, processes=FakeProcesses(SAY)) as core:
        ended = await core.run("errand", {"tool": "say", "to": "you"})
        types = [fact.type for fact in await core.facts(ended.run_id)]
    assert types[2:4] == ["ask.raised", "ask.answered"]
    assert ended.asks["to"].answered_by == "request"


async def test_a_person_is_asked_and_may_say_nonsense(autojump_clock):
    async with open_test_core(KINDS) as core:
        run_id = await core.submit("errand", {"tool": "say"})
        ask = await core.wait_asked(run_id)
        await core.answer(run_id, ask.name, "42")
        ended = await core.wait_ended(run_id)
    assert (ended.state, ended.error) == ("failed", "to: '42' is no name")


async def test_a_program_that_fails_fails_the_errand(autojump_clock):
    processes = FakeProcesses({"say": FakeProgram.failing(3)})
    async with open_test_core(KINDS, processes=processes) as core:
        ended = await core.run("errand", {"tool": "say", "to": "you"})
    assert ended.error == "say cannot be used: exit status 3"


async def test_a_restart_fails_it_as_its_kind_says(autojump_clock):
    async with open_memory_store() as store:
        async with open_test_core(KINDS, store=store) as core:
            run_id = await core.submit("errand", {"tool": "say"})
            await core.wait_asked(run_id)
        async with open_test_core(KINDS, store=store, life="life-2") as core:
            assert (await core.view(run_id)).state == "failed"
