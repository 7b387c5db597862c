"""The log as journald's own records: whole, with their level and their fields.

A line on stderr is one record to journald, so that a traceback falls apart; a datagram is not.
"""

from __future__ import annotations

import logging
import os
import socket
import struct
import sys
from collections.abc import Mapping

JOURNAL = "/run/systemd/journal/socket"


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
    if run_id := getattr(record, "run_id", None):
        fields["PENSTOCK_RUN_ID"] = str(run_id)
    return b"".join(map(_field, fields, fields.values()))


def priority_of(level: int) -> int:
    """syslog's number of a level: 2 critical, 3 error, 4 warning, 6 info, 7 debug."""
    steps = ((50, 2), (40, 3), (30, 4), (20, 6))
    return next((number for least, number in steps if level >= least), 7)


def _field(name: str, value: str) -> bytes:
    data = value.encode(errors="replace")
    if b"\n" not in data:
        return b"%s=%s\n" % (name.encode(), data)
    return b"%s\n%s%s\n" % (name.encode(), struct.pack("<Q", len(data)), data)
