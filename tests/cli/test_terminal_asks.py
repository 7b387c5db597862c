"""AG-02 CL-01: what a run asks is put to the person who follows it, and a key answers."""

from __future__ import annotations

import itertools
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import trio
from pydantic import Field

from fakes.house_beside import HouseBeside
from fakes.penstock_command import Penstock
from fakes.typed_keys import Typed, open_typed_keys
from penstock.cli.bell import AskBell
from penstock.cli.notes import RunNotes
from penstock.cli.relay import write_live
from penstock.cli.render import LineWriter
from penstock.cli.story_lines import StoryLines
from penstock.cli.terminal_asks import TerminalAsks, keys_for
from penstock.client.sync import SyncClient
from penstock.pipeline import AskExpired, Inputs, Kind, Output, Run
from penstock.words.address import socket_address
from penstock.words.events import AskRaised, AskWithdrawn
from penstock.words.values import JsonObject

pytestmark = pytest.mark.sockets

DIFF = "--- a/app.py\n+++ b/app.py\n@@ -1 +1 @@\n-old\n+new \x1b[31mred\n"
HOSTILE = "\x1b]0;owned\x07"


class Asked(Inputs):
    """What is asked, one after the other, or at once."""

    choices: tuple[str, ...] = ("allow", "deny")
    names: tuple[str, ...] = ("one",)
    details: JsonObject = Field(default_factory=dict)
    question: str = "May I?"


class Answers(Output):
    """What was answered."""

    answers: dict[str, str]


async def ask(run: Run, inputs: Asked) -> Answers:
    """Ask all at once, and end when all are answered."""
    answers: dict[str, str] = {}

    async def one(name: str) -> None:
        with suppress(AskExpired):
            answers[name] = await run.ask(name, inputs.question, inputs.choices, details=inputs.details)  # fmt: skip

    async with trio.open_nursery() as nursery:
        for name in inputs.names:
            nursery.start_soon(one, name)
    return Answers(answers=answers)


ASKS = Kind("asks", "Asks", Asked, Answers, ask)


@pytest.fixture
def kinds() -> tuple[Kind, ...]:
    return (ASKS,)


Told = Callable[..., dict[str, str | None]]


@pytest.fixture
def told(daemon: HouseBeside, socket: Path, monkeypatch: pytest.MonkeyPatch) -> Told:
    """`told("a", names=(…))`: follow such a run while that is typed, to its end; the answers."""
    monkeypatch.setenv("NO_COLOR", "1")

    def follow(
        *script: Typed,
        moments: Iterator[float] | None = None,
        on_back: Callable[[], object] = lambda: None,
        **inputs: Any,
    ) -> dict[str, str | None]:
        ticks = moments or map(float, itertools.count())
        daemon.submit("asks", inputs, run_id="r")
        client = SyncClient(socket_address(socket))
        with open_typed_keys(*script) as keys:
            keys.on_back = on_back
            asks = TerminalAsks(client, keys, now=lambda: next(ticks))
            notes = RunNotes("r", "asks", "queued", LineWriter(StoryLines().tell_steps))
            asks.before(notes)
            write_live(client, "r", notes, beside=(asks,))
            # However it went, the terminal is as it was.
            assert keys.wanted[-1] == "back"
        return {name: ask.answer for name, ask in daemon.view("r").asks.items()}

    return follow


def test_one_key_answers(told: Told, capsys: pytest.CaptureFixture[str]) -> None:
    """AG-02: without Enter; the question stands there with all that one should see, made harmless."""
    details = {"tool": "edit", "title": f"Edit app.py {HOSTILE}", "command": "rm -rf build", "paths": ["app.py"], "diff": DIFF}  # fmt: skip
    assert told("a", details=details) == {"one": "allow"}
    said = capsys.readouterr().err
    for line in (
        "? May I?",
        "  $ rm -rf build",
        "  -old",
        "  +new",
        "  [a]llow  [d]eny  [l]ater",
        "→ allow",
    ):
        assert line in said


def test_a_key_that_comes_before_one_can_have_read_it_answers_nothing(told: Told) -> None:  # fmt: skip
    """AG-02: it was meant for something else; so was what is pasted, and a key that sends more than a letter."""
    moments = iter([100.0, 100.1, 101.0])
    script = ("a", "\x1b[A", "all of it", "A", "d")
    assert told(*script, moments=moments) == {"one": "deny"}


def test_questions_stand_there_one_after_the_other(told: Told) -> None:
    """AG-02"""
    answers = told("d", "a", names=("one", "two"))
    assert sorted(str(answer) for answer in answers.values()) == ["allow", "deny"]


def test_words_are_typed_where_there_is_nothing_to_choose(told: Told) -> None:
    """CL-01: as a line, which the terminal shows; an empty one says nothing."""
    typed = ("\n", "a branch of mine\n")
    assert told(*typed, choices=()) == {"one": "a branch of mine"}


def test_what_somebody_else_answers_stands_there_no_more(
    told: Told, penstock: Penstock, capsys: pytest.CaptureFixture[str]
) -> None:
    """AG-02: it is told with the answer, and the next is put."""

    def elsewhere() -> None:
        for name in ("one", "two"):
            penstock("answer", "r", name, "deny")

    assert told(elsewhere, names=("one", "two")) == {"one": "deny", "two": "deny"}
    said = capsys.readouterr().err
    assert "one: deny (by" in said
    assert "two: deny (by" in said


def test_the_key_for_one_that_was_answered_meanwhile_is_told_so(
    told: Told, penstock: Penstock, capsys: pytest.CaptureFixture[str]
) -> None:
    """AG-02: the first answer holds."""

    def too_late() -> str:
        penstock("answer", "r", "one", "deny")
        return "a"

    assert told(too_late) == {"one": "deny"}
    said = capsys.readouterr().err
    assert "answered already" in said
    assert "→ allow" not in said


def test_one_that_is_taken_back_stands_there_no_more(
    told: Told, daemon: HouseBeside, capsys: pytest.CaptureFixture[str]
) -> None:
    """AG-02: the next is put, and the key for it is no answer to the other."""

    def take_back() -> None:
        first = next(iter(daemon.view("r").asks))
        daemon.record("r", AskWithdrawn(name=first, reason="its time is over"))

    answers = told(take_back, None, "d", names=("one", "two"))
    assert sorted(map(str, answers.values())) == ["None", "deny"]
    assert ": its time is over" in capsys.readouterr().err


@pytest.mark.parametrize("typed", ["l", ""])
def test_later_leaves_it_open(
    told: Told, penstock: Penstock, capsys: pytest.CaptureFixture[str], typed: str
) -> None:
    """AG-02: it says how it is answered elsewhere, and then the answer. So does the end of the terminal."""
    answer = partial(penstock, "answer", "r", "one", "allow")
    assert told(typed, on_back=answer) == {"one": "allow"}
    said = capsys.readouterr().err
    assert "it stays open: `penstock answer r`" in said
    assert "one: allow (by" in said


def test_what_is_asked_after_the_end_of_the_terminal_is_told(
    told: Told,
    daemon: HouseBeside,
    penstock: Penstock,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """AG-02 CL-01: nobody can press a key for it, so it is told as to a pipe, and so is its answer."""

    def ask_more() -> None:
        if "late" not in daemon.view("r").asks:
            daemon.record("r", AskRaised(name="late", question="And this?"))
            for name in ("late", "one"):
                penstock("answer", "r", name, "allow")

    told("", on_back=ask_more)
    said = capsys.readouterr().err
    assert "And this? (penstock answer)" in said
    assert "late: allow (by" in said
    assert "one: allow (by" in said


def test_a_long_diff_is_cut_and_shown_whole_by_a_key(
    told: Told, capsys: pytest.CaptureFixture[str]
) -> None:
    """AG-02: nobody allows what they could not see."""
    body = "".join(f"+line {n}\n" for n in range(100))
    details = {"diff": f"--- /dev/null\n+++ b/a\n@@ -0,0 +1,100 @@\n{body}"}
    assert told("m", "a", details=details) == {"one": "allow"}
    before, _, after = capsys.readouterr().err.partition("73 more lines")
    assert "line 99" not in before
    assert "[m]ore" in after
    assert "line 99" in after


@pytest.mark.parametrize(
    ("words", "keys"),
    [
        (["allow", "deny"], "ad"),
        (["allow", "always", "later"], "alt"),
        (["yes", "YES", "1"], "ye1"),
        (["дa", "日本"], "a1"),
    ],
)
def test_each_choice_has_a_key_of_its_own(words: list[str], keys: str) -> None:
    """AG-02"""
    assert keys_for(words) == dict(zip(keys, words, strict=True))


def test_a_run_that_asks_rings_once(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """CL-05 AG-02: it waits for a person, who may look elsewhere."""
    monkeypatch.setattr(type(sys.stderr), "isatty", lambda _: True)
    notes = RunNotes("r", "agent", "running", LineWriter(lambda _fact: None))
    bell = AskBell({"TERM": "xterm"})
    notes.asks["one"] = f"May I? {HOSTILE}"
    bell.see(notes)
    bell.see(notes)
    said = capsys.readouterr().err
    assert said.count("\x1b]9;") == 1
    assert HOSTILE not in said
    notes.asks["two"] = "And this?"
    bell.see(notes)
    assert "And this?" in capsys.readouterr().err
    AskBell({"TERM": "xterm", "PENSTOCK_RING": "never"}).see(notes)
    assert capsys.readouterr().err == ""
