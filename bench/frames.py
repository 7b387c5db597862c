"""From the commit of an event to its frame at each of 10 WebSocket clients, at 1,000 events/s (QA-03).

    python -m bench.frames      a server for one round, on a free port

The events are real: a run emits them through the recorder, and each commit is written to the disk
with FULL. The time begins when the loop has the commit and hands its events to the bus, which is
before anybody can know of them, the run that waits for its acknowledgement included. It ends when a
client has read the whole frame. The server is a process of its own, and so are the clients.
"""

from __future__ import annotations

import json
import re
import selectors
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from statistics import median

import trio
from bench._shared import ROOT, Row, open_bench_core, scratch, share, wait_ended
from bench.broadcast import TEXT, connect, say

from penstock.pipeline import Inputs, Kind, Output, Run
from penstock.runs.core import Core
from penstock.server.listeners import open_tcp, tcp_addresses
from penstock.service.daemon import open_servers
from penstock.words.api import SubmitRequest
from penstock.words.events import Log
from penstock.words.recorded import Recorded

CLIENTS = 10
#: Events per second and seconds of a round, and how many tasks of the run emit them in turns.
RATE, SECONDS, EMITTERS = 1000, 5, 20
COUNT = RATE * SECONDS
#: Slower than this share of the rate, a round says nothing of the rate.
LEAST_RATE = 0.95
#: Seconds until a round that does not end has failed.
PATIENCE = 60.0
_POSITION = re.compile(rb'\{"position":(\d+),"run_id"')


# -- the server


async def serve() -> None:
    """Serve one run's events and tell when each was committed."""
    kind = Kind("steady", "Steady", Inputs, Output, steady)
    with scratch() as folder:
        async with open_bench_core(folder, kind, auth=False) as core:
            listeners = await open_tcp("127.0.0.1", 0)
            port = tcp_addresses(listeners)[0][1]
            base = f"http://127.0.0.1:{port}"
            async with open_servers(core, listeners, base=base, token=None):
                committed = note_commits(core)
                say(port=port)
                await trio.to_thread.run_sync(sys.stdin.readline)
                request = SubmitRequest(kind="steady", inputs={}, run_id="steady")
                await core.submitter.submit(request)
                await wait_ended(core, "steady")
                # Told when the clients have everything: it is more than a pipe holds.
                await trio.to_thread.run_sync(sys.stdin.readline)
                say(committed=committed)


def note_commits(core: Core) -> dict[int, float]:
    """When the bus got the event of each position; filled from now on."""
    committed: dict[int, float] = {}
    publish = core.bus.publish

    def noted(facts: Sequence[Recorded]) -> None:
        now = time.monotonic()
        for fact in facts:
            if fact.type == "log":
                committed[fact.position] = now
        publish(facts)

    core.bus.publish = noted  # type: ignore[method-assign]
    return committed


async def steady(run: Run, _inputs: Inputs) -> Output:
    """Emit at the rate; each event has its moment, whatever became of those before."""
    start = trio.current_time() + 0.1

    async def emit(first: int) -> None:
        for number in range(first, COUNT, EMITTERS):
            await trio.sleep_until(start + number / RATE)
            await run.emit(Log(text=TEXT))

    async with trio.open_nursery() as nursery:
        for first in range(EMITTERS):
            nursery.start_soon(emit, first)
    return Output()


# -- the clients


def listen(clients: Sequence[socket.socket]) -> list[dict[int, float]]:
    """For each client, when it had read the whole frame with the event of each position."""
    end = time.monotonic() + PATIENCE
    seen: list[dict[int, float]] = [{} for _ in clients]
    rests = [b"" for _ in clients]
    with selectors.DefaultSelector() as selector:
        for number, client in enumerate(clients):
            selector.register(client, selectors.EVENT_READ, number)
        while selector.get_map():
            assert time.monotonic() < end, "the stream did not end"
            for key, _ in selector.select(1.0):
                number = key.data
                data = clients[number].recv(262144)
                now = time.monotonic()
                payloads, rests[number] = split(rests[number] + data)
                for payload in payloads:
                    for position in _POSITION.findall(payload):
                        seen[number][int(position)] = now
                if not data or any(b'"type":"bye"' in payload for payload in payloads):
                    selector.unregister(clients[number])
    return seen


def split(data: bytes) -> tuple[list[bytes], bytes]:
    """The payloads of the whole frames, and the bytes after them."""
    payloads = []
    while len(data) >= 10:
        size, head = data[1], 2
        if size == 126:
            (size,), head = struct.unpack_from("!H", data, 2), 4
        elif size == 127:
            (size,), head = struct.unpack_from("!Q", data, 2), 10
        if len(data) < head + size:
            break
        payloads.append(data[head : head + size])
        data = data[head + size :]
    return payloads, data


def round_of() -> list[float]:
    """Milliseconds from the commit to the frame, of every event at every client."""
    command = [sys.executable, "-m", "bench.frames"]
    pipe = subprocess.PIPE
    with subprocess.Popen(
        command, cwd=ROOT, stdin=pipe, stdout=pipe, text=True
    ) as server:
        assert server.stdin is not None
        assert server.stdout is not None
        port = json.loads(server.stdout.readline())["port"]
        clients = [connect(port, "/ws/steady") for _ in range(CLIENTS)]
        server.stdin.write("go\n")
        server.stdin.flush()
        seen = listen(clients)
        server.stdin.write("tell\n")
        server.stdin.flush()
        told = json.loads(server.stdout.readline())["committed"]
        server.stdin.close()
        for client in clients:
            client.close()
    committed = {int(position): at for position, at in told.items()}
    assert len(committed) == COUNT, "not every event was committed"
    assert all(committed.keys() <= one.keys() for one in seen), "an event was missed"
    lasted = max(committed.values()) - min(committed.values())
    assert COUNT / lasted >= LEAST_RATE * RATE, "the machine did not reach the rate"
    return [(one[p] - at) * 1000 for one in seen for p, at in committed.items()]


def rows(long: bool) -> Iterator[Row]:
    """The median and the 99th percentile over all events and clients, round by round."""
    rounds = [round_of() for _ in range(7 if long else 3)]
    name = f"commit to WS frame, {RATE}/s, {CLIENTS} clients"
    yield Row(f"{name}, p50", "ms", "ours <= 5", [median(delays) for delays in rounds])
    yield Row(
        f"{name}, p99", "ms", "ours <= 50", [share(delays, 0.99) for delays in rounds]
    )


if __name__ == "__main__":
    trio.run(serve)
