"""TU-04: no verb lets a terminal be commanded by what others wrote; a pipe gets it as it is."""

from __future__ import annotations

import io
import json
import os
import pty
import subprocess
import sys
from typing import Any

import click.testing
import pytest

from fakes.foreign_daemon import AT, ForeignDaemon, fact
from fakes.penstock_command import Penstock
from fakes.terminal_reading import read_terminal
from penstock.cli.output import json_lines
from penstock.words.printed import piece_of

#: Seconds for one command; a loaded box may take its time.
PATIENCE = 60
#: A title set, the screen cleared by C1, a line turned around, an isolate, and an erased character.
HOSTILE = "a\x1b]0;owned\x07b\x9b2Jc\u202ed\u2066e\x7ff"
MARKS = ("\x1b]", "\x07", "\x9b", "\u202e", "\u2066", "\x7f")
ROW: dict[str, Any] = {
    "run_id": "r", "kind": HOSTILE, "state": "failed", "priority": "MEDIUM", "created_at": AT,
    "step": HOSTILE, "error": HOSTILE, "reason": HOSTILE, "labels": {"a": HOSTILE}, "position": 9,
    "inputs": {"argv": [HOSTILE]}, "group": HOSTILE, "result": {"said": HOSTILE},
    "output_tail": [HOSTILE],
    "artifacts": [
        {"artifact_id": "n", "attempt": 1, "size": None, "sha256": None, "path": HOSTILE}
    ],
}  # fmt: skip
#: It has made a patch of its own.
PATCHED: dict[str, Any] = {
    **ROW, "run_id": "p", "ended_at": AT, "result": {"patch": "n", "head": HOSTILE, "branch": HOSTILE},
    "artifacts": [{"artifact_id": "n", "attempt": 1, "size": 9, "sha256": None, "path": None}],
}  # fmt: skip
ASK: dict[str, Any] = {
    "run_id": "r", "name": HOSTILE, "question": HOSTILE, "choices": [HOSTILE], "default": HOSTILE,
    "expires_at": None, "state": "open",
    "details": {"tool": HOSTILE, "title": HOSTILE, "command": HOSTILE, "paths": [HOSTILE], "diff": HOSTILE},
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
    ("say", "r", "word"), ("diff", "r"), ("diff", "p"), ("diff", "p", "--stat"), ("diff", "p", "r"), ("asks", "r"), ("agents", HOSTILE),
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
        ("GET", "/runs/p"): (200, PATCHED),
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
    foreign_daemon.pages["/runs/p/events"] = FACTS
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


#: What a build prints: colours, a progress bar, and something that is no text.
PRINTED = b"\x1b[31mred\x1b[0m\n10 %\r20 %\r\x1b[Kdone\n\xff\x1b]52;c;aGk=\x07\n"


def printed(stream: str, data: bytes) -> dict[str, Any]:
    return piece_of(stream, data).model_dump(mode="json")  # type: ignore[arg-type]


@pytest.fixture
def build(hostile: ForeignDaemon) -> ForeignDaemon:
    """A run whose program wrote to both streams, in pieces that end anywhere."""
    pieces = [printed("stdout", PRINTED[:7]), printed("stderr", b"e1\n")]
    pieces += [printed("stdout", PRINTED[7:]), printed("stderr", b"e2")]
    hostile.pages["/runs/r/events"] = [
        *(fact(number, number, piece) for number, piece in enumerate(pieces, 1)),
        fact(5, 5, {"type": "run.failed", "reason": "error", "error": "exit status 2"}),
    ]
    return hostile


@pytest.mark.usefixtures("build")
def test_a_pipe_gets_the_bytes_of_each_stream(penstock: Penstock) -> None:
    """PT-06 PT-03: not one more, not one less, and each where the program wrote it."""
    result = penstock("logs", "r")
    assert (result.stdout_bytes, result.stderr_bytes) == (PRINTED, b"e1\ne2")


@pytest.mark.processes
@pytest.mark.usefixtures("build")
def test_one_pipe_for_both_streams_gets_them_in_the_order_they_were_read() -> None:
    """PT-06 PT-03: as `2>&1` does it for the program itself."""
    done = subprocess.run(
        [sys.executable, "-m", "penstock.cli.main", "logs", "r"],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=PATIENCE, check=True,
    )  # fmt: skip
    assert done.stdout == PRINTED[:7] + b"e1\n" + PRINTED[7:] + b"e2"


@pytest.mark.usefixtures("build", "on_terminal")
def test_a_terminal_gets_colours_and_what_lines_finally_show(
    penstock: Penstock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """PT-06: and nothing else that it would obey."""
    monkeypatch.delenv("NO_COLOR")
    result = penstock("logs", "r")
    assert result.stdout == "\x1b[31mre\x1b[0m\x1b[31md\x1b[0m\ndone\n\ufffd␛]52;c;aGk=␇\n"  # fmt: skip
    assert result.stderr == "e1\ne2\n"
    # Both are the same terminal: what of ours follows stands on a line of its own, and no lower.
    assert result.output.endswith("c;aGk=␇\ne2\n")
    assert penstock("logs", "--raw", "r").stdout_bytes == PRINTED


@pytest.mark.usefixtures("build", "on_terminal")
@pytest.mark.parametrize(
    "environ", [{"NO_COLOR": "1"}, {"TERM": "dumb", "NO_COLOR": ""}, {"NO_COLOR": "1", "FORCE_COLOR": "1"}]
)  # fmt: skip
def test_where_no_colours_are_wanted_there_are_none(
    penstock: Penstock, monkeypatch: pytest.MonkeyPatch, environ: dict[str, str]
) -> None:
    """PT-06 CL-01"""
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    said = penstock("logs", "r").stdout
    assert said.splitlines()[:2] == ["red", "done"]
    assert "\x1b" not in said + penstock("list").stdout


@pytest.mark.usefixtures("build")
def test_colours_of_ours_can_be_forced_and_a_pipe_stays_exact(
    penstock: Penstock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """PT-06 CL-01: FORCE_COLOR is about what we say, not about what a program said."""
    monkeypatch.delenv("NO_COLOR", raising=False)
    assert "\x1b" not in penstock("list").stdout.replace(HOSTILE, "")
    monkeypatch.setenv("FORCE_COLOR", "1")
    assert "\x1b[31m✗ failed" in penstock("list").stdout
    assert penstock("logs", "r").stdout_bytes == PRINTED
    monkeypatch.setenv("FORCE_COLOR", "0")
    assert "\x1b[31mfailed" not in penstock("list").stdout


def test_what_is_no_longer_kept_is_told_once_and_not_among_the_bytes(
    penstock: Penstock, hostile: ForeignDaemon
) -> None:
    """PT-04 PT-06"""
    gone = {"type": "log", "stream": "stdout", "bytes": 700, "emptied": True}
    pieces = [printed("stdout", b"a\n"), gone, gone, printed("stdout", b"z\n")]
    hostile.pages["/runs/r/events"] = [
        fact(number, number, piece) for number, piece in enumerate(pieces, 1)
    ]
    result = penstock("logs", "r")
    assert result.stdout_bytes == b"a\nz\n"
    assert result.stderr == "penstock: 1400 bytes of stdout are no longer kept\n"
    # Nothing may stand behind them yet.
    hostile.pages["/runs/r/events"] = hostile.pages["/runs/r/events"][:3]
    for wanted in ((), ("--tail", "2")):
        result = penstock("logs", *wanted, "r")
        assert result.stdout_bytes == b"a\n"
        assert result.stderr == "penstock: 1400 bytes of stdout are no longer kept\n"


@pytest.mark.usefixtures("build")
@pytest.mark.parametrize(
    ("wanted", "stdout", "stderr"),
    [
        (("--tail", "1"), b"", b"e2"),
        (("--tail", "2"), PRINTED[PRINTED.index(b"\xff") :], b"e2"),
        (("--tail", "9"), PRINTED, b"e1\ne2"),
        (("--stdout", "--tail", "1"), PRINTED[PRINTED.index(b"\xff") :], b""),
        (("--stderr",), b"", b"e1\ne2"),
        (("--stdout",), PRINTED, b""),
        (("--after", "2"), PRINTED[7:], b"e2"),
        (("--since", "2026-01-01"), PRINTED, b"e1\ne2"),
        (("--since", "1h"), b"", b""),
    ],
)
def test_a_part_of_the_output_can_be_asked_for(
    penstock: Penstock, wanted: tuple[str, ...], stdout: bytes, stderr: bytes
) -> None:
    """PT-03: to the byte."""
    result = penstock("logs", *wanted, "r")
    assert (result.stdout_bytes, result.stderr_bytes) == (stdout, stderr)


@pytest.mark.usefixtures("build")
def test_a_part_that_is_none_is_refused(penstock: Penstock) -> None:
    """CL-01"""
    for wanted in (("--tail", "0"), ("--since", "soon"), ("--json", "--tail", "1")):
        assert penstock("logs", *wanted, "r").exit_code == 2
    facts = penstock("logs", "--json", "--stderr", "r").stdout.splitlines()
    assert [json.loads(told)["event"]["text"] for told in facts] == ["e1\n", "e2"]


def test_a_failed_run_says_what_it_printed_last(
    penstock: Penstock, hostile: ForeignDaemon
) -> None:
    """PT-06: where its output was not shown."""
    hostile.routes["GET", "/runs/r"] = (
        200,
        {**ROW, "output_tail": ["2 failed", "see above"]},
    )
    assert "its last words\n  2 failed\n  see above\n" in penstock("show", "r").stdout


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
    process = subprocess.Popen(
        [sys.executable, "-m", "penstock.cli.main", *verb],
        stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True,
        env={**os.environ, "TERM": "xterm", "NO_COLOR": "1"},
    )  # fmt: skip
    os.close(theirs)
    text = read_terminal(ours, process).decode()
    process.wait(PATIENCE)
    assert text
    assert not [mark for mark in MARKS if mark in text], repr(text)
