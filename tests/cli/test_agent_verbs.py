"""AG-01 CL-01: a coding agent on the command line: who does what, its words and deeds, several side by side."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import click
import pytest
import trio
from pydantic import Field

from fakes.house_beside import HouseBeside
from fakes.penstock_command import Penstock
from penstock.cli import kind_commands
from penstock.client.sync import SyncClient
from penstock.pipeline import (
    AgentSaid,
    Inputs,
    InterventionReceived,
    Kind,
    Output,
    PlanEntry,
    PlanUpdated,
    Run,
    ToolCalled,
    ToolEnded,
)
from penstock.words.errors import QueueFull
from penstock.words.values import JsonObject

pytestmark = pytest.mark.sockets

HOSTILE = "\x1b]0;owned\x07\u202egnp"
DIFF = "--- a/app.py\n+++ b/app.py\n@@ -1 +1 @@\n-old\n+new\n"


class Task(Inputs):
    """As the kind `agent` has them, as far as a command line is concerned."""

    prompt: str
    agent: str | None = None
    command: list[str] | None = None
    setup: list[str] | None = None
    repository: str | None = None
    base: str = "HEAD"
    branch: str | None = None
    include_uncommitted: bool = False
    env: dict[str, str] = Field(default_factory=dict)
    budget: JsonObject | None = None
    permissions: Literal["ask", "edit", "all", "none"] = "ask"


class Came(Output):
    """As the kind `agent` has it."""

    agent: str
    files: list[str] = Field(default_factory=list)
    added: int = 0
    removed: int = 0
    branch: str = ""
    head: str = ""
    base: str = ""
    summary: str = "I am done."
    patch: str = ""
    turns: int = 1
    cost: float = 0.0
    tokens: int = 0
    denied: int = 0


#: What the agents of these names say and do.
PLAYS: dict[str, Sequence[Any]] = {
    "claude": (
        AgentSaid(message="1", text="I will look"),
        AgentSaid(message="1", text=" at it.\n"),
        AgentSaid(message="2", role="thought", text="Where is\nit?"),
        PlanUpdated(entries=(PlanEntry(content="Look", status="in_progress"), PlanEntry(content="Edit"))),
        ToolCalled(call="c", title="Edit app.py", tool="edit", paths=("app.py",)),
        ToolEnded(call="c", status="completed", diff=DIFF),
        ToolCalled(call="d", title="make test", tool="execute"),
        ToolEnded(call="d", status="completed", output="".join(f"test {n}\n" for n in range(10))),
        AgentSaid(message="3", text="Done"),
        ToolCalled(call="e", title="rm -rf /", tool="delete"),
        ToolEnded(call="e", status="failed", output="denied"),
        AgentSaid(message="3", text=", all of it."),
    ),
    "codex": (AgentSaid(message="1", text="Me too.\nAnd "), AgentSaid(message="1", text="more."),),
    "hostile": (
        AgentSaid(message="1", text=HOSTILE),
        AgentSaid(message="2", role="thought", text=HOSTILE),
        AgentSaid(message="3", role="user", text=HOSTILE),
        PlanUpdated(entries=(PlanEntry(content=HOSTILE, status="in_progress"),)),
        ToolCalled(call=HOSTILE, title=HOSTILE, tool="execute", paths=(HOSTILE,)),
        ToolEnded(call=HOSTILE, status="failed", output=HOSTILE, diff=DIFF + HOSTILE),
    ),
}  # fmt: skip


async def play(run: Run, inputs: Task) -> Came:
    """Say and do what an agent of this name does."""
    name = inputs.agent or "own"
    if name == "broken":
        raise RuntimeError("it broke")
    if name == "patient":
        await trio.sleep_forever()
    for fact in PLAYS.get(name, ()):
        await run.emit(fact)
    if name not in PLAYS:
        return Came(agent=name)
    async with run.artifact("changes.patch") as text:
        await text.write(f"diff --git a/app.py b/app.py\n{DIFF}")
    return Came(
        agent=name, files=["app.py"], added=1, removed=1, branch=f"penstock/{run.run_id}",
        head="abc", patch="changes.patch", turns=2, cost=0.25, tokens=48_200, denied=1,
    )  # fmt: skip


AGENT = Kind("agent", "Has a coding agent do it", Task, Came, play)


@pytest.fixture
def kinds() -> tuple[Kind, ...]:
    return (AGENT,)


@pytest.fixture(autouse=True)
def flags(monkeypatch: pytest.MonkeyPatch) -> None:
    """The flags are those of this kind, whichever is installed."""
    found = (AGENT.summary, Task.model_json_schema())
    monkeypatch.setattr(kind_commands, "find_kind", lambda _session, name: found if name == "agent" else None)  # fmt: skip


@pytest.fixture
def on_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(click.testing._NamedTextIOWrapper, "isatty", lambda _: True)
    monkeypatch.setenv("NO_COLOR", "1")


def inputs_of(penstock: Penstock, run_id: str = "@last") -> dict[str, Any]:
    run: dict[str, Any] = json.loads(penstock("show", run_id, "--json").stdout)
    return run


def test_its_words_are_data_and_all_else_is_not(penstock: Penstock, daemon: HouseBeside) -> None:  # fmt: skip
    """AG-01 CL-01: messages are parted by an empty line; nothing of what it thinks."""
    result = penstock("run", "agent", "claude", "fix", "it")
    assert result.exit_code == 0
    assert result.stdout == "I will look at it.\n\nDone, all of it.\n"
    for said in ("Edit app.py", "plan: 0 of 2 done, now: Look", "tool failed: denied"):
        assert said in result.stderr
    assert "Where is" not in result.stderr
    assert "1 file  +1 \N{MINUS SIGN}1, branch penstock/" in result.stderr
    assert "2 turns, 48.2k tokens, 0.25 spent, 1 denied" in result.stderr
    run = inputs_of(penstock)
    assert (run["inputs"]["agent"], run["inputs"]["prompt"]) == ("claude", "fix it")
    assert (run["inputs"]["repository"], run["labels"]) == (str(Path.cwd()), {"agent": "claude"})  # fmt: skip


def test_quiet_leaves_the_words_alone(penstock: Penstock, daemon: HouseBeside) -> None:
    """CL-01"""
    result = penstock("run", "agent", "-q", "claude", "fix it")
    assert (result.stdout, result.stderr) == ("I will look at it.\n\nDone, all of it.\n", "")  # fmt: skip


@pytest.mark.usefixtures("on_terminal", "daemon")
def test_a_person_sees_what_it_thinks_and_does(penstock: Penstock) -> None:
    """AG-01: each change as a diff, the end of what programs print, what went wrong."""
    said = penstock("run", "agent", "claude", "fix it").stderr
    for line in (
        "  Where is\n  it?\n", "▸ plan: 0 of 2 done, now: Look\n",
        "▸ Edit app.py\n  --- a/app.py\n", "  -old\n  +new\n",
        "▸ execute: make test\n  … 4 lines before\n  test 4\n", "  test 9\n", "✗ tool failed\n  denied\n",
    ):  # fmt: skip
        assert line in said, line


@pytest.mark.usefixtures("on_terminal", "daemon")
@pytest.mark.parametrize("words", [("run", "agent", "hostile", "x"), ("run", "agent", "hostile,codex", "x"), ("run", "agent", "--json", "hostile", "x")])  # fmt: skip
def test_nothing_that_it_says_commands_a_terminal(penstock: Penstock, words: tuple[str, ...]) -> None:  # fmt: skip
    """TU-04 AG-01"""
    result = penstock(*words)
    said = result.stdout + result.stderr
    assert "owned" in said
    assert not [mark for mark in ("\x1b]", "\x07", "\u202e") if mark in said]


def test_json_is_its_facts_and_its_end(penstock: Penstock, daemon: HouseBeside) -> None:
    """CL-01"""
    told = [json.loads(line) for line in penstock("run", "agent", "--json", "claude", "x").stdout.splitlines()]  # fmt: skip
    assert [t["event"]["type"] for t in told].count("tool.called") == 3
    assert told[-1]["exit_code"] == 0


@pytest.mark.usefixtures("daemon")
def test_the_task_may_be_piped_in(penstock: Penstock) -> None:
    """CL-01: whole, as it is; nothing is refused before anything was asked."""
    assert penstock("run", "agent", "claude", stdin="first\n\nsecond\n").exit_code == 0
    assert inputs_of(penstock)["inputs"]["prompt"] == "first\n\nsecond\n"
    for words in (("claude",), ()):
        refused = penstock("run", "agent", *words, stdin="")
        assert refused.exit_code == 2
    assert "say which agent" in refused.stderr


@pytest.mark.usefixtures("daemon")
def test_a_task_among_the_inputs_is_one(penstock: Penstock) -> None:
    """CL-01: nothing is read then, and nobody is asked for one; words go before it, as flags do."""
    told = json.dumps({"agent": "claude", "prompt": "as told"})
    assert penstock("submit", "agent", "--inputs", told, stdin="").exit_code == 0
    assert inputs_of(penstock)["inputs"]["prompt"] == "as told"
    for words, task in ((("claude",), "as told"), (("claude", "this"), "this")):
        assert penstock("submit", "agent", "--inputs", json.dumps({"prompt": "as told"}), *words, stdin="").exit_code == 0  # fmt: skip
        assert inputs_of(penstock)["inputs"]["prompt"] == task


@pytest.mark.usefixtures("daemon")
def test_flags_say_the_rest(penstock: Penstock, tmp_path: Path) -> None:
    """CL-01: a program in one flag as a shell takes it, money as a number; --cwd is the repository."""
    words = ("--command", "mine --acp 'a b'", "--setup", "npm ci", "--budget", "2.5", "--env", "A=b", "--cwd", str(tmp_path))  # fmt: skip
    assert penstock("run", "agent", *words, "do", "this").exit_code == 0
    run = inputs_of(penstock)
    inputs = run["inputs"]
    assert inputs["command"] == ["mine", "--acp", "a b"]
    assert inputs["setup"] == ["npm", "ci"]
    assert (inputs["budget"], inputs["env"]) == ({"cost": 2.5}, {"A": "b"})
    assert (inputs["repository"], inputs["prompt"], inputs["agent"]) == (str(tmp_path), "do this", None)  # fmt: skip
    assert run["labels"] == {"agent": "agent"}


@pytest.mark.usefixtures("daemon")
def test_several_get_the_same_task_and_are_compared(penstock: Penstock) -> None:
    """AG-01: each by its name; the exit code is that of the first that is not 0."""
    result = penstock("run", "agent", "claude,codex", "fix it")
    assert result.exit_code == 0, result.stderr
    for line in (
        "claude  I will look at it.\n",
        "codex   Me too.\ncodex   And more.\n",
    ):
        assert line in result.stderr
    rows = [line for line in result.stdout.splitlines() if line.startswith("app.py")]
    assert len(rows) == 1
    assert "claude" in result.stdout
    runs = [json.loads(line) for line in penstock("list", "--json").stdout.splitlines()]
    assert {run["labels"]["agent"] for run in runs} == {"claude", "codex"}
    together = {run["labels"]["together"] for run in runs}
    assert len(together) == 1
    again = penstock("diff", f"label:together={together.pop()}", "--json")
    assert len(json.loads(again.stdout)["comparison"]) == 2


@pytest.mark.usefixtures("daemon")
def test_one_of_several_that_fails_decides_and_is_compared_too(penstock: Penstock) -> None:  # fmt: skip
    """AG-01"""
    result = penstock("run", "agent", "--json", "claude,broken,claude", "fix it")
    assert result.exit_code == 1
    told = [json.loads(line) for line in result.stdout.splitlines()]
    assert [row["state"] for row in told[-1]["comparison"]] == ["completed", "failed", "completed"]  # fmt: skip
    assert {fact["run_id"] for fact in told[:-1]} == {row["run_id"] for row in told[-1]["comparison"]}  # fmt: skip


@pytest.mark.parametrize("fault", [QueueFull("the queue is full"), KeyboardInterrupt()])
def test_of_several_none_goes_on_without_the_others(
    penstock: Penstock,
    daemon: HouseBeside,
    monkeypatch: pytest.MonkeyPatch,
    fault: BaseException,
) -> None:
    """AG-01 CN-01: what was submitted is cancelled, with its receipt, where another is refused or Ctrl-C comes."""
    submit = SyncClient.submit

    def submit_first(client: SyncClient, request: dict[str, Any], **others: Any) -> Any:
        if request["run_id"] == "r-codex":
            raise fault
        return submit(client, request, **others)

    monkeypatch.setattr(SyncClient, "submit", submit_first)
    result = penstock("run", "agent", "--id", "r", "patient,codex", "x")
    assert result.exit_code != 0
    assert "patient: r-patient cancelled, nothing of it is left" in result.stderr
    assert daemon.view("r-patient").state == "cancelled"


@pytest.mark.usefixtures("daemon")
def test_several_may_be_left_alone(penstock: Penstock) -> None:
    """CL-01: an id for each; one of one's own becomes one for each."""
    for words in (("submit",), ("run",)):
        detach = ("--detach",) if words == ("run",) else ()
        result = penstock(*words, "agent", "--id", words[0], *detach, "claude,codex,codex", "x")  # fmt: skip
        assert result.stdout.splitlines() == [f"{words[0]}-claude", f"{words[0]}-codex", f"{words[0]}-codex-2"]  # fmt: skip


@pytest.mark.usefixtures("daemon")
def test_a_schedule_is_of_one_agent(penstock: Penstock) -> None:
    """AG-01: of several the last would take the place of the others, since one task has one name."""
    words = ("every", "--replace", "1d", "agent")
    several = penstock(*words, "claude,codex", "mend it")
    assert (several.exit_code, "a schedule for each" in several.stderr) == (2, True)
    assert json.loads(penstock("schedules", "--json").stdout) == {"schedules": []}
    assert penstock(*words, "claude", "mend it").exit_code == 0
    [told] = json.loads(penstock("schedules", "--json").stdout)["schedules"]
    assert told["name"] == "mend-it"
    assert "agent claude mend it" in penstock("schedules").stdout


def test_what_is_said_to_an_agent_at_work_is_its_next_turn(penstock: Penstock, daemon: HouseBeside) -> None:  # fmt: skip
    """AG-01: it is recorded at once; nothing is no word."""
    daemon.start("r")
    assert penstock("say", "r", "and", "the tests").exit_code == 0
    daemon.wait_fact("r", InterventionReceived)
    assert penstock("say", "r", " ").exit_code == 2
    daemon.end("r")
    late = penstock("say", "r", "more")
    assert (late.exit_code, late.stdout) == (4, "")


def test_what_is_said_after_its_end_goes_on_from_what_it_did(
    penstock: Penstock, daemon: HouseBeside
) -> None:
    """AG-01: in a run of its own, with what was asked before and what came of it; secrets stay what they were."""
    penstock("run", "agent", "--id", "r", "--env", "KEY=secret", "--branch", "mine", "claude", "fix it")  # fmt: skip
    result = penstock("say", "r", "and the tests")
    assert (result.exit_code, "goes on from what it did" in result.stderr) == (0, True)
    inputs = inputs_of(penstock, result.stdout.strip())["inputs"]
    assert inputs["prompt"].startswith("and the tests\n")
    assert "fix it" in inputs["prompt"]
    assert "I am done." in inputs["prompt"]
    assert (inputs["base"], inputs["branch"], inputs["env"]) == ("abc", None, {"KEY": "secret"})  # fmt: skip
