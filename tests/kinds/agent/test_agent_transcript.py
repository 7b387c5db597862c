"""AG-01: what an agent tells is joined, bounded, and told once."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from penstock.kinds.agent.said import LONGEST_PIECE
from penstock.kinds.agent.tool_call import LONGEST_DIFF, LONGEST_INPUT, LONGEST_OUTPUT
from penstock.kinds.agent.transcript import (
    MOST_CALLS,
    MOST_FACTS,
    Transcript,
)
from penstock.pipeline import (
    AgentSaid,
    AnyEvent,
    ModelUsed,
    PlanUpdated,
    Progress,
    ToolCalled,
    ToolEnded,
)

TREE = Path("/t")


def piece(text: str, message: str | None = "m", kind: str = "agent_message_chunk") -> dict[str, Any]:  # fmt: skip
    named = {} if message is None else {"messageId": message}
    return {"sessionUpdate": kind, "content": {"type": "text", "text": text}, **named}


def tool(call: str = "t", status: str | None = "in_progress", **more: Any) -> dict[str, Any]:  # fmt: skip
    return {"sessionUpdate": "tool_call", "toolCallId": call, "status": status, **more}


def facts_of(*updates: dict[str, Any], life: int = 1) -> list[AnyEvent]:
    transcript = Transcript(life, TREE, "fake")
    for update in updates:
        transcript.take(update)
    return transcript.flush()


def of(kind: type, facts: list[AnyEvent]) -> list[Any]:
    return [fact for fact in facts if isinstance(fact, kind)]


def test_pieces_of_a_message_are_joined() -> None:
    [said] = facts_of(piece("a"), piece("b"), piece(""), piece("c"))
    assert said == AgentSaid(message="1.1", role="agent", text="abc")


@pytest.mark.parametrize("second", [
    piece("b", "other"), piece("b", "m", "agent_thought_chunk"),
])  # fmt: skip
def test_another_message_or_role_begins_another(second: dict[str, Any]) -> None:
    one, other = of(AgentSaid, facts_of(piece("a"), second))
    assert one.message != other.message


def test_what_is_said_after_a_tool_is_a_message_of_its_own() -> None:
    """Else its pieces would be joined across the tool."""
    said = of(AgentSaid, facts_of(piece("a", None), tool(title="x"), piece("b", None)))
    assert [one.message for one in said] == ["1.1", "1.2"]


def test_pieces_that_were_taken_apart_are_of_one_message() -> None:
    transcript = Transcript(3, TREE, "fake")
    transcript.take(piece("a"))
    [one] = transcript.flush()
    transcript.take(piece("b"))
    [other] = transcript.flush()
    assert isinstance(one, AgentSaid)
    assert isinstance(other, AgentSaid)
    assert one.message == other.message == "3.1"
    assert transcript.empty


def test_a_long_text_is_several_facts() -> None:
    said = of(AgentSaid, facts_of(piece("a" * (2 * LONGEST_PIECE + 5)), piece("b")))
    assert [len(one.text) for one in said] == [LONGEST_PIECE, LONGEST_PIECE, 6]
    assert {one.message for one in said} == {"1.1"}


def test_two_hundred_thousand_words_are_few_facts() -> None:
    transcript = Transcript(1, TREE, "fake")
    facts = 0
    for k in range(200_000):
        transcript.take(piece("word ", f"m{k // 1000}"))
        if transcript.full:
            facts += len(transcript.flush())
    assert facts + len(transcript.flush()) < 250


def test_a_word_a_message_is_no_fact_a_word() -> None:
    transcript = Transcript(1, TREE, "fake")
    for k in range(10_000):
        transcript.take(piece("w ", f"m{k}"))
    said = of(AgentSaid, transcript.flush())
    assert len(said) <= MOST_FACTS
    assert "".join(one.text for one in said) == "w " * 10_000


def test_what_is_no_text_is_named() -> None:
    image = {"sessionUpdate": "agent_message_chunk", "content": {"type": "image"}}
    link = {"sessionUpdate": "agent_message_chunk", "content": {"type": "resource_link", "name": "n", "uri": "u"}}  # fmt: skip
    [said] = of(AgentSaid, facts_of(image, link))
    assert said.text == "[image][n](u)"


def test_the_last_message_is_kept_for_the_report() -> None:
    transcript = Transcript(1, TREE, "fake")
    for update in (piece("first"), tool(), piece("la", None), piece("st", None), tool("u")):  # fmt: skip
        transcript.take(update)
    assert transcript.text == "last"


def test_a_call_is_told_once_it_is_known_what_it_is() -> None:
    assert facts_of(tool(status="pending", rawInput={})) == []
    facts = facts_of(
        tool(status="pending", rawInput={}, title="Write"),
        tool(status=None, rawInput={"path": "/t/a"}, title="Write a", kind="edit"),
        tool(status=None, title="Write a"),
    )
    [called] = of(ToolCalled, facts)
    assert called == ToolCalled(call="1.t", title="Write a", tool="edit", paths=("a",), input={"path": "/t/a"})  # fmt: skip
    assert of(Progress, facts) == [Progress(step="Write a")]


def test_whether_a_call_asked_is_known_of_it() -> None:
    transcript = Transcript(1, TREE, "fake")
    transcript.take(tool(status="pending", title="make", kind="execute", rawInput={"command": "make"}))  # fmt: skip
    act = transcript.take_wish({"toolCallId": "t", "kind": None})
    assert (act.tool, act.command, act.title) == ("execute", "make", "make")
    [called] = of(ToolCalled, transcript.flush())
    assert called.asked
    transcript.take(tool(status="completed"))
    assert (transcript.asked, transcript.unasked) == (1, 0)


def test_a_call_that_should_have_asked_is_counted() -> None:
    transcript = Transcript(1, TREE, "fake", needs_asking=lambda act: act.tool != "read")  # fmt: skip
    transcript.take(tool("a", "completed", kind="read"))
    transcript.take(tool("b", "completed", kind="edit"))
    transcript.take(tool("c", "failed", kind="execute"))
    transcript.take(tool("d", kind="execute"))
    transcript.close()
    assert transcript.unasked == 2


def test_what_is_under_way_when_a_turn_ends_is_cancelled() -> None:
    transcript = Transcript(1, TREE, "fake")
    transcript.take(tool("a"))
    transcript.take(tool("never told", "pending"))
    transcript.end_turn({})
    assert of(ToolEnded, transcript.flush()) == [ToolEnded(call="1.a", status="cancelled")]  # fmt: skip
    transcript.close()
    assert transcript.flush() == []


def test_what_is_told_of_a_call_that_has_ended_is_not_told_on() -> None:
    facts = facts_of(tool(), tool(status="completed"), {**tool(rawInput={"late": 1}), "sessionUpdate": "tool_call_update"})  # fmt: skip
    assert [type(fact) for fact in facts] == [ToolCalled, ToolEnded, Progress]


def test_a_diff_is_kept_though_what_comes_later_has_none() -> None:
    diff = {"type": "diff", "path": "/t/a", "oldText": "x\n", "newText": "y\n"}
    text = {"type": "content", "content": {"type": "text", "text": "done"}}
    facts = facts_of(tool(content=[diff]), tool(status="completed", content=[text]))
    [ended] = of(ToolEnded, facts)
    assert ended.output == "done"
    assert ended.diff == "--- a/a\n+++ b/a\n@@ -1,1 +1,1 @@\n-x\n+y\n"


def test_what_is_long_is_cut() -> None:
    diff = {"type": "diff", "path": "a", "oldText": "", "newText": "é\n" * 50_000}
    facts = facts_of(
        tool(rawInput={"content": "é" * 20_000}, title="t" * 9999, content=[diff]),
        tool(status="completed", rawOutput="é" * 20_000 + "end"),
    )
    [called], [ended] = of(ToolCalled, facts), of(ToolEnded, facts)
    assert len(called.title) == 500
    assert len(json.dumps(called.input, ensure_ascii=False).encode()) < LONGEST_INPUT + 2048  # fmt: skip
    assert len(ended.output.encode()) <= LONGEST_OUTPUT
    assert ended.output.endswith("end")
    assert len(ended.diff.encode()) <= LONGEST_DIFF
    huge = {"type": "diff", "path": "a", "oldText": "", "newText": "x" * 2_000_000}
    [ended] = of(ToolEnded, facts_of(tool(content=[huge]), tool(status="completed")))
    assert ended.diff == '"a" is too long to be compared\n'


def test_calls_that_never_end_are_bounded() -> None:
    transcript = Transcript(1, TREE, "fake")
    ended = 0
    for k in range(3 * MOST_CALLS):
        transcript.take(tool(f"t{k}"))
        ended += len(of(ToolEnded, transcript.flush()))
    assert ended == 2 * MOST_CALLS


def test_a_flood_of_updates_of_one_call_is_one_fact() -> None:
    updates = [tool(rawOutput=str(k)) for k in range(10_000)]
    assert len(of(ToolCalled, facts_of(*updates))) == 1


def test_a_plan_is_told_whole_and_as_progress() -> None:
    entries = [
        {"content": "a", "status": "completed", "priority": "high"},
        {"content": "b", "status": "in_progress", "priority": "urgent"},
        {"content": 3, "status": "lost"},
        "x",
    ]
    plan, step = facts_of({"sessionUpdate": "plan", "entries": []}, {"sessionUpdate": "plan", "entries": entries})  # fmt: skip
    assert isinstance(plan, PlanUpdated)
    assert [(e.content, e.status, e.priority) for e in plan.entries] == [
        ("a", "completed", "high"),
        ("b", "in_progress", "medium"),
        ("", "pending", "medium"),
    ]
    assert step == Progress(step="b", fraction=1 / 3)


def cost(amount: Any) -> dict[str, Any]:
    return {"sessionUpdate": "usage_update", "cost": {"amount": amount}}


def test_money_is_counted_by_what_it_rises() -> None:
    transcript = Transcript(1, TREE, "fake")
    for amount in (0, 0.1, 0.1, 0.3, 0.2, "x", None, True, float("nan"), 10**400, -1):
        transcript.take(cost(amount))
    [used] = transcript.flush()
    assert isinstance(used, ModelUsed)
    assert used.cost == pytest.approx(0.3)
    assert transcript.cost == transcript.session_cost == pytest.approx(0.3)


@pytest.mark.parametrize(("told", "spent"), [(0.75, 0.25), (0.2, 0.2)])
def test_a_session_goes_on_to_count_or_begins_anew(told: float, spent: float) -> None:
    transcript = Transcript(2, TREE, "fake", cost_before=0.5)
    transcript.take(cost(told))
    assert transcript.cost == pytest.approx(spent)
    assert transcript.session_cost == pytest.approx(told)


@pytest.mark.parametrize(
    "update",
    [
        {}, {"sessionUpdate": 3}, {"sessionUpdate": "new_kind", "x": 1}, {"sessionUpdate": "tool_call"},
        {"sessionUpdate": "agent_message_chunk"}, {"sessionUpdate": "agent_message_chunk", "content": "x"},
        {"sessionUpdate": "plan", "entries": {"a": 1}}, {"sessionUpdate": "usage_update", "cost": 3},
        {"sessionUpdate": "tool_call", "toolCallId": ["x"], "status": ["completed"], "content": 3, "locations": 1},
        {"sessionUpdate": "tool_call", "toolCallId": "x", "status": {}, "_meta": 3, "rawInput": []},
        {"sessionUpdate": "tool_call", "toolCallId": "x", "status": "completed", "content": [{"type": "diff"}]},
    ],
)  # fmt: skip
def test_an_update_of_anything_at_all_is_taken(update: dict[str, Any]) -> None:
    facts_of(update, update)
