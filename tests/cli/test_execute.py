"""CL-02: `run` ends as the run did, and Ctrl-C cancels it."""

from __future__ import annotations

import base64
import json
import os
import signal
from pathlib import Path
from typing import Any

import pytest
import trio
from trio_websocket import WebSocketConnection

from fakes.penstock_command import Penstock
from fakes.scripted_daemon import AT, ScriptedDaemon, hello, story, tells
from penstock.client.surroundings import caller_of
from penstock.words.address import Address
from penstock.words.surroundings import unpack_environ

HERE = Address("http://localhost", socket=Path("/nowhere"))
REPLY = {
    "run_id": "r", "kind": "command", "state": "queued", "priority": "MEDIUM", "sequence": 1,
    "position": 1, "websocket_url": "ws://x/ws/r",
}  # fmt: skip
FAILED = {"type": "run.failed", "reason": "error", "error": "exit code 2"}
TIMED_OUT = {
    "type": "run.failed",
    "reason": "timeout",
    "error": "the run used up its time",
}
CANCELLED = {"type": "run.cancelled", "reason": "requested"}


@pytest.fixture(autouse=True)
def accepting(daemon: ScriptedDaemon) -> None:
    daemon.routes["POST", "/runs"] = (202, REPLY)


def submitted(daemon: ScriptedDaemon) -> dict[str, Any]:
    [body] = [asked.body for asked in daemon.asked if asked.method == "POST"]
    return dict(body)


def test_output_goes_where_the_program_sent_it(
    penstock: Penstock, daemon: ScriptedDaemon
) -> None:
    daemon.scripts = [tells(*story())]
    result = penstock("run", "command", "--", "make", "test")
    assert (result.exit_code, result.stdout, result.stderr) == (
        0,
        "to stdout\n",
        "to stderr\n",
    )
    assert submitted(daemon)["inputs"]["argv"] == ["make", "test"]


@pytest.mark.parametrize(
    ("end", "code"), [(FAILED, 1), (TIMED_OUT, 124), (CANCELLED, 143)], ids=["failed", "timeout", "cancelled"]
)  # fmt: skip
@pytest.mark.parametrize("verb", ["run", "follow", "wait"])
def test_the_exit_code_is_that_of_the_run(
    penstock: Penstock,
    daemon: ScriptedDaemon,
    verb: str,
    end: dict[str, Any],
    code: int,
) -> None:
    daemon.routes["GET", "/runs/r"] = (
        200,
        {"kind": "command", "state": "x", "position": 5},
    )
    daemon.scripts = [tells(*story(**end))]
    args = ["run", "command", "--", "x"] if verb == "run" else [verb, "r"]
    result = penstock(*args)
    assert result.exit_code == code
    assert result.stderr.splitlines()[-1].startswith("penstock: r ")


def test_json_is_every_fact_as_a_line(
    penstock: Penstock, daemon: ScriptedDaemon
) -> None:
    daemon.scripts = [tells(*story())]
    result = penstock("run", "command", "--json", "--", "x")
    assert [json.loads(line)["position"] for line in result.stdout.splitlines()] == [
        1,
        2,
        3,
        4,
        5,
    ]


def test_a_shell_is_asked_for_explicitly(
    penstock: Penstock, daemon: ScriptedDaemon
) -> None:
    daemon.scripts = [tells(*story())]
    penstock("run", "command", "--shell", "a | b")
    assert submitted(daemon)["inputs"]["shell"] == "a | b"


def test_the_caller_gives_its_folder_its_environment_and_its_umask(
    penstock: Penstock, daemon: ScriptedDaemon, monkeypatch: pytest.MonkeyPatch
) -> None:
    """PT-07 PT-08: what a run is are its folder and what `--env` names; the rest is beside it."""
    monkeypatch.setenv("LC_TIME", "C")
    monkeypatch.setenv("AWS_SECRET", "no")
    monkeypatch.setenv("WANTED", "yes")
    daemon.scripts = [tells(*story())]
    penstock("run", "command", "--env", "WANTED", "--env", "A=b=c", "--", "x")
    body = submitted(daemon)
    assert body["inputs"]["cwd"] == os.getcwd()
    assert body["inputs"]["env"] == {"WANTED": "yes", "A": "b=c"}
    sent = unpack_environ(base64.b64decode(body["caller"]["environ"]))
    assert sent.items() >= {"LC_TIME": "C", "AWS_SECRET": "no", "WANTED": "yes"}.items()
    assert "A" not in sent
    assert body["caller"]["umask"] == caller_of({}, HERE)["umask"]  # type: ignore[index]


def test_inputs_as_json_may_name_the_folder_and_variables(
    penstock: Penstock, daemon: ScriptedDaemon
) -> None:
    """CL-02: a flag goes before what they say, and where none is given they hold."""
    said = '{"argv": ["x"], "cwd": "/", "env": {"A": "1", "B": "2"}}'
    penstock("submit", "command", "--inputs", said)
    assert submitted(daemon)["inputs"] == json.loads(said)
    daemon.asked.clear()
    penstock("submit", "command", "--inputs", said, "--env", "B=3", "--cwd", "/tmp")
    inputs = submitted(daemon)["inputs"]
    assert (inputs["cwd"], inputs["env"]) == ("/tmp", {"A": "1", "B": "3"})


def test_a_name_that_is_not_set_is_refused(
    penstock: Penstock, daemon: ScriptedDaemon
) -> None:
    result = penstock("run", "command", "--env", "NOT_SET_HERE", "--", "x")
    assert result.exit_code == 2
    assert "NOT_SET_HERE is not set here" in result.stderr
    assert daemon.asked == []


def test_every_wish_reaches_the_daemon(
    penstock: Penstock, daemon: ScriptedDaemon
) -> None:
    result = penstock(
        "submit", "llms-txt", ".", "--out", "there", "--priority", "high", "--id", "r",
        "--after", "p", "--timeout", "3", "--label", "k=v=w", "--group", "g", "--on-restart", "ask",
        "--inputs", '{"name": "n"}', "--section-links", "7",
    )  # fmt: skip
    assert (result.exit_code, result.stdout) == (0, "r\n")
    body = submitted(daemon)
    assert body.pop("caller").keys() == {"environ", "umask", "cwd"}
    assert body == {
        "kind": "llms-txt", "priority": "HIGH", "run_id": "r", "after": ["p"], "timeout": 3.0,
        "labels": {"k": "v=w"}, "group": "g", "on_restart": "ask",
        "inputs": {
            "source": os.getcwd(), "out": os.path.join(os.getcwd(), "there"), "name": "n",
            "section_links": 7,
        },
    }  # fmt: skip


def test_a_git_address_is_left_as_it_is(
    penstock: Penstock, daemon: ScriptedDaemon
) -> None:
    for source in ("https://host/x.git", "git@host:path", "file:///x"):
        daemon.asked.clear()
        penstock("submit", "llms-txt", source)
        assert submitted(daemon)["inputs"]["source"] == source


def test_a_kind_only_the_daemon_knows_has_its_flags(
    penstock: Penstock, daemon: ScriptedDaemon
) -> None:
    """Flags come from the schema that the daemon tells."""
    schema = {
        "properties": {
            "where": {"type": "string", "format": "path"},
            "many": {"type": "array", "items": {"type": "string"}},
            "fast": {"type": "boolean"},
            "turns": {
                "type": "integer",
                "default": 20,
                "description": "At most; null: any",
            },
            "size": {"anyOf": [{"$ref": "#/$defs/Size"}, {"type": "null"}]},
            "deep": {"type": "object"},
        },
        "$defs": {"Size": {"enum": ["small", "large"], "type": "string"}},
        "required": ["where"],
    }
    kind = {"name": "plugged", "summary": "Does things", "inputs": schema}
    daemon.routes["GET", "/pipelines"] = (200, {"pipelines": [kind]})
    told = penstock("submit", "plugged", "--help").stdout
    assert "(required)" in told
    assert "At most; without it: any  [default: 20]" in " ".join(told.split("\n"))
    result = penstock(
        "submit", "plugged", "--where", "x", "--many", "a", "--many", "b", "--no-fast",
        "--size", "small", "--deep", '{"a": [1]}',
    )  # fmt: skip
    assert result.exit_code == 0, result.stderr
    assert submitted(daemon)["inputs"] == {
        "where": os.path.join(os.getcwd(), "x"), "many": ["a", "b"], "fast": False,
        "size": "small", "deep": {"a": [1]},
    }  # fmt: skip
    assert penstock("submit", "plugged", "--size", "huge").exit_code == 2


def test_other_kinds_tell_a_story_and_give_their_result(
    penstock: Penstock, daemon: ScriptedDaemon
) -> None:
    """Without a terminal, plain lines on stderr; the result is the data."""
    daemon.routes["POST", "/runs"] = (202, {**REPLY, "kind": "llms-txt"})
    told = story(type="run.completed", result={"files": 3})
    told[2]["event"] = {
        "type": "milestone",
        "name": "repo_fetched",
        "metadata": {"files": 3},
    }
    told[3]["event"] = {"type": "progress", "step": "reading", "fraction": 0.5}
    told[4:4] = [{**told[3], "sequence": 5, "position": 5}]
    told[5] |= {"sequence": 6, "position": 6}
    daemon.scripts = [tells(*told)]
    result = penstock("run", "llms-txt", ".")
    assert json.loads(result.stdout) == {"files": 3}
    lines = [line.split(" ", 1)[1] for line in result.stderr.splitlines()]
    assert lines == ["started", "repo_fetched files=3", "reading"]
    daemon.scripts = [tells(*told)]
    assert penstock("run", "llms-txt", ".", "--quiet").stderr == ""


def interrupts(times: int, *, ends: bool) -> Any:
    """A script: hello, then Ctrl-C for the command that reads it, then the end, if there is one."""

    async def play(connection: WebSocketConnection, _headers: dict[str, str]) -> None:
        told = story(type="run.cancelled", reason="interrupted")
        await connection.send_message(hello())
        await connection.send_message(
            json.dumps({"type": "events", "events": told[:3]})
        )
        for _ in range(times):
            await trio.sleep(0.3)
            os.kill(os.getpid(), signal.SIGINT)
        if not ends:
            await trio.sleep_forever()
        await connection.send_message(
            json.dumps({"type": "events", "events": told[3:]})
        )

    return play


RECEIPT = {
    "run_id": "r", "outcome": "cancelled", "requested_at": AT, "gone_at": AT,
    "method": "session", "pids": [42], "survivors": [],
}  # fmt: skip


def test_ctrl_c_cancels_shows_the_receipt_and_exits_130(
    penstock: Penstock, daemon: ScriptedDaemon
) -> None:
    """CL-02"""
    daemon.scripts = [interrupts(1, ends=True)]
    daemon.routes["POST", "/runs/r/cancel"] = (200, RECEIPT)
    result = penstock("run", "command", "--", "sleep", "9")
    assert result.exit_code == 130
    assert "nothing of it is left (session: 42)" in result.stderr
    assert [a.target for a in daemon.asked if a.method == "POST"] == [
        "/runs",
        "/runs/r/cancel?wait=1",
    ]


def test_a_second_ctrl_c_leaves_at_once_and_says_that_cancelling_goes_on(
    penstock: Penstock, daemon: ScriptedDaemon
) -> None:
    """CL-02"""
    daemon.scripts = [interrupts(2, ends=False)]
    daemon.routes["POST", "/runs/r/cancel"] = (200, RECEIPT)
    result = penstock("run", "command", "--", "sleep", "9")
    assert result.exit_code == 130
    assert "cancelling r goes on" in result.stderr


def test_wait_tells_of_each_run_that_cannot_be_waited_for(
    penstock: Penstock, daemon: ScriptedDaemon
) -> None:
    """CL-02 Several errors at once are sentences too."""
    daemon.routes["GET", "/runs/c"] = (
        200,
        {"kind": "command", "state": "completed", "position": 5},
    )
    daemon.scripts = [tells(*story("c"))]
    result = penstock("wait", "a", "b", "c")
    assert result.exit_code == 3
    assert result.stdout == "c  completed\n"
    assert [line[:12] for line in sorted(result.stderr.splitlines())] == [
        "penstock: a:", "penstock: b:",
    ]  # fmt: skip


@pytest.mark.parametrize("verb", ["follow", "wait"])
def test_ctrl_c_in_follow_and_wait_leaves_the_run_alone(
    penstock: Penstock, daemon: ScriptedDaemon, verb: str
) -> None:
    """CL-02"""
    daemon.routes["GET", "/runs/r"] = (
        200,
        {"kind": "command", "state": "running", "position": 3},
    )
    daemon.scripts = [interrupts(1, ends=False)]
    result = penstock(verb, "r")
    assert result.exit_code == 130
    assert "r goes on" in result.stderr
    assert [a.target for a in daemon.asked if a.method == "POST"] == []
