"""One run's events to 100 WebSocket clients, from the commit on, beside `websockets`' broadcast (PF-04).

    python -m bench.broadcast ours|theirs      a server for one round, on a free port

Both servers stand in a process of their own and so do the clients. Both send the same bytes, 16
events to a frame at most: ours through the bus, a subscription and the session of each client,
theirs by one call of `broadcast`. First single events at a steady pace, for the time until the last
client has each; then a burst.
"""

from __future__ import annotations

import asyncio
import json
import os
import selectors
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from statistics import median

import trio
from bench._shared import ROOT, Row, in_turns, scratch, share

from penstock.runs.core import Core
from penstock.service.daemon import open_daemon
from penstock.words.config import Config
from penstock.words.recorded import Recorded
from penstock.words.values import new_event_id, utc_now

CLIENTS = 100
FRAME = 16
PACED, PACE = 40, 0.05
BURST = 2000
TEXT = "a line of output as a compiler prints it, neither short nor long " * 2
#: What each event ends with, whatever frame it is in.
MARK = b'"stream":"pipeline"}}'
_HANDSHAKE = (
    "GET {} HTTP/1.1\r\nHost: 127.0.0.1:{}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)


def fact(position: int, number: int) -> Recorded:
    """An event that is new now."""
    body = json.dumps(
        {"type": "log", "text": TEXT, "stream": "pipeline"}, separators=(",", ":")
    )
    return Recorded(
        position, "bench", number, new_event_id(), utc_now(),
        {"bench/0123456789abcdef": position}, None, 0, "log", body.encode(),
    )  # fmt: skip


def say(**figures: object) -> None:
    """Tell the clients' process something."""
    print(json.dumps(figures), flush=True)


# -- the servers


async def serve_ours() -> None:
    """The daemon's own servers; the events are given to the bus as the recorder gives them."""
    with scratch() as folder:
        config = Config(state_dir=folder, port=0, auth=False, frame_events=FRAME)
        async with open_daemon(config, os.environ) as daemon:
            say(port=int(daemon.base.rsplit(":", 1)[1]), path="/ws")
            await trio.to_thread.run_sync(sys.stdin.readline)
            await publish(daemon.core)
            await trio.to_thread.run_sync(sys.stdin.readline)


async def publish(core: Core) -> None:
    """The paced events, then the burst."""
    bus = core.bus
    for number in range(PACED):
        say(at=time.monotonic())
        bus.publish([fact(bus.head + 1, number)])
        await trio.sleep(PACE)
    say(at=time.monotonic())
    for number in range(0, BURST, FRAME):
        head = bus.head + 1
        bus.publish([fact(head + i, number + i) for i in range(FRAME)])
        await trio.lowlevel.checkpoint()


async def serve_theirs() -> None:
    """Everybody who connects gets everything."""
    from websockets.asyncio.server import ServerConnection, broadcast, serve

    connections: set[ServerConnection] = set()

    async def handle(connection: ServerConnection) -> None:
        connections.add(connection)
        await connection.wait_closed()

    def send(facts: list[Recorded]) -> None:
        events = b",".join(one.wire() for one in facts)
        broadcast(connections, (b'{"type":"events","events":[%b]}' % events).decode())

    async with serve(
        handle, "127.0.0.1", 0, compression=None, ping_interval=None, backlog=1024
    ) as server:
        say(port=next(iter(server.sockets)).getsockname()[1], path="/")
        await asyncio.to_thread(sys.stdin.readline)
        for number in range(PACED):
            say(at=time.monotonic())
            send([fact(number + 1, number)])
            await asyncio.sleep(PACE)
        say(at=time.monotonic())
        for number in range(0, BURST, FRAME):
            send([fact(PACED + number + i, number + i) for i in range(FRAME)])
            await asyncio.sleep(0)
        await asyncio.to_thread(sys.stdin.readline)


# -- the clients


def connect(port: int, path: str) -> socket.socket:
    """A socket after its handshake; nothing behind the handshake was read."""
    client = socket.create_connection(("127.0.0.1", port))
    client.sendall(_HANDSHAKE.format(path, port).encode())
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        head += client.recv(1)
    assert b" 101 " in head.split(b"\r\n")[0], head
    return client


class Clients:
    """A hundred sockets that count events; `seen[n]` is when the last client had event n."""

    def __init__(self, port: int, path: str) -> None:
        self.selector = selectors.DefaultSelector()
        self.counts: dict[socket.socket, int] = {}
        self.rests: dict[socket.socket, bytes] = {}
        self.arrivals: list[int] = [0] * (PACED + BURST)
        self.seen: list[float] = [0.0] * (PACED + BURST)
        for _ in range(CLIENTS):
            client = connect(port, path)
            client.setblocking(False)
            self.counts[client], self.rests[client] = 0, b""
            self.selector.register(client, selectors.EVENT_READ)

    def read(self, seconds: float, until: int | None = None) -> None:
        """Read for so long, or until everybody has `until` events."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if until is not None and self.arrivals[until - 1] == CLIENTS:
                return
            for key, _ in self.selector.select(0.05):
                self._take(key.fileobj)  # type: ignore[arg-type]
        assert until is None, "not every client has every event"

    def _take(self, client: socket.socket) -> None:
        try:
            data = self.rests[client] + client.recv(262144)
        except BlockingIOError:
            return
        now, first = time.monotonic(), self.counts[client]
        count = data.count(MARK)
        for number in range(first, first + count):
            self.arrivals[number] += 1
            self.seen[number] = now
        self.counts[client] += count
        # A mark may be cut in two by the border of what was read.
        self.rests[client] = data[data.rfind(MARK) + len(MARK) :][-len(MARK) + 1 :]


def round_of(which: str) -> tuple[float, float, float]:
    """Events delivered per second in the burst; p50 and p99 of the last client's ms when paced."""
    command = [sys.executable, "-m", "bench.broadcast", which]
    pipe = subprocess.PIPE
    with subprocess.Popen(
        command, cwd=ROOT, stdin=pipe, stdout=pipe, text=True
    ) as server:
        assert server.stdin is not None
        assert server.stdout is not None
        told = json.loads(server.stdout.readline())
        clients = Clients(told["port"], told["path"])
        clients.read(1.0)
        server.stdin.write("go\n")
        server.stdin.flush()
        clients.read(60.0, until=PACED + BURST)
        sent = [json.loads(server.stdout.readline())["at"] for _ in range(PACED + 1)]
        server.stdin.close()
        for client in clients.counts:
            client.close()
    delays = [(seen - at) * 1000 for seen, at in zip(clients.seen, sent, strict=False)][
        :PACED
    ]
    seconds = max(clients.seen) - sent[PACED]
    return BURST * CLIENTS / seconds, median(delays), share(delays, 0.99)


def rows(long: bool) -> Iterator[Row]:
    """Throughput and the last client's delay, beside `websockets`."""
    ours, theirs = in_turns(
        9 if long else 5, lambda: round_of("ours"), lambda: round_of("theirs")
    )
    name = f"broadcast to {CLIENTS} clients"
    yield Row(
        f"{name} / websockets",
        "events/s",
        "ratio >= 0.5",
        [r[0] for r in ours],
        [r[0] for r in theirs],
    )
    yield Row(
        f"{name}, last client p50",
        "ms",
        "ratio <= 2",
        [r[1] for r in ours],
        [r[1] for r in theirs],
    )
    yield Row(f"{name}, last client p99", "ms", "ours < 100", [r[2] for r in ours])


if __name__ == "__main__":
    if sys.argv[1] == "ours":
        trio.run(serve_ours)
    else:
        asyncio.run(serve_theirs())
