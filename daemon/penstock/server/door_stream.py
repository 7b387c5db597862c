"""A connection as the servers behind the door see it: rewound to its start, and never stuck."""

from __future__ import annotations

import errno
import os
import socket
import struct
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from typing import NamedTuple

import trio

from penstock.server.http_answer import problem_answer, raw_response
from penstock.words.errors import PenstockError

_PEER_CREDENTIALS = struct.Struct("3i")
#: Seconds of silence after which the kernel asks whether the peer is still there, seconds between
#: two such questions, and how many go unanswered: a peer that lost power is noticed in two minutes.
_KEEPALIVE = (
    (socket.TCP_KEEPIDLE, 60),
    (socket.TCP_KEEPINTVL, 15),
    (socket.TCP_KEEPCNT, 4),
)

# Bytes read from a peer that was turned away, so that it can read why; and seconds at most.
_MOST_UNREAD = 4 * 1024 * 1024
_LONGEST_LINGER = 2.0


def _broken(error: OSError) -> trio.BrokenResourceError | trio.ClosedResourceError:
    """What a stream says when a send has failed."""
    if error.errno == errno.EBADF:
        return trio.ClosedResourceError("the connection was cut")
    return trio.BrokenResourceError(str(error))


class Peer(NamedTuple):
    """The process that has connected, and its user; a pid of 0 is of a namespace that is not ours."""

    pid: int
    uid: int


class DoorStream(trio.abc.HalfCloseableStream):
    """A socket stream that gives back what was read of it, and never gets stuck.

    A peer that takes no byte for `stall_seconds` breaks the connection: Hypercorn shields its
    sends, so without this a stalled client would hold a stop for ever.

    Any task may send at any time: bytes go out in the order of the calls. What the kernel does not
    take at once lies in a queue, where whoever sends next queues up behind it, so nothing falls
    into the middle of a frame, even if its sender is cancelled.
    """

    def __init__(self, stream: trio.SocketStream, *, stall_seconds: float) -> None:
        self._stream = stream
        self._stall_seconds = stall_seconds
        self._is_patient = False
        self._given_back = bytearray()
        self._unsent: deque[memoryview] = deque()
        self._draining = trio.StrictFIFOLock()

    @property
    def socket(self) -> trio.socket.SocketType:
        """The socket, for its addresses; the servers ask for it by this name."""
        return self._stream.socket

    @cached_property
    def local(self) -> tuple[str, int] | None:
        """Our end's address and port; None on a Unix socket. Asked once: it outlives a cut."""
        if self.socket.family not in (socket.AF_INET, socket.AF_INET6):
            return None
        address, port = self.socket.getsockname()[:2]
        return address, port

    @contextmanager
    def patient(self) -> Iterator[None]:
        """While this is open a peer may take as long as it likes, so long as it is there.

        Only for what waits in no other way for it, and is cut off by a stop.
        """
        self._is_patient = True
        try:
            yield
        finally:
            self._is_patient = False

    def give_back(self, data: bytes) -> None:
        """Put bytes in front of what is received next."""
        self._given_back[:0] = data

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        if not self._given_back:
            return bytes(await self._stream.receive_some(max_bytes))
        await trio.lowlevel.checkpoint()
        size = len(self._given_back) if max_bytes is None else max_bytes
        data = bytes(self._given_back[:size])
        del self._given_back[:size]
        return data

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        """Send everything. BrokenResourceError if the peer is gone or takes nothing for too long."""
        await trio.lowlevel.checkpoint_if_cancelled()
        if self.send_nowait(data):
            await trio.lowlevel.cancel_shielded_checkpoint()
        else:
            await self.drain()

    def send_nowait(self, data: bytes | bytearray | memoryview) -> bool:
        """Send what the kernel takes now, mostly all; if False, await `drain` before the next call.

        A scope with a deadline costs more than a send, and so does a wait that is none. The rest is
        kept as it is: `data` must not change until it is sent. Raises what `send_all` raises.
        """
        sent = 0
        if not self._unsent:
            try:
                sent = os.write(self.socket.fileno(), data)
            except BlockingIOError:
                pass
            except OSError as error:
                raise _broken(error) from None
            if sent == len(data):
                return True
        self._unsent.append(memoryview(data)[sent:])
        return False

    async def drain(self) -> None:
        """Send what is unsent. BrokenResourceError if the peer is gone or takes nothing for long."""
        async with self._draining:
            while self._unsent:
                with trio.CancelScope() as patience:
                    if not self._is_patient:
                        patience.deadline = trio.current_time() + self._stall_seconds
                    await self._send_some()
                if patience.cancelled_caught:
                    self.cut()
                    raise trio.BrokenResourceError("the peer takes nothing")

    async def _send_some(self) -> None:
        rest = self._unsent[0]
        try:
            sent = await self.socket.send(rest)
        except trio.ClosedResourceError:
            raise
        except OSError as error:
            raise _broken(error) from error
        if sent < len(rest):
            self._unsent[0] = rest[sent:]
        else:
            self._unsent.popleft()

    async def wait_send_all_might_not_block(self) -> None:
        await self._stream.wait_send_all_might_not_block()

    async def send_eof(self) -> None:
        await self._stream.send_eof()

    async def aclose(self) -> None:
        await self._stream.aclose()

    def cut(self) -> None:
        """Close at once; whoever reads or writes is told by ClosedResourceError."""
        self.socket.close()

    async def turn_away(self, error: PenstockError) -> None:
        """Answer with the error, as the last there is to say; a peer that is gone is no error."""
        try:
            await self.send_all(raw_response(problem_answer(error)))
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            return
        await self.linger()

    async def linger(self) -> None:
        """Send no more, and read what still comes, up to a limit, so that what was sent arrives.

        A connection that is closed with bytes unread takes its last answer along.
        """
        read = 0
        with trio.move_on_after(_LONGEST_LINGER):
            try:
                await self.send_eof()
                while read < _MOST_UNREAD and (
                    data := await self.receive_some(_MOST_UNREAD)
                ):
                    read += len(data)
            except (trio.BrokenResourceError, trio.ClosedResourceError):
                return

    def keep_alive(self) -> None:
        """Have the kernel notice a peer that vanished without a word."""
        if self.local is None:
            return
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for option, value in _KEEPALIVE:
            self.socket.setsockopt(socket.IPPROTO_TCP, option, value)

    def peer(self) -> Peer | None:
        """Who is at the other end of a Unix socket; None on TCP."""
        if self.local is not None:
            return None
        size = _PEER_CREDENTIALS.size
        raw = self.socket.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, size)
        pid, uid, _gid = _PEER_CREDENTIALS.unpack(raw)
        return Peer(pid, uid)
