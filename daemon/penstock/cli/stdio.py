"""The pipe to an agent that started this process: messages in on stdin, out on stdout.

Nothing else may reach stdout, so file descriptor 1 leads to stderr while the pipe is open.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

import trio

from penstock.descriptors import read_some, write_all

#: Bytes; a message beyond it is no message: what it holds must fit a request's body.
LONGEST_MESSAGE = 16 * 1024 * 1024
#: Bytes of one read: what a pipe holds.
_CHUNK = 64 * 1024


@contextmanager
def open_pipe() -> Iterator[Pipe]:
    """The pipe; stdout is given back at the end."""
    out = os.dup(1)
    try:
        os.dup2(2, 1)
        yield Pipe(0, out)
    finally:
        os.dup2(out, 1)
        os.close(out)


class Pipe:
    """Lines in, lines out. Reading and writing happen in threads, since pipes may block."""

    def __init__(self, source: int, sink: int) -> None:
        self._source, self._sink = source, sink
        self._rest = bytearray()
        self._writing = trio.Lock()

    def __aiter__(self) -> Pipe:
        return self

    async def __anext__(self) -> bytes:
        while True:
            line, newline, rest = self._rest.partition(b"\n")
            if newline:
                self._rest = rest
                return bytes(line)
            # Left behind when this is cancelled: only the agent can make it return.
            data = await trio.to_thread.run_sync(
                read_some, self._source, _CHUNK, abandon_on_cancel=True
            )
            if not data or len(self._rest) > LONGEST_MESSAGE:
                raise StopAsyncIteration
            self._rest += data

    async def send(self, line: bytes) -> None:
        """Write one line whole. BrokenPipeError when the agent has gone."""
        async with self._writing:
            await trio.to_thread.run_sync(
                write_all, self._sink, line, abandon_on_cancel=True
            )
