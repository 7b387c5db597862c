"""Law 8: who logs never waits for who reads the log. Real pipes, real threads."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from penstock.service.log_writer import DescriptorHandler, LogWriter

#: Seconds for anything here; a loaded box may take its time.
PATIENCE = 60.0


class StuckReader(logging.Handler):
    """Takes no record until it is let go."""

    def __init__(self) -> None:
        super().__init__()
        self.begun, self.go_on = threading.Event(), threading.Event()
        self.taken: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.begun.set()
        assert self.go_on.wait(PATIENCE)
        self.taken.append(record.getMessage())


class DeadReader(logging.Handler):
    """Is gone."""

    def emit(self, record: logging.LogRecord) -> None:
        raise BrokenPipeError


@contextmanager
def logger_to(writer: LogWriter) -> Iterator[logging.Logger]:
    """A logger of its own; the writer has written all when this is left."""
    logger = logging.Logger("test")
    logger.addHandler(writer)
    writer.start()
    try:
        yield logger
    finally:
        writer.flush_within(PATIENCE)


def test_what_is_too_much_for_a_stuck_reader_is_counted_and_told() -> None:
    """Law 8 QA-09: the newest are lost; the count is told once, when the lines flow again."""
    reader = StuckReader()
    writer = LogWriter(reader, capacity=3)
    with logger_to(writer) as logger:
        logger.info("first")
        assert reader.begun.wait(PATIENCE)
        for number in range(10):
            logger.info("line %d", number)
        assert writer.lost == 7
        assert writer.complaint() == "nobody takes the lines of the log (7 are lost)"
        reader.go_on.set()
    assert reader.taken == [
        "first", "line 0", "line 1", "line 2",
        "7 lines of the log were lost: nobody took them",
    ]  # fmt: skip
    assert writer.complaint() is None
    assert writer.lost == 7, "the counter only counts up"


def test_a_dead_reader_ends_nothing() -> None:
    """Law 8: the loss is counted, each line once."""
    writer = LogWriter(DeadReader(), capacity=100)
    with logger_to(writer) as logger:
        for _ in range(5):
            logger.info("into the void")
    assert writer.lost == 5
    assert writer.complaint() is not None


def test_a_line_is_what_it_was_when_it_was_said() -> None:
    reader = StuckReader()
    with logger_to(LogWriter(reader, capacity=9)) as logger:
        names = ["a"]
        logger.info("names: %s", names)
        names.append("b")
        reader.go_on.set()
    assert reader.taken == ["names: ['a']"]


def test_the_end_waits_for_a_stuck_reader_no_longer_than_it_may() -> None:
    """SY-04: full or not."""
    for count in (1, 9):
        reader = StuckReader()
        writer = LogWriter(reader, capacity=3)
        logger = logging.Logger("test")
        logger.addHandler(writer)
        writer.start()
        for _ in range(count):
            logger.info("line")
        assert reader.begun.wait(PATIENCE)
        writer.flush_within(0.01)
        assert reader.taken == []
        reader.go_on.set()


@pytest.mark.parametrize("blocking", [True, False])
def test_a_long_line_is_written_whole_through_a_narrow_pipe(blocking: bool) -> None:
    """A terminal that another program made non-blocking takes a part at a time."""
    reading, writing = os.pipe()
    os.set_blocking(writing, blocking)
    line = "x" * 300_000
    read = bytearray()

    def read_all() -> None:
        while data := os.read(reading, 1 << 16):
            read.extend(data)

    thread = threading.Thread(target=read_all)
    thread.start()
    with logger_to(LogWriter(DescriptorHandler(writing), capacity=9)) as logger:
        logger.info(line)
    os.close(writing)
    thread.join(PATIENCE)
    os.close(reading)
    assert read == line.encode() + b"\n"
