"""CL-01, CL-02: help, exit codes, and what is said where."""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
from pathlib import Path

import click
import pytest

from fakes.foreign_daemon import ForeignDaemon
from fakes.house_beside import HouseBeside
from fakes.penstock_command import Penstock
from penstock.cli import main
from penstock.cli.main import VERBS, cli
from penstock.words.exit_codes import CODES, CODES_OF_RUNS, RUN_VERBS, in_a_line

EVERY_VERB = [verb for verbs in VERBS.values() for verb in verbs]
# `tui` becomes another program, and is tested where that stands.
ALL_VERBS = [verb for verb in EVERY_VERB if verb != "tui"]
#: The word that Python keeps for itself.
VERB_FILES = {"import": "import_"}


def test_the_bare_command_shows_help(penstock: Penstock) -> None:
    """CL-02: where no person is there to read it."""
    result = penstock()
    assert result.exit_code == 0
    assert all(verb in result.stdout for verb in ALL_VERBS)


@pytest.mark.processes
def test_help_imports_nothing_heavy() -> None:
    """Help must be there at once; an import of any of these costs more than all the rest."""
    code = (
        "import sys; from penstock.cli.main import cli\n"
        "cli(['--help'], standalone_mode=False)\n"
        "print([m for m in ('trio', 'pydantic', 'httpx', 'rich', 'dspy') if m in sys.modules])"
    )
    out = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert out.stdout.splitlines()[-1] == "[]"


@pytest.mark.parametrize("verb", ALL_VERBS)
def test_every_listed_verb_exists_and_explains_itself(
    penstock: Penstock, verb: str
) -> None:
    result = penstock(verb, "--help")
    assert result.exit_code == 0
    assert "Usage: penstock " + verb in result.stdout
    assert "Example" in result.stdout
    assert "penstock " + verb in result.stdout.partition("Example")[2]


def test_a_verb_is_the_file_of_its_name_and_no_verb_leans_on_another() -> None:
    """CL-01: what two verbs share stands in a file of its own."""
    folder = Path(main.__file__).parent
    files = {verb: folder / f"{VERB_FILES.get(verb, verb)}.py" for verb in EVERY_VERB}
    assert [str(file) for file in files.values() if not file.is_file()] == []
    verbs = {f"penstock.cli.{file.stem}" for file in files.values()}
    leaning = [
        (verb, node.module)
        for verb, file in files.items()
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, ast.ImportFrom) and node.module in verbs
    ]
    assert leaning == []


@pytest.mark.parametrize("verb", EVERY_VERB)
def test_the_command_of_a_verb_has_its_name(verb: str) -> None:
    command = cli.get_command(click.Context(cli), verb)
    assert command is not None
    assert command.name == verb


@pytest.mark.parametrize(
    "args",
    [["list"], ["show", "r"], ["submit", "command", "--", "true"], ["health"], ["cancel", "r"],
     ["follow", "r"], ["wait", "r"], ["asks"], ["events"], ["shutdown"]],
)  # fmt: skip
def test_no_daemon_is_69_and_says_how_to_start_one(
    penstock: Penstock, args: list[str]
) -> None:
    """CL-02 PT-01: 125 where all other codes are a program's."""
    result = penstock(*args)
    assert result.exit_code == (125 if args[0] in RUN_VERBS else 69)
    assert result.stdout == ""
    assert result.stderr.startswith("penstock: no daemon is running")
    assert args == ["shutdown"] or "penstock serve" in result.stderr


def test_a_named_daemon_that_is_not_there_is_never_replaced(
    penstock: Penstock, daemon: HouseBeside
) -> None:
    """CL-02 With --url there is no fallback, not even to a running daemon."""
    result = penstock("--url", "http://127.0.0.1:1", "run", "command", "--", "true")
    assert result.exit_code == 125
    assert result.stderr.startswith("penstock: ")
    assert daemon.untouched


@pytest.mark.parametrize(
    ("status", "type_", "code"),
    [
        (404, "run-not-found", 3),
        (409, "other-inputs", 4),
        (429, "queue-full", 75),
        (401, "unauthorised", 77),
        (400, "refused", 2),
        (503, "shutting-down", 69),
    ],
)
def test_the_daemons_errors_have_their_exit_codes(
    penstock: Penstock,
    foreign_daemon: ForeignDaemon,
    status: int,
    type_: str,
    code: int,
) -> None:
    """CL-01"""
    document = {"type": f"urn:penstock:{type_}", "title": "x", "detail": "the sentence"}
    foreign_daemon.routes["POST", "/runs"] = (status, document)
    result = penstock("submit", "command", "--", "true")
    assert (result.exit_code, result.stdout) == (code, "")
    assert result.stderr == "penstock: the sentence\n"
    ran = penstock("run", "command", "--json", "--", "true")
    # PT-01: what is Penstock's own is no code of a program; a refusal stays one.
    assert ran.exit_code == (2 if code == 2 else 125)
    assert ran.stderr == "penstock: the sentence\n"
    told = {
        "error": "the sentence",
        "exit_code": ran.exit_code,
        "exit_from": "penstock",
    }
    assert json.loads(ran.stdout) == told


def test_usage_errors_are_2(penstock: Penstock) -> None:
    for args in (
        ["no-such-verb"],
        ["run", "loop", "--no-such-flag"],
        ["list", "--no-such-flag"],
        ["run", "command"],
    ):
        result = penstock(*args)
        assert result.exit_code == 2, args
        assert result.stdout == ""


@pytest.mark.processes
def test_a_reader_that_leaves_is_no_error() -> None:
    """`penstock … | head`: no trace on stderr, and the exit code that the shell knows."""
    reading, writing = os.pipe()
    os.close(reading)
    argv = [sys.executable, "-m", "penstock.cli.main", "config", "--json"]
    done = subprocess.run(argv, stdout=writing, stderr=subprocess.PIPE, timeout=60)
    os.close(writing)
    assert (done.returncode, done.stderr) == (141, b"")


def test_errors_of_others_cannot_drive_the_terminal(
    penstock: Penstock, foreign_daemon: ForeignDaemon
) -> None:
    document = {"type": "urn:penstock:conflict", "detail": "bad \x1b]0;title\x07 text"}
    foreign_daemon.routes["POST", "/runs/r/interventions"] = (409, document)
    result = penstock("intervene", "r", "text")
    assert result.exit_code == 4
    assert "\x1b" not in result.stderr


def test_help_tells_the_exit_codes_of_the_tables(penstock: Penstock) -> None:
    """PT-01 CL-01: they are written down once."""
    told = " ".join(penstock("--help").stdout.split())
    assert in_a_line(CODES) in told
    for args in (["run"], ["run", "command"], ["follow"], ["wait"]):
        told = " ".join(penstock(*args, "--help").stdout.split())
        assert in_a_line(CODES_OF_RUNS) in told, args
    assert "Exit codes" not in penstock("submit", "--help").stdout
