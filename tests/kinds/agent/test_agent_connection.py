"""AG-01 to AG-04: an agent is talked with, whatever it does: on virtual time, over streams in memory."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import trio
import trio.testing

from fakes.agent_talk import Heard, open_session, open_talk
from fakes.lengths import length
from penstock.kinds.agent.connection import CANCEL_SECONDS, open_agent
from penstock.kinds.agent.failures import (
    AgentGone,
    AgentRefused,
    AgentUnfit,
)
from penstock.kinds.agent.offered import PermissionWish

Clock = trio.testing.MockClock
#: Virtual seconds after which a story hangs.
DEADLINE = 3600.0


async def _turn(scenario: str, heard: Heard, text: str = "go", cwd: Path = Path("/x")) -> str:  # fmt: skip
    with trio.fail_after(DEADLINE):
        async with open_session(scenario, heard, cwd) as (agent, _):
            return (await agent.prompt(text)).stop_reason


async def test_a_turn_is_taken_with_its_permission(
    autojump_clock: Clock, tmp_path: Path
) -> None:
    heard = Heard()
    assert await _turn("edit", heard, cwd=tmp_path) == "end_turn"
    assert (tmp_path / "f.txt").read_text() == "x\n"
    assert heard.said == "done once"
    [wish] = heard.wishes
    assert wish.call["toolCallId"] == "t1"
    assert [option.kind for option in wish.options] == [
        "allow_always",
        "allow_once",
        "reject_once",
    ]


async def test_a_greeting_says_who_it_is(autojump_clock: Clock) -> None:
    async with open_talk("resume", Heard()) as (agent, scripted):
        greeting = await agent.greet("0.1")
        session = await agent.new_session("/x")
    assert (greeting.name, greeting.version) == ("scripted", "1.0")
    assert (greeting.can_resume, greeting.can_load) == (True, False)
    assert greeting.logins == ("Run `scripted login`",)
    assert (session.id, session.chosen("mode")) == ("s1", "default")
    assert scripted.told[0]["params"]["protocolVersion"] == 1
    assert scripted.told[1]["params"] == {"cwd": "/x", "mcpServers": []}


async def test_another_version_is_refused_in_a_sentence(autojump_clock: Clock) -> None:
    async with open_talk("version", Heard()) as (agent, _):
        with pytest.raises(AgentUnfit, match="speaks version 7 of the protocol"):
            await agent.greet("0")
        with pytest.raises(AgentGone, match="version 7"):
            await agent.new_session("/x")


async def test_a_login_that_is_missing_is_known(autojump_clock: Clock) -> None:
    async with open_talk("auth", Heard()) as (agent, _):
        await agent.greet("0")
        with pytest.raises(AgentRefused, match="Authentication required") as raised:
            await agent.new_session("/x")
    assert raised.value.needs_login
    with pytest.raises(AgentRefused) as raised:
        await _turn("auth-at-prompt", Heard())
    assert raised.value.needs_login


@pytest.mark.parametrize("scenario", ["dead", "exit-in-turn", "die-in-turn", "die-asking"])  # fmt: skip
async def test_one_that_ends_fails_whoever_waits(
    autojump_clock: Clock, scenario: str
) -> None:
    with pytest.raises(AgentGone, match="the agent has ended"):
        await _turn(scenario, Heard(seconds=None))


@pytest.mark.parametrize("scenario", ["deaf", "hang-initialize"])
async def test_one_that_says_nothing_is_waited_for_as_long_as_one_likes(
    autojump_clock: Clock, scenario: str
) -> None:
    async with open_talk(scenario, Heard()) as (agent, _):
        with trio.move_on_after(60) as scope:
            await agent.greet("0")
    assert scope.cancelled_caught
    assert trio.current_time() < 70


async def test_modes_are_chosen_and_followed(autojump_clock: Clock) -> None:
    async with open_session("mode", Heard()) as (agent, scripted):
        await agent.choose("mode", "default")
        assert scripted.told[-1]["params"] == {"sessionId": "s1", "modeId": "default"}
        with pytest.raises(AgentUnfit, match="no mode 'yolo'; it has default, plan"):
            await agent.choose("mode", "yolo")
        with pytest.raises(AgentUnfit, match="lets nobody choose its model"):
            await agent.choose("model", "gpt")
        await agent.prompt("go")
        assert agent.session is not None
        assert agent.session.chosen("mode") == "plan"


async def test_a_past_that_is_told_again_is_not_heard(autojump_clock: Clock) -> None:
    heard = Heard()
    async with open_talk("load", heard) as (agent, _):
        assert (await agent.greet("0")).can_load
        await agent.load_session("s1", "/x")
        assert heard.updates == []
        await agent.prompt("and now?")
    assert heard.said == "you said: and now?"


async def test_what_cannot_be_taken_up_is_refused_and_a_new_one_begun(
    autojump_clock: Clock,
) -> None:
    async with open_talk("resume-refused", Heard()) as (agent, _):
        assert (await agent.greet("0")).can_resume
        with pytest.raises(AgentRefused, match="Method not found"):
            await agent.resume_session("s1", "/x")
        with pytest.raises(AgentRefused, match="Invalid session"):
            await agent.load_session("gone", "/x")
        assert (await agent.new_session("/x")).id == "s1"


async def test_a_request_at_the_wrong_time_is_our_fault(autojump_clock: Clock) -> None:
    async with open_talk("echo", Heard()) as (agent, _):
        with pytest.raises(RuntimeError, match="session/new is not asked for"):
            await agent.new_session("/x")


# -- cancel


async def test_a_cancel_is_told_politely_and_its_answer_is_heard(
    autojump_clock: Clock,
) -> None:
    """The reader hears on while the run is cancelled already."""
    heard = Heard()
    async with open_session("slow", heard) as (agent, scripted):
        with trio.move_on_after(10) as scope:
            await agent.prompt("go")
    assert scope.cancelled_caught
    assert scripted.told[-1]["method"] == "session/cancel"
    assert agent.parting is not None
    assert agent.parting.stop_reason == "cancelled"
    assert agent.parting.seconds < 0.1


async def test_a_cancel_of_all_that_is_around_is_told_too(
    autojump_clock: Clock,
) -> None:
    agents = []
    with trio.move_on_after(10):
        async with open_session("slow", Heard()) as (agent, _):
            agents.append(agent)
            async with trio.open_nursery() as nursery:
                nursery.start_soon(trio.sleep_forever)
                await agent.prompt("go")
    [agent] = agents
    assert agent.parting is not None
    assert agent.parting.stop_reason == "cancelled"


@pytest.mark.parametrize("scenario", ["late-cancel", "deaf-cancel", "silent"])
async def test_one_that_ignores_a_cancel_is_waited_for_no_longer_than_that(
    autojump_clock: Clock, scenario: str
) -> None:
    async with open_session(scenario, Heard()) as (agent, _):
        with trio.move_on_after(10):
            await agent.prompt("go")
        assert trio.current_time() == pytest.approx(10 + CANCEL_SECONDS, abs=0.1)
    assert agent.parting is not None
    assert agent.parting.stop_reason is None


async def test_a_permission_that_is_open_at_a_cancel_is_answered_as_cancelled(
    autojump_clock: Clock, tmp_path: Path
) -> None:
    heard = Heard(seconds=None)
    async with open_session("edit", heard, tmp_path) as (agent, scripted):
        with trio.move_on_after(10):
            await agent.prompt("go")
    with trio.fail_after(5):
        assert await scripted.answer_to("q1") == "cancelled"
    assert heard.taken_back == [("q1", "the turn was cancelled")]
    assert agent.parting is not None
    assert agent.parting.stop_reason == "cancelled"
    assert not (tmp_path / "f.txt").exists()


async def test_a_turn_can_be_ended_from_within(autojump_clock: Clock) -> None:
    """As a budget does: whoever waits for the turn gets its end."""

    class Thrifty(Heard):
        async def updated(self, update: dict[str, Any]) -> None:
            await super().updated(update)
            if update["cost"]["amount"] > 0.55:
                agent.cancel_turn_nowait()

    heard = Thrifty()
    async with open_session("spend", heard) as (agent, _):
        assert (await agent.prompt("go")).stop_reason == "cancelled"
        assert len(heard.updates) == 6
        # And the next one is a turn like any other.
        assert (await agent.prompt("go")).stop_reason == "cancelled"


# -- permissions


async def test_a_wish_that_is_taken_back_is_no_question_any_more(
    autojump_clock: Clock,
) -> None:
    heard = Heard(seconds=None)
    assert await _turn("withdraw", heard) == "end_turn"
    assert heard.taken_back == [("q9", "the agent took it back")]
    assert heard.said == "withdrawn: error -32800"


async def test_several_wishes_are_open_at_once(autojump_clock: Clock) -> None:
    heard = Heard(seconds=5)
    assert await _turn("two-asks", heard) == "end_turn"
    assert heard.said == "once once"
    assert trio.current_time() < 6


async def test_a_thousand_wishes_are_a_hundred_at_a_time(autojump_clock: Clock) -> None:
    heard = Heard(seconds=1)
    assert await _turn("many-asks", heard) == "end_turn"
    assert heard.said == '{"error -32000": 200, "once": 800}'


async def test_no_option_chosen_is_told_as_cancelled(autojump_clock: Clock) -> None:
    heard = Heard(answer=None)
    assert await _turn("outside", heard) == "end_turn"
    assert heard.said == "cancelled"


async def test_what_was_declared_absent_is_refused(autojump_clock: Clock) -> None:
    """opencode writes files through its client whatever was said."""
    heard = Heard()
    assert await _turn("fs", heard) == "end_turn"
    assert heard.said == "error -32601"


async def test_wishes_of_other_sessions_and_under_one_id_twice(
    autojump_clock: Clock,
) -> None:
    heard = Heard(seconds=3)
    assert await _turn("same-id", heard) == "end_turn"
    assert heard.said == "error -32602 once"
    assert len(heard.wishes) == 1
    assert heard.noises == ["two requests under one id: q1"]


async def test_what_a_listener_raises_ends_the_block_as_it_is(
    autojump_clock: Clock,
) -> None:
    class Broken(Heard):
        async def updated(self, update: dict[str, Any]) -> None:
            raise LookupError("no store")

    class BrokenPermit(Heard):
        async def permit(self, wish: PermissionWish) -> str | None:
            raise LookupError("no store")

    for heard, scenario in ((Broken(), "talk"), (BrokenPermit(), "outside")):
        with pytest.raises(LookupError, match="no store"):
            await _turn(scenario, heard)


# -- hostile


async def test_what_is_no_message_is_told_and_passed_over(
    autojump_clock: Clock,
) -> None:
    heard = Heard()
    assert await _turn("garbage", heard) == "end_turn"
    assert heard.noises == ["npm WARN something is not right"] * 20
    assert heard.said == "after the garbage"
    heard = Heard()
    assert await _turn("binary", heard) == "end_turn"
    assert heard.said == "still here"


async def test_what_is_too_deep_is_passed_over(autojump_clock: Clock) -> None:
    heard = Heard()
    assert await _turn("deep", heard) == "end_turn"
    assert heard.said == "after the depth"
    assert heard.noises == ["message: nested deeper than the limit of 100 levels"]


@pytest.mark.parametrize(
    ("scenario", "why"),
    [
        ("flood-garbage", "writes what is no message of the protocol"),
        ("many-values", "writes what is no message of the protocol"),
        ("endless-line", "wrote a line of more than 32 MiB"),
    ],
)
async def test_one_that_speaks_no_protocol_is_given_up(
    autojump_clock: Clock, scenario: str, why: str
) -> None:
    with pytest.raises(AgentGone, match=why):
        await _turn(scenario, Heard())


async def test_answers_to_nothing_and_a_second_answer_are_noise(
    autojump_clock: Clock,
) -> None:
    heard = Heard()
    async with open_session("wrong-ids", heard) as (agent, _):
        assert (await agent.prompt("go")).stop_reason == "end_turn"
        assert (await agent.prompt("go")).stop_reason == "end_turn"
    assert "an answer to nothing that was asked: 999" in heard.noises
    assert heard.updates == []


async def test_one_that_does_not_read_is_given_up(autojump_clock: Clock) -> None:
    """Its wishes are answered, and nobody takes the answers."""

    class Asking(Heard):
        async def noise(self, text: str) -> None:
            await trio.lowlevel.checkpoint()

    to_agent, _never_read = trio.testing.lockstep_stream_one_way_pair()
    say, from_agent = trio.testing.lockstep_stream_one_way_pair()
    line = b'{"id": %d, "method": "fs/read_text_file", "params": {}}\n'

    async def flood() -> None:
        for k in range(2000):
            await say.send_all(line % k)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(flood)
        async with open_agent(from_agent, to_agent, Asking()) as agent:
            with pytest.raises(AgentGone, match="does not read what it is told"):
                await agent.greet("0")
        nursery.cancel_scope.cancel()


async def test_a_flood_of_updates_is_heard_to_its_end(autojump_clock: Clock) -> None:
    heard = Heard()
    assert await _turn(length("flood", "long-flood"), heard) == "end_turn"
    assert len(heard.updates) == length(20_000, 200_000)
