"""TU-04: no verb lets a terminal be commanded by what others wrote; a pipe gets it as it is."""

from __future__ import annotations

import io
import json
import os
import pty
import subprocess
import sys
from contextlib import suppress
from typing import Any

import click.testing
import pytest

from fakes.foreign_daemon import AT, ForeignDaemon, fact
from fakes.penstock_command import Penstock
from penstock.cli.output import json_lines

#: Seconds for one command; a loaded box may take its time.
PATIENCE = 60
#: A title set, the screen cleared by C1, a line turned around, an isolate, and an erased character.
HOSTILE = "a\x1b]0;owned\x07b\x9b2Jc\u202ed\u2066e\x7ff"
MARKS = ("\x1b]", "\x07", "\x9b", "\u202e", "\u2066", "\x7f")
ROW: dict[str, Any] = {
    "run_id": "r", "kind": HOSTILE, "state": "failed", "priority": "MEDIUM", "created_at": AT,
    "step": HOSTILE, "error": HOSTILE, "reason": HOSTILE, "labels": {"a": HOSTILE}, "position": 9,
    "inputs": {"argv": [HOSTILE]}, "group": HOSTILE, "result": {"said": HOSTILE},
    "artifacts": [
        {"artifact_id": "n", "attempt": 1, "size": None, "sha256": None, "path": HOSTILE}
    ],
}  # fmt: skip
ASK: dict[str, Any] = {
    "run_id": "r", "name": HOSTILE, "question": HOSTILE, "choices": [HOSTILE], "default": HOSTILE,
    "expires_at": None, "state": "open",
}  # fmt: skip
RECEIPT: dict[str, Any] = {
    "run_id": HOSTILE, "outcome": "cancelled", "requested_at": AT, "gone_at": None,
    "method": HOSTILE, "pids": [], "survivors": [HOSTILE],
}  # fmt: skip
QUEUE: dict[str, Any] = {
    "running": 0, "queued": 0, "capacity": 9, "slots": 1, "parked": 0, "waiting_submits": 0,
    "paused": [{"group": HOSTILE, "reason": HOSTILE}], "draining": [HOSTILE], "groups": {},
    "queued_by_priority": {},
}  # fmt: skip
FACTS = [
    fact(1, 1, {"type": "log", "text": HOSTILE, "stream": "stdout"}),
    fact(2, 2, {"type": "log", "text": HOSTILE, "stream": "stderr"}),
    fact(3, 3, {"type": "milestone", "name": HOSTILE, "metadata": {"a": HOSTILE}}),
    fact(4, 4, {"type": "artifact.partial", "artifact_id": "n", "text": HOSTILE, "attempt": 1}),
    fact(5, 5, {"type": "run.failed", "reason": "error", "error": HOSTILE}),
]  # fmt: skip
VERBS = [
    ("list",), ("show", "r"), ("why", "r"), ("queue",), ("pause",), ("asks",), ("logs", "r"),
    ("events",), ("events", "r"), ("wait", "r"), ("cancel", "r"), ("retry", "r"),
    ("artifacts", "r"), ("artifacts", "r", "n"), ("submit", "command", "--", "true"),
    ("intervene", "r", "word"), ("answer", "r", HOSTILE, "other"), ("context", "r"),
    ("health",), ("clients",), ("show", "gone"), ("resume",), ("drain", "--no-wait"), ("models",),
    ("shutdown",), ("events", "--type", HOSTILE, "--after", HOSTILE), (HOSTILE,), ("list", HOSTILE),
    ("show", HOSTILE), ("answer", "r", HOSTILE, HOSTILE, HOSTILE), ("list", f"--{HOSTILE}"),
    ("wait", HOSTILE), ("config", HOSTILE), ("token", HOSTILE), ("completions", HOSTILE),
    ("audit", "--database", HOSTILE), ("export", "--database", HOSTILE), ("prune", "--keep", HOSTILE),
    ("import", HOSTILE), ("mcp", HOSTILE), ("doctor", HOSTILE), ("asks", HOSTILE),
    ("service", HOSTILE), ("serve", "--port", HOSTILE), (f"--url={HOSTILE}", "list"),
]  # fmt: skip


@pytest.fixture
def hostile(foreign_daemon: ForeignDaemon) -> ForeignDaemon:
    """A daemon whose every text was written by somebody else."""
    foreign_daemon.routes |= {
        ("GET", "/runs"): (200, {"runs": [ROW], "next": None}),
        ("GET", "/runs/r"): (200, ROW),
        ("GET", "/runs/gone"): (404, {"type": "urn:penstock:run-not-found", "detail": HOSTILE}),
        ("GET", "/runs/r/why"): (
            200,
            {"run_id": "r", "state": HOSTILE, "reasons": [{"code": "x", "text": HOSTILE}]},
        ),
        ("GET", "/queue"): (200, QUEUE),
        ("POST", "/queue/pause"): (200, QUEUE),
        ("GET", "/asks"): (200, {"asks": [ASK]}),
        ("POST", "/runs/r/cancel"): (200, RECEIPT),
        ("POST", "/runs/r/retry"): (202, {"run_id": HOSTILE, "kind": "command"}),
        ("POST", "/runs"): (202, {"run_id": HOSTILE, "kind": "command"}),
        ("POST", "/runs/r/interventions"): (
            409,
            {"type": "urn:penstock:terminal", "detail": HOSTILE},
        ),
        ("GET", "/health"): (200, {"status": HOSTILE, "version": HOSTILE, "epoch": HOSTILE}),
        ("GET", "/subscribers"): (200, {"subscribers": []}),
    }  # fmt: skip
    foreign_daemon.pages["/runs/r/events"] = FACTS
    foreign_daemon.pages["/events"] = FACTS
    return foreign_daemon


@pytest.fixture
def on_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a verb writes goes to a terminal, which would obey it."""
    monkeypatch.setattr(click.testing._NamedTextIOWrapper, "isatty", lambda _: True)
    monkeypatch.setenv("NO_COLOR", "1")


@pytest.mark.usefixtures("hostile", "on_terminal")
@pytest.mark.parametrize("form", [(), ("--json",)])
@pytest.mark.parametrize("verb", VERBS, ids=" ".join)
def test_no_verb_lets_a_terminal_be_commanded(
    penstock: Penstock, verb: tuple[str, ...], form: tuple[str, ...]
) -> None:
    """TU-04 CL-01"""
    # An option stands before a command's own words.
    args = (*verb[:1], *form, *verb[1:]) if verb[0] != "submit" else verb
    result = penstock(*args)
    said = result.stdout + result.stderr
    assert said
    assert not [mark for mark in MARKS if mark in said], repr(said)


@pytest.mark.usefixtures("on_terminal")
@pytest.mark.parametrize("typed", ["\n", "no\nno such\n"])
def test_a_question_does_not_command_the_terminal_it_is_asked_on(
    penstock: Penstock, hostile: ForeignDaemon, typed: str
) -> None:
    """TU-04: its words, its choices and its default are the run's."""
    hostile.routes["GET", "/asks"] = (200, {"asks": [{**ASK, "name": "go"}]})
    result = penstock("answer", "r", stdin=typed)
    said = result.stdout + result.stderr
    assert "␛]0;owned" in said
    assert not [mark for mark in MARKS if mark in said], repr(said)
    answers = [asked.body for asked in hostile.asked if asked.method == "POST"]
    assert answers == ([{"answer": HOSTILE}] if typed == "\n" else [])


@pytest.mark.usefixtures("hostile")
def test_a_pipe_gets_what_was_said(penstock: Penstock) -> None:
    """CL-01: JSON means the same in both, and an id or a text is the one that was given."""
    assert penstock("retry", "r").stdout == f"{HOSTILE}\n"
    assert penstock("artifacts", "r", "n").stdout == HOSTILE
    [row] = [json.loads(x) for x in penstock("list", "--json").stdout.splitlines()]
    assert row == ROW
    facts = [json.loads(line) for line in penstock("events", "r").stdout.splitlines()]
    assert [told["event"].get("text") for told in facts[:2]] == [HOSTILE] * 2


@pytest.mark.usefixtures("hostile", "on_terminal")
def test_json_on_a_terminal_means_the_same(penstock: Penstock) -> None:
    """CL-01: what would be obeyed is written as JSON's own escapes."""
    [row] = [json.loads(x) for x in penstock("list", "--json").stdout.splitlines()]
    assert row == ROW
    facts = [json.loads(line) for line in penstock("events").stdout.splitlines()]
    assert facts[2]["event"]["name"] == HOSTILE


class Screen(io.BytesIO):
    """A terminal that keeps what it was sent."""

    def isatty(self) -> bool:
        return True


def test_an_export_to_a_terminal_is_harmless_and_to_a_file_exact() -> None:
    """TU-04 CL-01"""
    line = json.dumps({"a": HOSTILE}, ensure_ascii=False).encode() + b"\n"
    screen, file = Screen(), io.BytesIO()
    for out in (screen, file):
        json_lines(out).write(line)
    assert not [mark for mark in MARKS if mark in screen.getvalue().decode()]
    assert json.loads(screen.getvalue()) == {"a": HOSTILE}
    assert file.getvalue() == line


@pytest.mark.processes
@pytest.mark.usefixtures("hostile")
@pytest.mark.parametrize(
    "verb",
    [("list",), ("events",), ("show", "gone"), ("follow", "r"), ("tui", HOSTILE), ("why", HOSTILE)],
    ids=lambda verb: verb[0],
)  # fmt: skip
def test_a_real_terminal_is_not_commanded(verb: tuple[str, ...]) -> None:
    """TU-04: what goes round the one way out is found by nothing but a terminal."""
    ours, theirs = pty.openpty()
    with open(ours, "rb", buffering=0) as screen:
        process = subprocess.Popen(
            [sys.executable, "-m", "penstock.cli.main", *verb],
            stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True,
            env={**os.environ, "TERM": "xterm", "NO_COLOR": "1"},
        )  # fmt: skip
        os.close(theirs)
        said = b""
        # A terminal whose programs have all gone says EIO.
        with suppress(OSError):
            while piece := screen.read(65536):
                said += piece
        process.wait(PATIENCE)
    text = said.decode()
    assert text
    assert not [mark for mark in MARKS if mark in text], repr(text)
