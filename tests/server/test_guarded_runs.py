"""A coding agent that tries what only its user may: real daemon, real processes, a kind of somebody else's."""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from fakes.agent_daemons import KINDS
from fakes.agent_daemons import start_mcp_daemon as start_mcp_daemon
from fakes.real_daemon import RealDaemon

pytestmark = [pytest.mark.processes, pytest.mark.sockets]

HERE = Path(__file__).parent
AGENT = HERE.parent / "fakes" / "naughty_agent.py"
PENSTOCK = [sys.executable, "-m", "penstock.cli.main"]
#: Seconds for all that the agent tries.
PATIENCE = 120.0
FORBIDDEN = "only its user may do more"


@pytest.fixture(scope="module")
def daemon(start_mcp_daemon: Callable[..., RealDaemon]) -> RealDaemon:
    return start_mcp_daemon(PYTHONPATH=f"{HERE / 'guarded_kinds'}:{KINDS}")


@pytest.fixture(scope="module")
def socket(daemon: RealDaemon) -> str:
    return str(Path(daemon.environ["XDG_RUNTIME_DIR"]) / "penstock" / "daemon.sock")


@pytest.fixture(scope="module")
def owner(daemon: RealDaemon, socket: str) -> Iterator[httpx.Client]:
    """The user, on the socket and without a token; an agent that executes meanwhile does not matter."""
    transport = httpx.HTTPTransport(uds=socket)
    with httpx.Client(
        base_url="http://localhost", transport=transport, timeout=30
    ) as client:
        yield client


def wait_fact(client: httpx.Client, run_id: str, wanted: str) -> Any:
    """The run, once such a fact of it is recorded."""
    form = {"Accept": "application/x-ndjson"}
    path = f"/runs/{run_id}/events"
    with client.stream("GET", path, headers=form, timeout=PATIENCE) as told:
        for line in told.iter_lines():
            if f'"{wanted}"' in line:
                return client.get(f"/runs/{run_id}").json()
    raise AssertionError(f"{run_id} ended without {wanted}")


@pytest.fixture(scope="module")
def came(daemon: RealDaemon, owner: httpx.Client, socket: str) -> dict[str, Any]:
    """What came of each attempt; `other` is a run of the user's that asks something, and nobody answers it."""
    state = Path(daemon.environ["XDG_STATE_HOME"]) / "penstock"
    other = {"kind": "interview", "inputs": {"question": "?"}, "run_id": "other"}
    assert owner.post("/runs", json=other).status_code == 202
    wait_fact(owner, "other", "ask.raised")
    argv = [sys.executable, str(AGENT), json.dumps(PENSTOCK), socket, str(state)]
    inputs = {"argv": argv, "kinds": ["interview"]}
    agent = {"kind": "scripted", "inputs": inputs, "run_id": "agent"}
    assert owner.post("/runs", json=agent).status_code == 202
    ended = wait_fact(owner, "agent", "run.completed")
    printed = owner.get("/runs/agent/output").text
    results = [
        line.removeprefix("RESULT ")
        for line in printed.splitlines()
        if line.startswith("RESULT")
    ]
    found = dict(json.loads(line) for line in results)
    assert found.get("all") == "done", printed
    return {**found, "ended": ended, "printed": printed}


def test_its_question_is_not_answered_by_itself(came: dict[str, Any]) -> None:
    """AG-07: by `penstock answer`, by curl, by MCP; and its user's run is as it was."""
    asks = came["ended"]["asks"]
    assert [ask["answer"] for ask in asks] == [None]


def test_the_command_line_is_refused_in_a_sentence(came: dict[str, Any]) -> None:
    """AG-07"""
    for verb in ("answer", "cancel", "list"):
        code, said = came[f"cli {verb}"]
        assert code not in (0, 1), said
        assert FORBIDDEN in said


def test_the_socket_knows_it_whatever_token_it_shows(came: dict[str, Any]) -> None:
    """AG-07: it can read the token's file, and on the socket that helps it nothing."""
    for name in ("plain", "with the owner's token"):
        assert came[f"socket {name}"] == 403
        assert came[f"socket list {name}"] == 403
        assert came[f"socket own {name}"] == 200


def test_streams_of_others_are_refused(came: dict[str, Any]) -> None:
    """AG-07, WS-10"""
    assert (came["ws /ws"], came["ws /ws/other"], came["ws /ws/own"]) == (403, 403, 101)


@pytest.mark.parametrize("era", ["older", "newer"])
def test_its_tools_are_its_own_tree(came: dict[str, Any], era: str) -> None:
    """AG-07: in both protocols."""
    for refused in ("answer", "cancel", "other", "schedule"):
        assert FORBIDDEN in came[f"mcp {refused} {era}"], refused
    assert "of these kinds only: interview" in came[f"mcp command {era}"]
    assert "scripted" in came[f"mcp own {era}"]
    assert f"agent.{era}" in came[f"mcp child {era}"]
    assert 'isError":true' not in came[f"mcp child {era}"].replace(" ", "")


def test_it_is_given_a_server_of_just_these_tools(came: dict[str, Any]) -> None:
    """AG-07: a model reads all that is listed, and what it may not call is not."""
    listed = [
        "get_run",
        "list_pipelines",
        "read_events",
        "read_output",
        "run_interview",
        "start_run",
        "wait_run",
    ]
    assert came["server tools"] == listed
    assert not came["server child"]["result"].get("isError")
    assert FORBIDDEN in json.dumps(came["server answer"])


def test_an_orphan_is_still_its_own(came: dict[str, Any]) -> None:
    """AG-07: by its supervisor, which adopts what lost its parent."""
    assert came["orphan"] == 403


def test_who_has_left_is_nobody(came: dict[str, Any], owner: httpx.Client) -> None:
    """AG-07: of whom nobody can tell whose he was, nothing is taken."""
    assert owner.get("/runs/other").json()["state"] == "waiting"


def test_what_it_made_stands_below_it(
    came: dict[str, Any], owner: httpx.Client
) -> None:
    """AG-07: and asks its user, not the agent, whose end it outlives."""
    for name in ("older", "newer", "tooled"):
        child = owner.get(f"/runs/agent.{name}").json()
        assert child["parent_id"] == "agent"
        assert [ask["answer"] for ask in child["asks"]] == [None]


def test_nothing_recorded_has_its_token(
    came: dict[str, Any], daemon: RealDaemon, owner: httpx.Client
) -> None:
    """AG-07, API-07: neither the log's files nor what is told of the run."""
    folder = Path(daemon.environ["XDG_STATE_HOME"]) / "penstock"
    assert b"run-1-" not in b"".join(
        p.read_bytes() for p in folder.glob("penstock.db*")
    )
    assert "run-1-" not in owner.get("/runs/agent/events").text


def test_the_agents_of_the_kind_agent_are_such(
    daemon: RealDaemon, owner: httpx.Client, socket: str, tmp_path: Path
) -> None:
    """AG-07: whatever it tries before it speaks the protocol, and the run is as it would have been."""
    state = Path(daemon.environ["XDG_STATE_HOME"]) / "penstock"
    tried, scripted = tmp_path / "tried", AGENT.with_name("scripted_agent.py")
    words = [sys.executable, str(AGENT), json.dumps(PENSTOCK), socket, str(state)]
    script = tmp_path / "agent.sh"
    program = f"{shlex.join(words)} >{tried}; exec {sys.executable} {scripted} echo\n"
    script.write_text(program)
    other = {"kind": "interview", "inputs": {"question": "?"}, "run_id": "another"}
    assert owner.post("/runs", json=other).status_code == 202
    inputs = {"prompt": "Say something", "command": ["/bin/sh", str(script)]}
    agent = {"kind": "agent", "inputs": inputs, "run_id": "coder"}
    assert owner.post("/runs", json=agent).status_code == 202
    assert wait_fact(owner, "coder", "run.completed")["state"] == "completed"
    lines = tried.read_text().splitlines()
    found = dict(json.loads(x.removeprefix("RESULT ")) for x in lines if "RESULT" in x)
    assert found["all"] == "done"
    assert found["socket with the owner's token"] == 403
    assert FORBIDDEN in found["cli cancel"][1]
    assert found["orphan"] == 403
    for era in ("older", "newer"):
        assert "of these kinds only: none" in found[f"mcp child {era}"]
