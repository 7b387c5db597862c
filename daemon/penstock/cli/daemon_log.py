"""The daemon's own log: lines on stderr for a person or a program, or records of journald.

A line on stderr is one record to journald, so that a traceback falls apart; a datagram is not.
"""

from __future__ import annotations

import json
import logging
import os
import socket
import struct
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, TextIO

from penstock.log.redaction import make_text_redaction
from penstock.service.log_writer import DescriptorHandler, LogWriter
from penstock.service.signals import LAST_WORDS_SECONDS
from penstock.words.text import escape_json, neutralise

if TYPE_CHECKING:
    from penstock.words.config import Config

#: What a record may know of what it is about, as `extra`: fields of their own where there are any.
ABOUT = ("run_id", "kind", "position")

JOURNAL = "/run/systemd/journal/socket"


#: Seconds between two lines of a library that says the same again and again.
OCCASION_SECONDS = 60.0


class Occasional(logging.Filter):
    """Lets one record through every so many seconds, without its traceback."""

    def __init__(self, seconds: float) -> None:
        super().__init__()
        self._seconds = seconds
        self._next = 0.0

    def filter(self, record: logging.LogRecord) -> bool:
        """See logging."""
        if (now := time.monotonic()) < self._next:
            return False
        self._next = now + self._seconds
        record.exc_info = record.exc_text = None
        return True


def stderr_is_journal(environ: Mapping[str, str]) -> bool:
    """Whether our stderr goes to the journal.

    The variable alone says nothing: a terminal that was started as a service hands it on.
    """
    try:
        found = os.fstat(sys.stderr.fileno())
    except (OSError, ValueError):
        return False
    return environ.get("JOURNAL_STREAM") == f"{found.st_dev}:{found.st_ino}"


class JournalHandler(logging.Handler):
    """Sends records to journald; what it does not take goes to `otherwise`."""

    def __init__(self, otherwise: logging.Handler, path: str = JOURNAL) -> None:
        super().__init__()
        self.otherwise = otherwise
        self.path = path
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        # The loop logs, and must not wait for a journal that is busy.
        self.sock.setblocking(False)

    def emit(self, record: logging.LogRecord) -> None:
        """Send one record. Nothing that goes wrong here may reach who logged."""
        try:
            self.sock.sendto(encode_record(record, self.format(record)), self.path)
        except OSError:
            # No journal any more, a full one, or a record that is too large for a datagram.
            self.otherwise.handle(record)

    def close(self) -> None:
        self.sock.close()
        super().close()


def encode_record(record: logging.LogRecord, message: str) -> bytes:
    """The record in journald's native protocol."""
    fields = {
        "MESSAGE": message,
        "PRIORITY": str(priority_of(record.levelno)),
        "SYSLOG_IDENTIFIER": "penstock",
        "PENSTOCK_LOGGER": record.name,
        "CODE_FILE": record.pathname,
        "CODE_LINE": str(record.lineno),
        "CODE_FUNC": record.funcName or "",
    }
    for name, value in _about(record).items():
        fields[f"PENSTOCK_{name.upper()}"] = str(value)
    return b"".join(map(_field, fields, fields.values()))


def _about(record: logging.LogRecord) -> dict[str, str | int]:
    """What the record is about, as far as it knows."""
    known = ((name, getattr(record, name, None)) for name in ABOUT)
    return {name: value for name, value in known if value is not None}


def priority_of(level: int) -> int:
    """syslog's number of a level: 2 critical, 3 error, 4 warning, 6 info, 7 debug."""
    steps = ((50, 2), (40, 3), (30, 4), (20, 6))
    return next((number for least, number in steps if level >= least), 7)


def _field(name: str, value: str) -> bytes:
    data = value.encode(errors="replace")
    if b"\n" not in data:
        return b"%s=%s\n" % (name.encode(), data)
    return b"%s\n%s%s\n" % (name.encode(), struct.pack("<Q", len(data)), data)


class RedactingFormatter(logging.Formatter):
    """A form of records. What `redact` takes out is in none: the log quotes hooks and programs."""

    def __init__(self, redact: Callable[[str], str]) -> None:
        super().__init__()
        self._redact = redact

    def _message(self, record: logging.LogRecord) -> str:
        """What it says, with the traceback."""
        text = record.getMessage()
        if record.exc_info:
            text += "\n" + self.formatException(record.exc_info)
        return self._redact(text)


class PlainFormatter(RedactingFormatter):
    """Time, level and message; one record is one line, whatever it says."""

    def format(self, record: logging.LogRecord) -> str:
        moment = datetime.fromtimestamp(record.created).astimezone()
        text = (
            f"{moment:%Y-%m-%d %H:%M:%S} {record.levelname.lower()}"
            f" {self._message(record)}"
        )
        return _one_line(text)


class JournalFormatter(RedactingFormatter):
    """`<6>message`: journald knows the time and reads the level."""

    def format(self, record: logging.LogRecord) -> str:
        return f"<{priority_of(record.levelno)}>{_one_line(self._message(record))}"


class MessageFormatter(RedactingFormatter):
    """The message alone: the journal's own records keep the rest as fields."""

    def format(self, record: logging.LogRecord) -> str:
        return neutralise(self._message(record))


class JsonFormatter(RedactingFormatter):
    """One JSON object per line, times in UTC."""

    def format(self, record: logging.LogRecord) -> str:
        at = (
            datetime.fromtimestamp(record.created, UTC)
            .isoformat()
            .replace("+00:00", "Z")
        )
        line = {
            "at": at,
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": self._message(record),
            **_about(record),
        }
        return escape_json(json.dumps(line, ensure_ascii=False))


def set_up_logging(
    config: Config, environ: Mapping[str, str], stream: TextIO | None = None
) -> None:
    """Send the log to stderr (or `stream`) in the form that suits its reader."""
    plain = logging.StreamHandler(stream or sys.stderr)
    _install(config, _formatted(config, environ, plain))


@contextmanager
def open_log_writer(config: Config, environ: Mapping[str, str]) -> Iterator[LogWriter]:
    """Send the log to stderr by a thread, so that no reader of it holds who logs.

    What was said last is written before this is left, if it is taken in time.
    """
    plain = DescriptorHandler(sys.stderr.fileno())
    writer = LogWriter(_formatted(config, environ, plain), config.log_lines)
    _install(config, writer)
    writer.start()
    try:
        yield writer
    finally:
        writer.flush_within(LAST_WORDS_SECONDS)


def _formatted(
    config: Config, environ: Mapping[str, str], handler: logging.Handler
) -> logging.Handler:
    """The handler, or one for the journal in its place, with the form that suits its reader."""
    redact = make_text_redaction(config.redact)
    journal = config.log_format == "text" and stderr_is_journal(environ)
    handler.setFormatter(_formatter(config, redact, journal=journal))
    if journal and os.path.exists(JOURNAL):
        handler = JournalHandler(handler)
        handler.setFormatter(MessageFormatter(redact))
    return handler


def _install(config: Config, handler: logging.Handler) -> None:
    logging.basicConfig(level=config.log_level.upper(), handlers=[handler], force=True)
    # What libraries say about each connection is noise below a warning, and may quote headers.
    for name in (
        "httpx",
        "httpcore",
        "hypercorn",
        "quart",
        "trio-websocket",
        "wsproto",
        "mcp",
    ):
        logging.getLogger(name).setLevel(logging.WARNING)
    # Without a free descriptor no connection is accepted, which Trio tells ten times a second.
    logging.getLogger("trio.serve_listeners").filters = [Occasional(OCCASION_SECONDS)]


def _formatter(
    config: Config, redact: Callable[[str], str], *, journal: bool
) -> logging.Formatter:
    if config.log_format == "json":
        return JsonFormatter(redact)
    return JournalFormatter(redact) if journal else PlainFormatter(redact)


def _one_line(text: str) -> str:
    return neutralise(text).replace("\n", "\n  ")
