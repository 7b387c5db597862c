"""CL-02: `run` ends as the run did, and Ctrl-C cancels it; what is sent to submit a run."""

from __future__ import annotations

import base64
import json
import os
import re
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click.testing
import pytest
import trio

from fakes.foreign_daemon import ForeignDaemon, fact, story
from fakes.house_beside import HouseBeside
from fakes.penstock_command import Penstock
from penstock.client.surroundings import caller_of
from penstock.kinds.command import KIND as COMMAND
from penstock.pipeline import Inputs, Kind, Output, Run
from penstock.testing import FakeProgram
from penstock.words.address import Address
from penstock.words.events import RunCancelled, RunCancelRequested
from penstock.words.live_frames import BEGUN, STDOUT, frame_head
from penstock.words.printed import piece_of
from penstock.words.run_id import LONGEST_RUN_ID
from penstock.words.surroundings import unpack_environ

HERE = Address("http://localhost", socket=Path("/nowhere"))

#: Seconds for the thread that interrupts to be over.
PATIENCE = 60.0


class TellingInputs(Inputs):
    """A tree to tell of."""

    source: str


class Told(Output):
    """What came of it."""

    files: int


async def tell(run: Run, _inputs: TellingInputs) -> Told:
    """Reach something, print a bar and half a line, and say twice that it reads on."""
    await run.milestone("repo_fetched", files=3)
    for piece in (b"1 %\r", b"2 %\nh", b"alf"):
        await run.emit(piece_of("stdout", piece))
    for _ in range(2):
        await run.progress("reading", 0.5)
    return Told(files=3)


TELLS = Kind("llms-txt", "Tells a story", TellingInputs, Told, tell)


class Stubborn:
    """Runs that do not end before the test lets them, however they are cancelled."""

    def __init__(self) -> None:
        self.may_go = trio.Event()

    def kind(self) -> Kind:
        return Kind("stubborn", "Does not go", Inputs, Output, self.stay)

    async def stay(self, _run: Run, _inputs: Inputs) -> Output:
        with trio.CancelScope(shield=True):
            await self.may_go.wait()
        return Output()


@pytest.fixture
def stubborn() -> Stubborn:
    return Stubborn()


@pytest.fixture
def kinds(stubborn: Stubborn) -> tuple[Kind, ...]:
    return (COMMAND, TELLS, stubborn.kind())


@pytest.fixture
def programs(daemon: HouseBeside) -> dict[str, FakeProgram]:
    """What the daemon's programs do, by their names."""
    programs = daemon.processes.programs
    programs["make"] = FakeProgram(stdout=b"to stdout\n", stderr=b"to stderr\n")
    programs["hang"] = FakeProgram.hanging()
    return programs


@pytest.mark.usefixtures("programs")
def test_output_goes_where_the_program_sent_it(
    penstock: Penstock, daemon: HouseBeside
) -> None:
    result = penstock("run", "command", "--", "make", "test")
    assert (result.exit_code, result.stdout, result.stderr) == (
        0,
        "to stdout\n",
        "to stderr\n",
    )
    assert daemon.processes.started == [("make", "test")]


def failed(daemon: HouseBeside) -> None:
    daemon.submit("sleep", {"fail": True}, run_id="r")


def timed_out(daemon: HouseBeside) -> None:
    daemon.submit("echo", run_id="r", timeout=0.01)


def cancelled(daemon: HouseBeside) -> None:
    # It was cancelled before it came.
    daemon.beside.do(daemon.house.core.control.cancel, "r", "requested")
    daemon.submit("echo", run_id="r")


@pytest.mark.parametrize(
    ("ended", "code"), [(failed, 1), (timed_out, 124), (cancelled, 143)], ids=["failed", "timeout", "cancelled"]
)  # fmt: skip
@pytest.mark.parametrize("verb", ["follow", "wait"])
def test_the_exit_code_is_that_of_the_run(
    penstock: Penstock,
    daemon: HouseBeside,
    verb: str,
    ended: Callable[[HouseBeside], None],
    code: int,
) -> None:
    ended(daemon)
    result = penstock(verb, "r")
    assert result.exit_code == code
    assert result.stderr.splitlines()[-1].startswith("penstock: r ")


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("sleep", "--fail"), 1),
        (("echo", "--timeout", "0.01"), 124),
        (("echo", "--id", "cancelled"), 143),
    ],
)
def test_run_ends_as_the_run_did(
    penstock: Penstock,
    daemon: HouseBeside,
    monkeypatch: pytest.MonkeyPatch,
    words: tuple[str, ...],
    code: int,
) -> None:
    # No program of that name goes before the kind, which only the daemon has.
    monkeypatch.setenv("PATH", "")
    daemon.beside.do(daemon.house.core.control.cancel, "cancelled", "requested")
    result = penstock("run", *words)
    assert result.exit_code == code
    assert result.stderr.splitlines()[-1].startswith("penstock: ")


def test_what_is_said_of_the_end_begins_a_line(
    penstock: Penstock, daemon: HouseBeside
) -> None:
    """PT-01: whoever looks for `penstock:` looks at the starts of lines; where nothing is said nothing is added."""
    programs = daemon.processes.programs
    programs["killed"] = FakeProgram(stderr=b"half", exit_code=None, signal=9)
    programs["exits"] = FakeProgram(stderr=b"half", exit_code=3)
    said = penstock("run", "command", "--id", "r", "--", "killed").stderr
    assert said == "half\npenstock: r failed: killed by SIGKILL\n"
    assert penstock("run", "command", "--", "exits").stderr == "half"


@pytest.mark.parametrize(
    ("program", "code", "whose", "said"),
    [
        (FakeProgram.failing(7), 7, "program", ""),
        (FakeProgram.failing(125), 125, "program", ""),
        (
            FakeProgram(exit_code=None, signal=9),
            137,
            "signal",
            "penstock: r failed: killed by SIGKILL\n",
        ),
    ],
    ids=["exits", "exits 125", "killed"],
)
def test_a_run_of_a_program_ends_as_it_did(
    penstock: Penstock,
    daemon: HouseBeside,
    program: FakeProgram,
    code: int,
    whose: str,
    said: str,
) -> None:
    """PT-01: of what it exits with nothing is said in a pipe; the last line of JSON says whose it is."""
    daemon.processes.programs["ends"] = program
    words = ["--id", "r", "--json", "--", "ends"]
    result = penstock("run", "command", *words)
    assert (result.exit_code, result.stderr) == (code, said)
    for verb in (("follow", "r", "--json"), ("wait", "r", "--json")):
        again = penstock(*verb)
        assert again.exit_code == code
        for told in (result, again):
            last = json.loads(told.stdout.splitlines()[-1])
            assert (last["exit_code"], last["exit_from"]) == (code, whose)
    before = [json.loads(line) for line in result.stdout.splitlines()[:-1]]
    assert [line for line in before if "exit_code" in line] == []


def test_an_ended_run_is_not_followed_for_ever_from_after_its_end(
    penstock: Penstock, daemon: HouseBeside
) -> None:
    """PT-01: its stream would only say good-bye, each time anew."""
    timed_out(daemon)
    daemon.wait_ended("r")
    after = str(daemon.view("r").position)
    result = penstock("follow", "r", "--after", after)
    assert (result.exit_code, result.stdout, result.stderr) == (124, "", "")


def test_a_run_that_was_there_before_is_told(
    penstock: Penstock, daemon: HouseBeside, monkeypatch: pytest.MonkeyPatch
) -> None:
    """PT-07: what is seen is the old run's output and code, and no new run's."""
    # No program of that name goes before the kind, which only the daemon has.
    monkeypatch.setenv("PATH", "")
    submit = ("submit", "sleep", "--id", "r", "--fail")
    assert penstock(*submit).stderr == ""
    daemon.wait_ended("r")
    for words in (submit, ("run", *submit[1:])):
        said = penstock(*words).stderr.splitlines()[0]
        assert said.startswith("penstock: this is the run of ")
        assert said.endswith("; not run anew (`--new` runs it)")
    anew = penstock("run", *submit[1:], "--new")
    assert "not run anew" not in anew.stderr
    assert anew.exit_code == 1


@pytest.mark.usefixtures("programs")
def test_json_is_every_fact_as_a_line(penstock: Penstock, daemon: HouseBeside) -> None:
    result = penstock("run", "command", "--json", "--id", "r", "--", "make")
    told = [json.loads(line) for line in result.stdout.splitlines()]
    recorded = daemon.beside.do(daemon.house.facts, "r")
    assert [fact["position"] for fact in told] == [fact.position for fact in recorded]
    assert told[-1]["event"]["type"] == "run.completed"


def test_other_kinds_tell_a_story_and_give_their_result(
    penstock: Penstock, daemon: HouseBeside
) -> None:
    """Without a terminal, plain lines on stderr; the result is the data."""
    result = penstock("run", "llms-txt", ".")
    assert json.loads(result.stdout) == {"files": 3}
    lines = [line.split(" ", 1)[1] for line in result.stderr.splitlines()]
    assert lines == ["started", "repo_fetched files=3", "2 %", "reading", "half"]
    assert penstock("run", "llms-txt", ".", "--quiet").stderr == ""


@contextmanager
def interrupting(
    daemon: HouseBeside, run_id: str, *, twice: bool = False
) -> Iterator[None]:
    """Ctrl-C for the command in this block once it reads; once more when it cancels the run."""

    def interrupt() -> None:
        daemon.beside.do(daemon.house.wait_subscribers, 1)
        os.kill(os.getpid(), signal.SIGINT)
        if twice:
            daemon.wait_fact(run_id, RunCancelRequested)
            os.kill(os.getpid(), signal.SIGINT)

    thread = threading.Thread(target=interrupt)
    thread.start()
    try:
        yield
    finally:
        thread.join(PATIENCE)
        assert not thread.is_alive()


@pytest.mark.usefixtures("programs")
def test_ctrl_c_cancels_shows_the_receipt_and_exits_130(
    penstock: Penstock, daemon: HouseBeside
) -> None:
    """CL-02"""
    with interrupting(daemon, "r"):
        result = penstock("run", "command", "--id", "r", "--", "hang")
    assert result.exit_code == 130
    assert "nothing of it is left (subreaper: 1001)" in result.stderr
    assert daemon.view("r").state == "cancelled"


@pytest.mark.usefixtures("programs")
def test_ctrl_c_is_what_the_last_line_of_json_says(
    penstock: Penstock, daemon: HouseBeside
) -> None:
    """PT-01: the code that this command exits with."""
    with interrupting(daemon, "r"):
        result = penstock("run", "command", "--id", "r", "--json", "--", "hang")
    last = json.loads(result.stdout.splitlines()[-1])
    assert result.exit_code == 130
    assert (last["exit_code"], last["exit_from"]) == (130, "penstock")


def test_several_are_followed_one_after_the_other(
    penstock: Penstock, daemon: HouseBeside
) -> None:
    """PT-01 CL-02: whole and unmixed; the first that is not 0 decides, in the order given."""
    for name, code in (("none", 0), ("seven", 7), ("nine", 9)):
        program = FakeProgram(stdout=name.encode() + b"\n", exit_code=code)
        daemon.processes.programs[name] = program
        penstock("submit", "command", "--id", name, "--", name)
    result = penstock("follow", "none", "nine", "seven")
    assert (result.exit_code, result.stdout) == (9, "none\nnine\nseven\n")
    result = penstock("follow", "nobody", "seven")
    assert (result.exit_code, result.stdout) == (125, "seven\n")
    assert result.stderr.startswith("penstock: nobody: ")
    assert penstock("follow", "none", "seven", "--after", "1").exit_code == 2


def test_a_second_ctrl_c_leaves_at_once_and_says_that_cancelling_goes_on(
    penstock: Penstock, daemon: HouseBeside, stubborn: Stubborn
) -> None:
    """CL-02"""
    with interrupting(daemon, "r", twice=True):
        result = penstock("run", "stubborn", "--id", "r")
    assert result.exit_code == 130
    assert "cancelling r goes on" in result.stderr
    assert daemon.view("r").state == "running"
    daemon.beside.token.run_sync_soon(stubborn.may_go.set)
    daemon.wait_fact("r", RunCancelled)


@pytest.mark.parametrize("verb", ["follow", "wait"])
def test_ctrl_c_in_follow_and_wait_leaves_the_run_alone(
    penstock: Penstock, daemon: HouseBeside, verb: str
) -> None:
    """CL-02"""
    daemon.start("r")
    with interrupting(daemon, "r"):
        result = penstock(verb, "r")
    assert result.exit_code == 130
    assert "r goes on" in result.stderr
    assert daemon.view("r").state == "running"


def test_what_happens_to_the_stream_of_a_run_is_said(
    penstock: Penstock, foreign_daemon: ForeignDaemon
) -> None:
    """WS-06 TU-01: a lost connection and facts that are gone are no part of what a program printed."""
    told = story()
    view = {"kind": "command", "state": "running", "position": 1}
    foreign_daemon.routes["GET", "/runs/r"] = (200, view)
    gap = {"type": "gap", "first": 2, "last": 3, "dropped": None}
    bye = {"type": "bye", "reason": "the daemon is stopping"}
    foreign_daemon.lines = [[told[0], gap, bye], told[3:]]
    result = penstock("follow", "r")
    assert (result.exit_code, result.stdout) == (0, "")
    assert result.stderr.splitlines() == [
        "penstock: the facts 2 to 3 are not kept any more",
        "penstock: the daemon is stopping; connecting again",
        "to stderr",
    ]


def test_wait_tells_of_each_run_that_cannot_be_waited_for(
    penstock: Penstock, daemon: HouseBeside
) -> None:
    """CL-02 Several errors at once are sentences too."""
    daemon.submit("sleep", run_id="c")
    result = penstock("wait", "a", "b", "c")
    assert result.exit_code == 125
    assert result.stdout == "c  completed\n"
    assert [line[:12] for line in sorted(result.stderr.splitlines())] == [
        "penstock: a:", "penstock: b:",
    ]  # fmt: skip


def test_a_failed_run_that_is_waited_for_says_what_it_printed_last(
    penstock: Penstock, daemon: HouseBeside, programs: dict[str, FakeProgram]
) -> None:
    """PT-06: its output was not shown, and two lines of it often tell why."""
    said = b"\x1b[31mE\x1b[0m  x\n1 %\r2 failed\n"
    programs["tests"] = FakeProgram(stdout=said, exit_code=2)
    daemon.submit("command", {"argv": ["tests"]}, run_id="r")
    result = penstock("wait", "r")
    assert result.stderr.splitlines()[1:] == ["  E  x", "  2 failed"]
    assert json.loads(penstock("show", "--json", "r").stdout)["output_tail"] == [
        "E  x", "2 failed",
    ]  # fmt: skip
    daemon.submit("sleep", run_id="well")
    assert penstock("wait", "well").stderr == ""


# -- what is sent

REPLY = {"run_id": "r", "kind": "command"}


@pytest.fixture
def taking(foreign_daemon: ForeignDaemon) -> ForeignDaemon:
    """A daemon that takes whatever it is sent."""
    foreign_daemon.routes["POST", "/runs"] = (202, REPLY)
    return foreign_daemon


def submitted(daemon: ForeignDaemon) -> dict[str, Any]:
    [body] = [asked.body for asked in daemon.asked if asked.method == "POST"]
    return dict(body)


def test_a_shell_is_asked_for_explicitly(
    penstock: Penstock, taking: ForeignDaemon
) -> None:
    penstock("submit", "command", "--shell", "a | b")
    assert submitted(taking)["inputs"]["shell"] == "a | b"


def test_the_caller_gives_its_folder_its_environment_and_its_umask(
    penstock: Penstock, taking: ForeignDaemon, monkeypatch: pytest.MonkeyPatch
) -> None:
    """PT-07 PT-08: what a run is are its folder and what `--env` names; the rest is beside it."""
    monkeypatch.setenv("LC_TIME", "C")
    monkeypatch.setenv("AWS_SECRET", "no")
    monkeypatch.setenv("WANTED", "yes")
    penstock("submit", "command", "--env", "WANTED", "--env", "A=b=c", "--", "x")
    body = submitted(taking)
    assert body["inputs"]["cwd"] == os.getcwd()
    assert body["inputs"]["env"] == {"WANTED": "yes", "A": "b=c"}
    sent = unpack_environ(base64.b64decode(body["caller"]["environ"]))
    assert sent.items() >= {"LC_TIME": "C", "AWS_SECRET": "no", "WANTED": "yes"}.items()
    assert "A" not in sent
    assert body["caller"]["umask"] == caller_of({}, HERE)["umask"]  # type: ignore[index]


def test_what_may_execute_anywhere_has_the_folder_that_is_named(
    penstock: Penstock, taking: ForeignDaemon
) -> None:
    """MB-16: and no other by itself; the daemon knows the caller's, for a run that stays."""
    penstock("submit", "--anywhere", "--", "x")
    body = submitted(taking)
    assert "cwd" not in body["inputs"]
    assert body["caller"]["cwd"] == os.getcwd()
    taking.asked.clear()
    penstock("submit", "--anywhere", "--cwd", "/tmp", "--", "x")
    assert submitted(taking)["inputs"]["cwd"] == "/tmp"


def test_inputs_as_json_may_name_the_folder_and_variables(
    penstock: Penstock, taking: ForeignDaemon
) -> None:
    """CL-02: a flag goes before what they say, and where none is given they hold."""
    said = '{"argv": ["x"], "cwd": "/", "env": {"A": "1", "B": "2"}}'
    penstock("submit", "command", "--inputs", said)
    assert submitted(taking)["inputs"] == json.loads(said)
    taking.asked.clear()
    penstock("submit", "command", "--inputs", said, "--env", "B=3", "--cwd", "/tmp")
    inputs = submitted(taking)["inputs"]
    assert (inputs["cwd"], inputs["env"]) == ("/tmp", {"A": "1", "B": "3"})


def test_a_name_that_is_not_set_is_refused(
    penstock: Penstock, taking: ForeignDaemon
) -> None:
    result = penstock("run", "command", "--env", "NOT_SET_HERE", "--", "x")
    assert result.exit_code == 2
    assert "NOT_SET_HERE is not set here" in result.stderr
    assert taking.asked == []


def test_every_wish_reaches_the_daemon(
    penstock: Penstock, taking: ForeignDaemon
) -> None:
    result = penstock(
        "submit", "llms-txt", ".", "--out", "there", "--priority", "high", "--id", "r",
        "--after", "p", "--timeout", "3", "--label", "k=v=w", "--group", "g", "--on-restart", "ask",
        "--inputs", '{"name": "n"}', "--section-links", "7",
    )  # fmt: skip
    assert (result.exit_code, result.stdout) == (0, "r\n")
    body = submitted(taking)
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
    penstock: Penstock, taking: ForeignDaemon
) -> None:
    for source in ("https://host/x.git", "git@host:path", "file:///x"):
        taking.asked.clear()
        penstock("submit", "llms-txt", source)
        assert submitted(taking)["inputs"]["source"] == source


def test_a_kind_only_the_daemon_knows_has_its_flags(
    penstock: Penstock, taking: ForeignDaemon
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
    taking.routes["GET", "/pipelines"] = (200, {"pipelines": [kind]})
    told = penstock("submit", "plugged", "--help").stdout
    assert "(required)" in told
    assert "At most; without it: any  [default: 20]" in " ".join(told.split("\n"))
    result = penstock(
        "submit", "plugged", "--where", "x", "--many", "a", "--many", "b", "--no-fast",
        "--size", "small", "--deep", '{"a": [1]}',
    )  # fmt: skip
    assert result.exit_code == 0, result.stderr
    assert submitted(taking)["inputs"] == {
        "where": os.path.join(os.getcwd(), "x"), "many": ["a", "b"], "fast": False,
        "size": "small", "deep": {"a": [1]},
    }  # fmt: skip
    assert penstock("submit", "plugged", "--size", "huge").exit_code == 2


def test_new_runs_it_under_an_id_made_of_the_given_one(
    penstock: Penstock, taking: ForeignDaemon
) -> None:
    """PT-07"""
    ids = []
    for given in ("nightly", "n" * LONGEST_RUN_ID):
        taking.asked.clear()
        args = ("submit", "command", "--id", given, "--new", "--", "x")
        assert penstock(*args).exit_code == 0
        ids.append(submitted(taking)["run_id"])
    assert re.fullmatch("nightly-[0-9a-f]{8}", ids[0])
    assert (len(ids[1]), ids[1][:-9]) == (LONGEST_RUN_ID, "n" * (LONGEST_RUN_ID - 9))
    taking.asked.clear()
    penstock("submit", "command", "--new", "--", "x")
    assert "run_id" not in submitted(taking)


def test_a_name_is_a_label_and_a_kinds_own_name_stays_its_own(
    penstock: Penstock, taking: ForeignDaemon
) -> None:
    """PT-07"""
    penstock("submit", "command", "--name", "tests", "--label", "k=v", "--", "x")
    assert submitted(taking)["labels"] == {"k": "v", "name": "tests"}
    taking.asked.clear()
    penstock("submit", "llms-txt", ".", "--name", "The project")
    body = submitted(taking)
    assert (body["inputs"]["name"], "labels" in body) == ("The project", False)


@pytest.mark.usefixtures("daemon")
def test_wait_in_json_tells_of_each_run_that_cannot_be_waited_for(
    penstock: Penstock,
) -> None:
    """PT-01"""
    result = penstock("wait", "a", "--json")
    told = json.loads(result.stdout)
    assert (result.exit_code, told["run_id"]) == (125, "a")
    assert (told["exit_code"], told["exit_from"]) == (125, "penstock")


@pytest.mark.parametrize("missing", [0, 3])
def test_a_pipe_that_lacks_bytes_of_a_program_that_succeeded_is_a_failure(
    penstock: Penstock, foreign_daemon: ForeignDaemon, missing: int
) -> None:
    """PT-05 PT-06: the daemon was lost in the midst, and what came meanwhile is not all kept."""
    reply = {"run_id": "r", "kind": "command", "state": "queued", "created": True, "live": True}  # fmt: skip
    foreign_daemon.routes["POST", "/runs"] = (201, reply)
    foreign_daemon.live = [frame_head(BEGUN, 0) + frame_head(STDOUT, 4) + b"ab"]
    started = {"type": "process.started", "pid": 1, "start_time": 1, "boot_id": "b", "method": "cgroup"}  # fmt: skip
    first: dict[str, Any] = {"type": "log", "stream": "stdout", "text": "ab"}
    if missing:
        first = {"type": "log", "stream": "stdout", "bytes": 2 + missing, "emptied": True}  # fmt: skip
    events = [
        {"type": "run.queued", "kind": "command", "priority": 20},
        started, first, {"type": "log", "stream": "stdout", "text": "z"},
        {"type": "run.completed", "result": {"exit_code": 0}},
    ]  # fmt: skip
    foreign_daemon.lines = [[fact(n, n, event) for n, event in enumerate(events, 1)]]
    result = penstock("run", "command", "--", "true")
    assert result.stdout == "abz"
    assert (f"{missing} bytes of stdout are no longer kept" in result.stderr) == bool(missing)  # fmt: skip
    assert ("is not whole" in result.stderr) == bool(missing)
    assert result.exit_code == (125 if missing else 0), result.stderr


def test_what_is_said_while_a_run_goes_on_stands_on_lines_of_its_own(
    penstock: Penstock, foreign_daemon: ForeignDaemon, monkeypatch: pytest.MonkeyPatch
) -> None:
    """PT-08 PT-06: its program has not ended its line; and a loss is told once, however long it lasts."""
    monkeypatch.setattr(click.testing._NamedTextIOWrapper, "isatty", lambda _: True)
    reply = {"run_id": "r", "kind": "command", "state": "queued", "created": True, "live": True}  # fmt: skip
    foreign_daemon.routes["POST", "/runs"] = (201, reply)
    foreign_daemon.live = [frame_head(BEGUN, 0) + frame_head(STDOUT, 2) + b"ab"]
    started = {"type": "process.started", "pid": 1, "start_time": 1, "boot_id": "b", "method": "cgroup"}  # fmt: skip
    events: list[dict[str, Any]] = [
        {"type": "run.queued", "kind": "command", "priority": 20},
        started, {"type": "log", "stream": "stdout", "text": "abc\n"},
        {"type": "run.completed", "result": {"exit_code": 0}},
    ]  # fmt: skip
    foreign_daemon.lines = [[fact(n, n, event) for n, event in enumerate(events, 1)]]
    foreign_daemon.absent = 2
    result = penstock("run", "command", "--", "true")
    assert result.output.startswith(
        "ab\npenstock: the connection broke; connecting again\nc\n"
    )
    assert result.output.count("connecting again") == 1
