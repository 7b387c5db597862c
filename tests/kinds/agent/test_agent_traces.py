"""AG-01: what five real agents said, as facts."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime
from pathlib import Path

import pytest

from fakes.agent_traces import TRACES, PlayedTrace, play_trace
from penstock.kinds.agent.offered import read_greeting, read_session
from penstock.kinds.agent.permissions import PRESETS, judge, pick_option
from penstock.kinds.agent.quota import read_quota
from penstock.pipeline import AgentSaid, ModelUsed, ToolCalled, ToolEnded

AGENTS = ("claude", "codex", "gemini", "opencode", "qwen")
FOLDER = Path(__file__).parent / "traces"
DIFF = "--- /dev/null\n+++ b/a.txt\n@@ -0,0 +1,1 @@\n+hello from the fake model\n"
LAST_WORDS = "All done: edit after 2 tools."


def played(name: str) -> PlayedTrace:
    return play_trace(FOLDER / f"{name}.jsonl")


def test_there_are_twenty_five() -> None:
    assert len(TRACES) == 25
    assert {path.stem.partition("-")[2] for path in TRACES} == set(AGENTS)


@pytest.mark.parametrize("path", TRACES, ids=lambda path: path.stem)
def test_nothing_in_a_trace_is_noise_and_few_facts_say_it(path: Path) -> None:
    result = play_trace(path)
    assert result.noises == []
    # Each call has one end, and its first fact before that.
    ended = Counter(fact.call for fact in result.facts if isinstance(fact, ToolEnded))
    called = Counter(fact.call for fact in result.facts if isinstance(fact, ToolCalled))
    assert set(ended.values()) <= {1}
    assert set(ended) == set(called)
    assert len(result.facts) <= 13


@pytest.mark.parametrize("agent", AGENTS)
def test_an_edit_is_two_calls_and_last_words(agent: str) -> None:
    result = played(f"edit-{agent}")
    assert [end.stop_reason for end in result.ends] == ["end_turn"]
    ends = [fact for fact in result.facts if isinstance(fact, ToolEnded)]
    assert [end.status for end in ends] == ["completed", "completed"]
    # codex tells of no diff, for it has a shell write the file.
    assert ends[0].diff == ("" if agent == "codex" else DIFF)
    assert "hello from the fake model" in ends[1].output or agent == "gemini"
    assert result.transcript.text == LAST_WORDS
    assert "".join(fact.text for fact in result.facts if isinstance(fact, AgentSaid)).endswith(LAST_WORDS)  # fmt: skip
    assert result.transcript.unasked == {"codex": 2, "opencode": 0}.get(agent, 1)


@pytest.mark.parametrize("agent", ["claude", "gemini", "opencode", "qwen"])
def test_what_is_asked_for_is_known_whole(agent: str, tmp_path: Path) -> None:
    result = played(f"edit-{agent}")
    act = result.acts[0]
    assert (act.tool, act.paths[0], act.diff) == ("edit", f"/repo/{agent}/a.txt", DIFF)
    tree = Path(f"/repo/{agent}")
    assert judge(act, PRESETS["edit"], tree, "ask") == "allow"
    assert judge(act, PRESETS["ask"], tree, "ask") == "ask"
    assert judge(act, PRESETS["edit"], tmp_path, "ask") == "ask"
    kinds = {option.id: option.kind for option in result.wishes[0].options}
    allow = pick_option(result.wishes[0].options, "allow")
    deny = pick_option(result.wishes[0].options, "deny")
    assert (kinds[allow or ""], kinds[deny or ""]) == ("allow_once", "reject_once")


def test_a_command_is_known_where_it_is_told() -> None:
    [_, act] = played("edit-opencode").acts
    assert (act.tool, act.command) == ("execute", "cat /repo/opencode/a.txt")


@pytest.mark.parametrize(
    ("agent", "tokens_in", "tokens_out", "cost", "model"),
    [
        ("claude", 3003, 60, 0.016515, "claude"),
        ("codex", 3003, 60, 0.0, "fake-1"),
        ("gemini", 3003, 60, 0.0, "gemini-2.5-pro"),
        ("opencode", 1020, 20, 0.00315, "opencode"),
        ("qwen", 3030, 60, 0.0, "qwen"),
    ],
)
def test_what_it_took_is_found_wherever_it_is_told(
    agent: str, tokens_in: int, tokens_out: int, cost: float, model: str
) -> None:
    result = played(f"edit-{agent}")
    used = [fact for fact in result.facts if isinstance(fact, ModelUsed)]
    assert sum(fact.tokens_in for fact in used) == tokens_in
    assert sum(fact.tokens_out for fact in used) == tokens_out
    assert sum(fact.cost for fact in used) == pytest.approx(cost)
    assert result.transcript.cost == pytest.approx(cost)
    assert result.transcript.tokens == tokens_in + tokens_out
    assert {fact.model for fact in used} == {model}


@pytest.mark.parametrize("agent", AGENTS)
def test_a_cancelled_turn_says_so_and_another_follows(agent: str) -> None:
    result = played(f"cancel-{agent}")
    assert [end.stop_reason for end in result.ends] == ["cancelled", "end_turn"]
    said = [fact for fact in result.facts if isinstance(fact, AgentSaid)]
    assert said[0].message != said[-1].message


@pytest.mark.parametrize(
    ("name", "method", "code"),
    [
        ("load-gemini", "session/load", -32603),
        ("resume-gemini", "session/resume", -32601),
        ("resume-qwen", "session/resume", -32601),
    ],
)
def test_what_cannot_be_taken_up_again_is_an_error(
    name: str, method: str, code: int
) -> None:
    assert played(name).faults[method].code == code


@pytest.mark.parametrize("agent", ["claude", "codex", "opencode", "qwen"])
def test_the_past_is_not_told_twice(agent: str) -> None:
    result = played(f"load-{agent}")
    assert result.past > 2
    assert not any("PLAY" in str(fact) or "word0" in str(fact) for fact in result.facts)


@pytest.mark.parametrize(("agent", "hour", "minute"), [("claude", 23, 59), ("codex", 18, 21)])  # fmt: skip
def test_a_spent_quota_is_read_and_until_when(
    agent: str, hour: int, minute: int
) -> None:
    fault = played(f"limit-{agent}").faults["session/prompt"]
    now = datetime(2026, 11, 29, 12, tzinfo=UTC)
    spent = read_quota(fault.message, fault.data, now)
    assert spent is not None
    assert spent.until == datetime(2026, 11, 29, hour, minute, tzinfo=UTC)
    assert spent.guessed
    assert "usage limit" in spent.said


def test_other_faults_are_no_quota() -> None:
    now = datetime(2026, 11, 29, 12, tzinfo=UTC)
    for path in TRACES:
        if not path.stem.startswith("limit"):
            for fault in play_trace(path).faults.values():
                assert read_quota(fault.message, fault.data, now) is None


@pytest.mark.parametrize(
    ("agent", "name", "can_resume", "mode", "model"),
    [
        ("claude", "@agentclientprotocol/claude-agent-acp", True, "default", "default"),
        ("codex", "@agentclientprotocol/codex-acp", True, "agent", "fake-1"),
        ("gemini", "gemini-cli", False, "default", "gemini-2.5-pro"),
        ("opencode", "OpenCode", True, "build", "fake/fake-1"),
        ("qwen", "qwen-code", True, "default", "$runtime|openai|fake-1(openai)"),
    ],
)
def test_who_they_are_and_what_can_be_chosen(
    agent: str, name: str, can_resume: bool, mode: str, model: str
) -> None:
    results = played(f"limit-{agent}").results
    greeting = read_greeting(results["initialize"])
    session = read_session("s", results["session/new"])
    assert (greeting.name, greeting.can_resume) == (name, can_resume)
    assert greeting.can_load
    assert greeting.mcp_http
    assert (session.chosen("mode"), session.chosen("model")) == (mode, model)
    assert mode in session.choices["mode"].offered
    assert bool(session.choices["mode"].option) == (agent != "gemini")
