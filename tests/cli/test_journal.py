"""Records reach the journal whole, and never stop who logs."""

from __future__ import annotations

import io
import logging
import socket
import struct
from collections.abc import Iterator
from pathlib import Path

import pytest

from penstock.cli.daemon_log import JournalHandler


@pytest.fixture
def logger() -> Iterator[logging.Logger]:
    logger = logging.Logger("penstock.test")
    yield logger
    for handler in logger.handlers:
        handler.close()


def read_record(data: bytes) -> dict[str, str]:
    """The fields of a datagram, as journald reads them."""
    fields = {}
    while data:
        name, sep, rest = data.partition(b"\n")
        if b"=" in name:
            key, _, value = name.partition(b"=")
            data = rest
        else:
            (size,) = struct.unpack("<Q", rest[:8])
            key, value, data = name, rest[8 : 8 + size], rest[8 + size + 1 :]
        assert sep
        fields[key.decode()] = value.decode()
    return fields


def test_a_record_keeps_its_lines_its_level_and_its_fields(
    logger: logging.Logger, home: Path
) -> None:
    path = str(home / "journal")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as journal:
        journal.bind(path)
        logger.addHandler(JournalHandler(logging.NullHandler(), path))
        logger.error("one\ntwo", extra={"run_id": "r-1", "position": 7})
        found = read_record(journal.recv(65536))
    assert found["MESSAGE"] == "one\ntwo"
    assert found["PRIORITY"] == "3"
    assert found["SYSLOG_IDENTIFIER"] == "penstock"
    assert found["PENSTOCK_LOGGER"] == "penstock.test"
    assert found["PENSTOCK_RUN_ID"] == "r-1"
    assert found["PENSTOCK_POSITION"] == "7"
    assert found["CODE_FUNC"].startswith("test_a_record")


@pytest.mark.parametrize("fault", ["gone", "full", "large"])
def test_what_the_journal_does_not_take_goes_to_stderr(
    logger: logging.Logger, home: Path, fault: str
) -> None:
    path, stderr = str(home / "journal"), io.StringIO()
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as journal:
        if fault != "gone":
            journal.bind(path)
        logger.addHandler(JournalHandler(logging.StreamHandler(stderr), path))
        if fault == "full":
            for _ in range(5000):
                logger.warning("x" * 1000)
        logger.warning("important%s", "!" * (10**7 if fault == "large" else 1))
    assert "important!" in stderr.getvalue()
