"""CL-01: another program that shares our streams may have made them non-blocking; we wait all the same."""

from __future__ import annotations

import fcntl
import os
import select
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from typing import IO

import pytest

from penstock.descriptors import PatientFile, read_some, write_all

pytestmark = pytest.mark.processes

PATIENCE = 60
#: The smallest that a pipe can be.
SMALL = 4096
PENSTOCK = (sys.executable, "-m", "penstock.cli.main")


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    """A small pipe, both of whose ends never block."""
    reading, writing = os.pipe()
    fcntl.fcntl(writing, fcntl.F_SETPIPE_SZ, SMALL)
    os.set_blocking(reading, False)
    os.set_blocking(writing, False)
    yield reading, writing
    for descriptor in (reading, writing):
        with suppress(OSError):
            os.close(descriptor)


def read_slowly(pipe: tuple[int, int], process: subprocess.Popen[bytes]) -> bytes:
    """All that is written, and nothing of it before the pipe is full or its writer has ended."""
    reading, writing = pipe
    room = select.poll()
    room.register(writing, select.POLLOUT)
    pieces = []
    while True:
        if process.poll() is None and room.poll(0):
            time.sleep(0.001)
            continue
        with suppress(BlockingIOError):
            pieces.append(os.read(reading, SMALL))
            continue
        return b"".join(pieces)


@pytest.mark.parametrize("stream", ["stdout", "stderr"])
def test_what_does_not_fit_into_a_pipe_waits(
    pipe: tuple[int, int], stream: str
) -> None:
    """Fault of a shared terminal: `doctor` died of EAGAIN in the middle of its lines."""
    _reading, writing = pipe
    said = subprocess.run(
        [*PENSTOCK, "config", "--json"], capture_output=True, check=True
    ).stdout
    assert len(said) > 4 * SMALL
    where: dict[str, int | IO[bytes]] = {
        "stdout": writing,
        "stderr": subprocess.DEVNULL,
    }
    code = "from penstock.cli.main import main; main()"
    argv = [sys.executable, "-c", code, "config", "--json"]
    if stream == "stderr":
        where = {"stdout": subprocess.DEVNULL, "stderr": writing}
        code = f"import sys; from penstock.unforeseen import open_streams; open_streams(); sys.stderr.write('x' * {len(said)})"
        argv = [sys.executable, "-c", code]
    with subprocess.Popen(argv, **where) as process:  # type: ignore[call-overload]
        heard = read_slowly(pipe, process)
        assert process.wait(PATIENCE) == 0
    assert len(heard) == len(said)


def test_nothing_yet_is_no_end_of_what_is_read(pipe: tuple[int, int]) -> None:
    reading, writing = pipe
    with pytest.raises(BlockingIOError):
        os.read(reading, 1)
    reads = threading.Event()

    def write() -> None:
        reads.wait(PATIENCE)
        write_all(writing, b"x" * (3 * SMALL))
        os.close(writing)

    writer = threading.Thread(target=write)
    writer.start()
    reads.set()
    first = read_some(reading, 10)
    rest = PatientFile(reading, closefd=False).readall()
    writer.join()
    assert first + rest == b"x" * (3 * SMALL)
