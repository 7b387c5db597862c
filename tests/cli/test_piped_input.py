"""PT-02: the standard input of `penstock run`, and `penstock send`, with real programs."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from fakes.real_daemon import RealDaemon

pytestmark = [pytest.mark.slow, pytest.mark.processes]

PATIENCE = 60
PENSTOCK = [sys.executable, "-m", "penstock.cli.main"]
RUN = [*PENSTOCK, "run", "command"]
MIB = 1024 * 1024


def call(
    argv: list[str], given: bytes | None, code: int = 0
) -> subprocess.CompletedProcess[bytes]:
    """A command with this on its standard input; None is /dev/null."""
    nothing = subprocess.DEVNULL if given is None else None
    done = subprocess.run(
        argv,
        capture_output=True,
        timeout=PATIENCE,
        env=os.environ,
        check=False,
        stdin=nothing,
        input=given,
    )
    assert done.returncode == code, (done.returncode, done.stdout, done.stderr)
    return done


def upper(given: bytes | None) -> bytes:
    return call([*RUN, "--", "tr", "a-z", "A-Z"], given).stdout


def test_what_is_piped_in_reaches_a_program_without_a_daemon() -> None:
    """PT-02"""
    assert upper(b"one\ntwo") == b"ONE\nTWO"
    assert upper(None) == b""


def test_what_is_piped_in_reaches_a_program_of_the_daemon(
    real_daemon: RealDaemon, tmp_path: Path
) -> None:
    """PT-02: a pipe, a file, nothing, and as much as no buffer holds, in flat memory."""
    assert upper(b"one\ntwo") == b"ONE\nTWO"
    assert upper(None) == b""
    with (tmp_path / "much").open("wb") as much:
        much.truncate(128 * MIB)
    with (tmp_path / "much").open("rb") as much:
        done = subprocess.run(
            [*RUN, "--", "wc", "-c"],
            stdin=much,
            capture_output=True,
            timeout=PATIENCE,
            check=True,
        )
    assert int(done.stdout) == 128 * MIB
    status = Path(f"/proc/{real_daemon.process.pid}/status").read_text()
    [peak] = [line.split()[1] for line in status.splitlines() if "VmHWM" in line]
    assert int(peak) * 1024 < 128 * MIB


def test_a_program_that_ends_leaves_what_it_did_not_read(
    real_daemon: RealDaemon,
) -> None:
    """PT-02: that is no failure, and nobody waits for the rest of an endless input."""
    shell = f"yes | {' '.join(RUN)} -- head -n 2"
    done = call(["sh", "-c", shell], None)
    assert done.stdout == b"y\ny\n"
    assert b"gets no input" not in done.stderr


def test_lines_are_sent_to_a_run_that_is_open_to_them(real_daemon: RealDaemon) -> None:
    """PT-02"""
    script = 'while read line; do echo "got $line"; done; echo end'
    submit = [*PENSTOCK, "submit", "command", "--stdin", "open", "--id", "r", "--"]
    call([*submit, "sh", "-c", script], None)
    call([*PENSTOCK, "send", "r", "one"], None)
    call([*PENSTOCK, "send", "-n", "r", "t"], None)
    call([*PENSTOCK, "send", "r"], b"wo\n")
    call([*PENSTOCK, "send", "r", "--eof"], None)
    call([*PENSTOCK, "wait", "r"], None)
    said = call([*PENSTOCK, "logs", "r"], None).stdout
    assert said == b"got one\ngot two\nend\n"
    late = call([*PENSTOCK, "send", "r", "late"], None, code=4)
    assert b"has ended" in late.stderr


def test_a_submitted_run_takes_no_input_unless_it_is_asked_to(
    real_daemon: RealDaemon,
) -> None:
    """PT-02: what is piped into `submit` stays there."""
    call([*PENSTOCK, "submit", "command", "--id", "r", "--", "cat"], b"lost")
    call([*PENSTOCK, "wait", "r"], None)
    assert call([*PENSTOCK, "logs", "r"], None).stdout == b""
    assert upper(b"some") == b"SOME"
    assert call([*RUN, "--stdin", "none", "--", "cat"], b"lost").stdout == b""
