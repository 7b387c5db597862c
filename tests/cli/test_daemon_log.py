"""The daemon's log suits its reader, and one record is one line."""

from __future__ import annotations

import io
import json
import logging
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import pytest

from penstock.cli import daemon_log
from penstock.cli.daemon_log import set_up_logging
from penstock.words.config import Config
from penstock.words.errors import StartRefused


@pytest.fixture(autouse=True)
def root() -> Iterator[None]:
    before, level = list(logging.root.handlers), logging.root.level
    yield
    logging.root.handlers[:] = before
    logging.root.setLevel(level)


def logged(config: Config, environ: dict[str, str]) -> str:
    stream = io.StringIO()
    set_up_logging(config, environ, stream)
    logging.getLogger("penstock.x").warning("bad %s", "\x1b[2J\nforged line")
    logging.getLogger("penstock.x").debug("not wanted")
    return stream.getvalue()


def test_a_person_gets_time_and_level_and_no_escape_sequences() -> None:
    text = logged(Config(), {})
    assert " warning bad " in text
    assert "\x1b" not in text
    assert text.splitlines()[1].startswith("  forged")


@pytest.mark.parametrize("form", ["text", "json"])
def test_what_is_redacted_stands_in_no_line(form: Literal["text", "json"]) -> None:
    """API-07: the message, what it quotes, and a traceback."""
    stream = io.StringIO()
    config = Config(log_format=form, redact=("hunter[0-9]",))
    set_up_logging(config, {}, stream)
    log = logging.getLogger("penstock.x")
    log.warning("the hook said %s", "hunter1")
    try:
        raise ValueError("hunter2")
    except ValueError:
        log.exception("fault")
    said = stream.getvalue()
    assert "hunter" not in said
    assert "the hook said [redacted]" in said
    assert "ValueError: [redacted]" in said


def test_a_pattern_that_is_none_is_a_sentence_before_anything_is_logged() -> None:
    """API-07 ER-02"""
    with pytest.raises(StartRefused, match="redact: '\\['"):
        set_up_logging(Config(redact=("[",)), {}, io.StringIO())


def test_journald_gets_its_number(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with open(os.devnull, "w") as stderr:
        monkeypatch.setattr(sys, "stderr", stderr)
        found = os.fstat(stderr.fileno())
        monkeypatch.setattr(daemon_log, "JOURNAL", str(tmp_path / "none"))
        environ = {"JOURNAL_STREAM": f"{found.st_dev}:{found.st_ino}"}
        assert logged(Config(), environ).startswith("<4>bad")


def test_a_terminal_that_systemd_started_is_no_journal() -> None:
    """JOURNAL_STREAM is handed on to every child, whatever its stderr is."""
    assert " warning bad " in logged(Config(), {"JOURNAL_STREAM": "8:1"})


def test_a_program_gets_json_in_utc() -> None:
    [line] = logged(Config(log_format="json"), {}).splitlines()
    told = json.loads(line)
    assert (told["level"], told["logger"]) == ("warning", "penstock.x")
    assert told["at"].endswith("Z")


def test_connections_that_cannot_be_accepted_are_told_once_and_in_a_line() -> None:
    """RS-01: Trio tells it ten times a second, as long as strangers hold every descriptor."""
    stream = io.StringIO()
    set_up_logging(Config(), {}, stream)
    log = logging.getLogger("trio.serve_listeners")
    for _ in range(10):
        try:
            raise OSError(24, "Too many open files")
        except OSError as error:
            log.error("accept returned EMFILE", exc_info=error)
    assert stream.getvalue().count("\n") == 1
    assert "accept returned EMFILE" in stream.getvalue()


def test_a_program_is_told_what_a_line_is_about() -> None:
    """HO-05: the run, its kind and the position in the log, each a field where it is known."""
    stream = io.StringIO()
    set_up_logging(Config(log_format="json"), {}, stream)
    about = {"run_id": "r", "kind": "loop", "position": 7}
    logging.getLogger("penstock.x").warning("late", extra=about)
    logging.getLogger("penstock.x").warning("early", extra={"run_id": "q"})
    late, early = map(json.loads, stream.getvalue().splitlines())
    assert {name: late[name] for name in about} == about
    assert early["run_id"] == "q"
    assert not {"kind", "position"} & early.keys()
