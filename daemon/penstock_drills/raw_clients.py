"""Many WebSocket clients in a process of their own, which read all they are sent: `raw_clients.py ORDERS`.

A client library would cost more than the daemon that is measured, so these read bytes. What one of
them has been told and found dense need not be taken apart again for the others: at the same position,
the same bytes say the same. Standard library only.

Each line on stdin is a position; once every client has been told up to it, a line of JSON answers.
"""

from __future__ import annotations

import json
import os
import re
import selectors
import socket
import sys
from dataclasses import dataclass, field
from typing import NamedTuple

#: Bytes of one read, below what the allocator would map anew each time.
RECEIVE_BYTES = 64 * 1024
#: Positions from which the next frame is remembered; healthy clients are close together.
MOST_KNOWN = 256
#: Seconds for the daemon to let a client in.
OPEN_SECONDS = 30.0

_POSITION = re.compile(rb'"position":(\d+),"run_id"')
_EVENTS = b'{"type":"events"'
_TEXT = 0x81


class KnownBatch(NamedTuple):
    """A whole frame that was found dense, its last position, and its facts."""

    frame: bytes
    last: int
    facts: int


@dataclass(eq=False, slots=True)
class Ear:
    """One client: what it was told up to, and what it has read of the next frame."""

    cursor: int = 0
    facts: int = 0
    rest: bytes = b""
    broken: list[str] = field(default_factory=list)


def split_frame(data: bytes, at: int) -> tuple[int, int] | None:
    """Where the payload of the frame that begins at `at` begins and ends; None before it is whole."""
    if len(data) < at + 2:
        return None
    size, begin = data[at + 1], at + 2
    if size >= 126:
        begin += 2 if size == 126 else 8
        size = int.from_bytes(data[at + 2 : begin], "big")
    return (begin, begin + size) if len(data) >= begin + size else None


class Ears:
    """Takes bytes for each client, and sees what is missing."""

    def __init__(self) -> None:
        self._known: dict[int, KnownBatch] = {}

    def take(self, ear: Ear, data: bytes) -> None:
        """What a client has read: any number of frames, the last one perhaps not whole."""
        data, at = ear.rest + data, 0
        while True:
            known = self._known.get(ear.cursor)
            if known is not None and data.startswith(known.frame, at):
                at += len(known.frame)
                ear.cursor, ear.facts = known.last, ear.facts + known.facts
            elif (span := split_frame(data, at)) is not None:
                self._read(ear, data[at : span[1]], data[slice(*span)])
                at = span[1]
            else:
                break
        ear.rest = data[at:]

    def _read(self, ear: Ear, frame: bytes, payload: bytes) -> None:
        if frame[0] != _TEXT:
            ear.broken.append(f"at {ear.cursor} came a frame {frame[:1].hex()}")
        if not payload.startswith(_EVENTS):
            if b'"gap"' in payload[:32]:
                ear.broken.append(f"at {ear.cursor} a gap was told: {payload.decode()}")
            return
        positions = [int(number) for number in _POSITION.findall(payload)]
        first, last = ear.cursor + 1, ear.cursor + len(positions)
        if positions == list(range(first, last + 1)):
            if len(self._known) >= MOST_KNOWN:
                self._known.clear()
            self._known[ear.cursor] = KnownBatch(frame, last, len(positions))
        else:
            ear.broken.append(f"after {ear.cursor} came {positions[0]}…{positions[-1]}")
        ear.cursor, ear.facts = positions[-1], ear.facts + len(positions)


def open_socket(path: str, request: str) -> tuple[socket.socket, bytes]:
    """A WebSocket on the daemon's Unix socket, and what came after its handshake."""
    client = socket.socket(socket.AF_UNIX)
    client.settimeout(OPEN_SECONDS)
    client.connect(path)
    client.sendall(request.encode())
    head, rest = b"", b""
    while not rest and b"\r\n\r\n" not in head:
        data = client.recv(RECEIVE_BYTES)
        if not data:
            raise SystemExit(f"a client was not let in: {head!r}")
        head += data
    head, _, rest = head.partition(b"\r\n\r\n")
    if b" 101 " not in head.split(b"\r\n")[0]:
        raise SystemExit(f"a client was not let in: {head!r}")
    client.setblocking(False)
    return client, rest


class RawCrowd:
    """The clients, and the drill that asks what they were told."""

    def __init__(self, path: str, request: str, clients: int) -> None:
        self.selector = selectors.DefaultSelector()
        self.ears: list[Ear] = []
        self.reader = Ears()
        for _ in range(clients):
            client, rest = open_socket(path, request)
            ear = Ear()
            self.ears.append(ear)
            self.selector.register(client, selectors.EVENT_READ, ear)
            self.reader.take(ear, rest)
        os.set_blocking(0, False)
        self.selector.register(0, selectors.EVENT_READ)
        self.asked: int | None = None

    def run(self) -> None:
        """Read until the drill has gone."""
        self.say()
        while True:
            for key, _ in self.selector.select():
                if key.fileobj == 0:
                    asked = os.read(0, 4096)
                    if not asked:
                        return
                    self.asked = int(asked)
                else:
                    assert isinstance(key.fileobj, socket.socket)
                    self._hear(key.fileobj, key.data)
            if self.asked is not None and self._told(self.asked):
                self.asked = None
                self.say()

    def _hear(self, client: socket.socket, ear: Ear) -> None:
        data = client.recv(RECEIVE_BYTES)
        if data:
            self.reader.take(ear, data)
        else:
            ear.broken.append(f"at {ear.cursor} the daemon closed")
            self.selector.unregister(client)
            client.close()

    def _told(self, position: int) -> bool:
        return all(ear.cursor >= position for ear in self.ears)

    def say(self) -> None:
        """How much was told to all of them together, and what was wrong with it."""
        broken = [word for ear in self.ears for word in ear.broken]
        facts = sum(ear.facts for ear in self.ears)
        print(json.dumps({"facts": facts, "broken": broken}), flush=True)  # noqa: T201


if __name__ == "__main__":
    RawCrowd(**json.loads(sys.argv[1])).run()
