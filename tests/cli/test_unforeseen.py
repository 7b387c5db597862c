"""CL-01, ER-02: whatever the box or the caller does, a command ends with one sentence and its code."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from fakes.real_daemon import RealDaemon
from penstock.unforeseen import guarded

pytestmark = pytest.mark.slow

PATIENCE = 60
PENSTOCK = shlex.join([sys.executable, "-m", "penstock.cli.main"])
TUI = shlex.join([sys.executable, "-m", "penstock_tui.main"])


def shell(
    line: str, environ: Mapping[bytes, bytes] | None = None
) -> subprocess.CompletedProcess[str]:
    """A line of bash; what it says must be no traceback."""
    done = subprocess.run(
        ["bash", "-c", line], capture_output=True, text=True, timeout=PATIENCE,
        stdin=subprocess.DEVNULL, env={**os.environb, **(environ or {})}, errors="replace",
    )  # fmt: skip
    assert "Traceback" not in done.stderr, done.stderr
    assert "Exception ignored" not in done.stderr, done.stderr
    return done


def test_a_working_folder_that_was_removed_is_told(tmp_path: Path) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    inside = f"cd {gone}; rmdir {gone}; {PENSTOCK}"
    done = shell(f"{inside} run command -- true")
    assert (done.returncode, done.stdout) == (2, "")
    assert "the folder you stand in was removed" in done.stderr
    gone.mkdir()
    assert shell(f"{inside} run command --cwd / -- echo x").stdout == "x\n"


@pytest.mark.parametrize(
    "args",
    ["run command -- echo", "--url http://127.0.0.1:1 submit command -- echo",
     "--url http://127.0.0.1:1 show", "--url http://127.0.0.1:1 intervene r"],
)  # fmt: skip
def test_arguments_that_are_no_text_are_refused(args: str) -> None:
    done = shell(f"{PENSTOCK} {args} $'caf\\xe9'")
    assert done.returncode == 2, done.stderr
    assert len(done.stderr.splitlines()) == 1
    # Only where it stands: what it is, or stands beside it, may be a secret.
    assert "caf" not in done.stderr


@pytest.mark.parametrize(
    "args",
    ["command --env KEY=hunter2 -- echo $'\\xe9'", "command --env KEY=hunter2$'\\xe9' -- echo",
     "loop --act hunter2 --until $'\\xe9'", "command --inputs '{\"env\": {\"KEY\": \"hunter2\"'",
     "command --env =hunter2 -- echo"],
)  # fmt: skip
def test_what_is_refused_is_not_quoted(args: str) -> None:
    """API-07: whatever stands beside it, values of the environment above all."""
    done = shell(f"{PENSTOCK} run {args}")
    assert done.returncode == 2, done.stderr
    assert "hunter2" not in done.stderr


def test_a_value_of_the_environment_that_is_no_text_is_named() -> None:
    """PT-08: where it is to be an input; as a part of the caller's environment it is only bytes."""
    done = shell(f"{PENSTOCK} run command --env LC_X -- true", {b"LC_X": b"\xe9"})
    assert (done.returncode, done.stdout) == (2, "")
    assert "'LC_X' is not UTF-8" in done.stderr
    prints = """sh -c 'printf "%s" "$FOO" | od -An -tx1'"""
    unasked = shell(f"{PENSTOCK} run command -- {prints}", {b"FOO": b"\xe9\xff"})
    assert unasked.stdout == " e9 ff\n"


@pytest.mark.parametrize(
    "args",
    ["submit command --timeout inf -- true", "run command --timeout nan -- true",
     "run command --inputs '{\"argv\": NaN}'", "submit loop --turn-timeout nan --until false",
     "prune --older-than inf", "prune --older-than 1e300",
     f"run command --inputs '{'[' * 100_000}'"],
)  # fmt: skip
def test_numbers_that_json_cannot_say_are_a_usage_error(args: str) -> None:
    done = shell(f"{PENSTOCK} {args}")
    assert done.returncode == 2, done.stderr
    assert "Invalid value" in done.stderr


@pytest.mark.parametrize("unbuffered", [b"", b"1"])
@pytest.mark.parametrize(
    ("to", "why"),
    [("> /dev/full", "No space left on device"), (">&-", "Bad file descriptor")],
)
def test_a_stdout_that_takes_no_data_is_told(
    to: str, why: str, unbuffered: bytes
) -> None:
    done = shell(f"{PENSTOCK} config {to}", {b"PYTHONUNBUFFERED": unbuffered})
    assert done.returncode == 70
    assert done.stderr.endswith(f"penstock: stdout cannot be written: {why}\n")


def test_no_stream_need_be_open() -> None:
    assert shell(f"{PENSTOCK} show x <&- >&- 2>&-").returncode == 69
    assert shell(f"{PENSTOCK} show x 2> /dev/full").returncode == 69
    assert shell(f"{PENSTOCK} config 2>&-").returncode == 0
    assert shell(f"{TUI} <&- >&- 2>&-").returncode == 2


@pytest.mark.parametrize("verb", ["submit command", "run command --detach", "retry a"])
def test_nothing_is_started_that_a_closed_stdout_would_not_name(
    real_daemon: RealDaemon, verb: str
) -> None:
    """CL-01: one that finds no room in the end is named on stderr."""
    shell(f"{PENSTOCK} submit command --id a -- true")
    program = "" if verb == "retry a" else " -- true"
    done = shell(f"{PENSTOCK} {verb}{program} >&-")
    assert done.returncode == (125 if verb.startswith("run") else 70)
    assert "stdout cannot be written: Bad file descriptor" in done.stderr
    assert [run["run_id"] for run in listed()] == ["a"]
    for flag in ("", " --json"):
        full = shell(f"{PENSTOCK} {verb}{flag}{program} > /dev/full")
        assert full.returncode == done.returncode
        newest = listed()[0]["run_id"]
        assert f"the run {newest} was started all the same" in full.stderr


def listed() -> list[dict[str, Any]]:
    """The runs, newest first."""
    lines = shell(f"{PENSTOCK} list --json").stdout.splitlines()
    return [json.loads(line) for line in lines]


@pytest.mark.parametrize("to", ["> /dev/full", ">&-"])
def test_a_run_whose_output_finds_no_room_is_cancelled(to: str) -> None:
    """As the run whose reader has left. PT-01: 125, since 70 may be a program's own."""
    line = f"{PENSTOCK} run command --id y --shell 'echo x; sleep 600' {to}"
    done = shell(line)
    assert done.returncode == 125
    assert done.stderr.count("stdout cannot be written") == 1
    assert "y cancelled, nothing of it is left" in done.stderr
    shown = json.loads(shell(f"{PENSTOCK} show y --json").stdout)
    assert shown["reason"] == "nobody reads its output"


def test_an_encoding_changes_nothing_of_what_a_program_wrote() -> None:
    """PT-06: a pipe gets its bytes; the words of ours are escaped where they cannot be said."""
    ascii_ = {b"PYTHONIOENCODING": b"ascii"}
    done = shell(f"{PENSTOCK} run command --id u -- echo ü😀", ascii_)
    assert (done.returncode, done.stdout) == (0, "ü😀\n")
    told = shell(f"{PENSTOCK} events u --type log", ascii_).stdout
    assert json.loads(told)["event"]["text"] == "ü😀\n"


def test_what_nobody_foresaw_is_a_sentence_and_70(
    capsys: pytest.CaptureFixture[str],
) -> None:
    def work() -> int:
        raise ExceptionGroup("several", [ValueError("a\nb\x1b[2J"), OSError("c")])

    assert guarded(work, "penstock", debug=False) == 70
    said = capsys.readouterr().err
    assert said == (
        "penstock: this was not foreseen: ValueError: a b␛[2J; --debug shows where\n"
    )
    assert guarded(work, "penstock", debug=True) == 70
    assert "Traceback" in capsys.readouterr().err


def test_debug_shows_where() -> None:
    argv = [*shlex.split(PENSTOCK), "--debug", "config"]
    with open("/dev/full", "wb") as full:
        done = subprocess.run(
            argv, stdout=full, stderr=subprocess.PIPE, timeout=PATIENCE, check=False
        )
    assert done.returncode == 70
    assert b"Traceback" in done.stderr
    assert b"--debug" in subprocess.check_output([*shlex.split(TUI), "--help"])


def test_exit_codes_of_what_is_foreseen_are_kept() -> None:
    assert guarded(lambda: None, "penstock", debug=False) == 0
    assert guarded(lambda: 3, "penstock", debug=False) == 3
    assert guarded(lambda: sys.exit(69), "penstock", debug=False) == 69


#: Where a FIFO stands, what is called, and what it is told; below the home of the test.
FIFOS = [
    ("config/penstock/config.toml", f"{PENSTOCK} serve --port 0", "config.toml cannot be read"),
    ("config/penstock/config.toml", f"{PENSTOCK} list", "config.toml cannot be read"),
    ("config/penstock/config.toml", f"{PENSTOCK} submit command -- true", "config.toml cannot be read"),
    ("config/penstock/config.toml", f"{PENSTOCK} run command -- true", "config.toml cannot be read"),
    ("config/penstock/tui.toml", TUI, "tui.toml cannot be read"),
    ("state/penstock/token", f"{PENSTOCK} serve --port 0", "token cannot be read"),
    ("inputs", f"{PENSTOCK} run command --inputs @$HOME/inputs", "it is no regular file"),
    ("state/penstock/daemon.lock", f"{PENSTOCK} prune", "daemon.lock cannot be opened"),
    ("state/penstock/daemon.lock", f"{PENSTOCK} serve --port 0", "daemon.lock cannot be opened"),
    ("state/penstock/penstock.db", f"{PENSTOCK} serve --port 0", "penstock.db is no file"),
    ("state/penstock/embedded/x.db", f"{PENSTOCK} show x", "x.db is no file"),
]  # fmt: skip


@pytest.mark.parametrize(("place", "line", "told"), FIFOS)
def test_a_fifo_where_a_file_is_read_is_waited_for_by_nobody(
    home: Path, place: str, line: str, told: str
) -> None:
    """ER-02: one sentence, at once, that ends with what is wrong with the file."""
    fifo = home / place
    fifo.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    os.mkfifo(fifo, 0o600)
    (home / "state/penstock").mkdir(mode=0o700, parents=True, exist_ok=True)
    (home / "state/penstock/penstock.db").touch(0o600)
    done = shell(line)
    assert done.returncode != 0
    [sentence] = [said for said in done.stderr.splitlines() if told in said]
    assert sentence.endswith(("no regular file", "no regular file: ", "is no file"))


def test_the_pipe_of_a_shell_may_bring_the_inputs() -> None:
    done = shell(
        f"""{PENSTOCK} run command --inputs @<(echo '{{"argv": ["echo", "x"]}}')"""
    )
    assert (done.returncode, done.stdout) == (0, "x\n")


@pytest.mark.parametrize(
    ("place", "line"),
    [("embedded", "run command -- true"), ("embedded", "mcp"), ("runs", "run command -- true"),
     ("", "run command -- true"), ("", "serve --port 0"), ("", "import")],
)  # fmt: skip
def test_a_file_where_a_folder_is_to_be_is_named(
    home: Path, place: str, line: str
) -> None:
    file = home / "state/penstock" / place
    file.parent.mkdir(mode=0o700, parents=True)
    file.touch()
    done = shell(f"{PENSTOCK} {line}")
    assert done.returncode == (125 if line.startswith("run") else 1)
    assert f"the folder {file} cannot be made: File exists" in done.stderr
