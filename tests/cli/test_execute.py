"""CL-02: `run` ends as the run did, and Ctrl-C cancels it."""

from __future__ import annotations

import json
import os
import re
import signal
from datetime import datetime
from typing import Any

import pytest
import trio
from trio_websocket import WebSocketConnection

from fakes.penstock_command import Penstock
from fakes.scripted_daemon import AT, ScriptedDaemon, hello, story, tells
from penstock.words.run_id import LONGEST_RUN_ID

REPLY = {
    "run_id": "r", "kind": "command", "state": "queued", "priority": "MEDIUM", "sequence": 1,
    "position": 1, "websocket_url": "ws://x/ws/r",
}  # fmt: skip
FAILED: dict[str, Any] = {
    "type": "run.failed",
    "reason": "error",
    "error": "exit status 2",
    "details": {"exit_code": 2, "signal": None},
}
KILLED = {**FAILED, "details": {"exit_code": None, "signal": 9}}
#: What a run of `command` fails of when no program is to blame.
STOPPED = {**FAILED, "reason": "shutdown", "error": "stopped", "details": {}}
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
    ("end", "code"),
    [(FAILED, 2), (KILLED, 137), (TIMED_OUT, 124), (CANCELLED, 143), (STOPPED, 125)],
    ids=["failed", "killed", "timeout", "cancelled", "stopped"],
)
@pytest.mark.parametrize("verb", ["run", "follow", "wait"])
def test_the_exit_code_is_that_of_the_run(
    penstock: Penstock,
    daemon: ScriptedDaemon,
    verb: str,
    end: dict[str, Any],
    code: int,
) -> None:
    """PT-01"""
    daemon.routes["GET", "/runs/r"] = (
        200,
        {"kind": "command", "state": "x", "position": 5},
    )
    daemon.scripts = [tells(*story(**end))]
    args = ["run", "command", "--", "x"] if verb == "run" else [verb, "r"]
    result = penstock(*args)
    assert result.exit_code == code
    said = [line for line in result.stderr.splitlines() if line.startswith("penstock:")]
    # What a program exits with is its own affair, and in a pipe its stderr is all there is.
    assert said == [] if code == 2 else said[-1].startswith("penstock: r ")


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


def test_the_caller_gives_its_folder_and_the_allowed_names_only(
    penstock: Penstock, daemon: ScriptedDaemon, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Design §6: what else is in the environment may be a secret."""
    monkeypatch.setenv("LC_TIME", "C")
    monkeypatch.setenv("AWS_SECRET", "no")
    monkeypatch.setenv("WANTED", "yes")
    daemon.scripts = [tells(*story())]
    penstock("run", "command", "--env", "WANTED", "--env", "A=b=c", "--", "x")
    inputs = submitted(daemon)["inputs"]
    assert inputs["cwd"] == os.getcwd()
    assert inputs["env"]["LC_TIME"] == "C"
    assert inputs["env"]["PATH"] == os.environ["PATH"]
    assert (inputs["env"]["WANTED"], inputs["env"]["A"]) == ("yes", "b=c")
    assert "AWS_SECRET" not in inputs["env"]


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
    assert submitted(daemon) == {
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
    assert result.exit_code == 125
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


def test_a_run_that_was_there_before_is_told(
    penstock: Penstock, daemon: ScriptedDaemon
) -> None:
    """PT-07: what is seen is the old run's output and code, and no new run's."""
    replayed = {**REPLY, "created": False, "created_at": AT}
    daemon.routes["POST", "/runs"] = (200, replayed)
    daemon.scripts = [tells(*story())]
    told = [
        penstock("run", "command", "--id", "r", "--", "x").stderr,
        penstock("submit", "command", "--id", "r", "--", "x").stderr,
    ]
    for said in told:
        when = datetime.fromisoformat(AT).astimezone().strftime("%Y-%m-%d %H:%M")
        line = f"penstock: this is the run of {when}; not run anew (`--new` runs it)"
        assert line in said.splitlines()


def test_new_runs_it_under_an_id_made_of_the_given_one(
    penstock: Penstock, daemon: ScriptedDaemon
) -> None:
    """PT-07"""
    ids = []
    for given in ("nightly", "n" * LONGEST_RUN_ID):
        daemon.asked.clear()
        args = ("submit", "command", "--id", given, "--new", "--", "x")
        assert penstock(*args).exit_code == 0
        ids.append(submitted(daemon)["run_id"])
    assert re.fullmatch("nightly-[0-9a-f]{8}", ids[0])
    assert (len(ids[1]), ids[1][:-9]) == (LONGEST_RUN_ID, "n" * (LONGEST_RUN_ID - 9))
    daemon.asked.clear()
    penstock("submit", "command", "--new", "--", "x")
    assert "run_id" not in submitted(daemon)


def test_a_name_is_a_label_and_a_kinds_own_name_stays_its_own(
    penstock: Penstock, daemon: ScriptedDaemon
) -> None:
    """PT-07"""
    penstock("submit", "command", "--name", "tests", "--label", "k=v", "--", "x")
    assert submitted(daemon)["labels"] == {"k": "v", "name": "tests"}
    daemon.asked.clear()
    penstock("submit", "llms-txt", ".", "--name", "The project")
    body = submitted(daemon)
    assert (body["inputs"]["name"], "labels" in body) == ("The project", False)


@pytest.mark.parametrize("verb", ["run", "follow"])
def test_the_last_line_of_json_has_the_exit_code(
    penstock: Penstock, daemon: ScriptedDaemon, verb: str
) -> None:
    """PT-01"""
    daemon.routes["GET", "/runs/r"] = (200, {"kind": "command", "state": "running"})
    daemon.scripts = [tells(*story(**KILLED))]
    words = ["command", "--json", "--", "x"] if verb == "run" else ["r", "--json"]
    told = [json.loads(line) for line in penstock(verb, *words).stdout.splitlines()]
    assert [("exit_code" in line) for line in told] == [False] * 4 + [True]
    assert (told[-1]["exit_code"], told[-1]["exit_from"]) == (137, "signal")
    assert told[-1]["event"] == KILLED


def test_an_ended_run_is_not_followed_for_ever_from_after_its_end(
    penstock: Penstock, daemon: ScriptedDaemon
) -> None:
    """PT-01: its stream would only say good-bye, each time anew."""
    over = {
        "run_id": "r", "kind": "command", "state": "failed", "position": 5, "sequence": 5,
        "ended_at": AT, "exit_code": 7, "exit_from": "program",
    }  # fmt: skip
    daemon.routes["GET", "/runs/r"] = (200, over)
    daemon.pages["/runs/r/events"] = story()
    result = penstock("follow", "r", "--after", "5")
    assert (result.exit_code, result.stdout, result.stderr) == (7, "", "")
    assert [asked.method for asked in daemon.asked if asked.method == "WS"] == []


def test_wait_in_json_tells_of_each_run_that_cannot_be_waited_for(
    penstock: Penstock, daemon: ScriptedDaemon
) -> None:
    """PT-01"""
    result = penstock("wait", "a", "--json")
    told = json.loads(result.stdout)
    assert (result.exit_code, told["run_id"]) == (125, "a")
    assert (told["exit_code"], told["exit_from"]) == (125, "penstock")
