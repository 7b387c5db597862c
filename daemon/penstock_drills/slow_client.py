"""`penstock drill slow-client`: clients that take nothing cost the others nothing.

The publisher is measured in pairs of slices, one with the healthy clients alone and one with stalled
ones beside them, now this first and now that, so that whatever else the box does hits both alike.
After each slice the stalled ones read, and must get what their policy says.
"""

from __future__ import annotations

import os
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, replace
from itertools import cycle, islice
from pathlib import Path

import trio
from trio_websocket import WebSocketConnection

from penstock.client import Client
from penstock.words.lifecycle import COMPLETED
from penstock_drills.listeners import (
    CODE_LAGGED,
    POLICIES,
    Crowd,
    Listener,
    cpu_seconds,
    judge,
    open_connection,
    open_crowd,
)
from penstock_drills.measured import Measured, Slice
from penstock_drills.scratch import Scratch, connected, open_scratch, started
from penstock_drills.steady_kind import NAME, install

#: Seconds of publishing that the daemon's ring holds: a stalled client falls behind it soon, and one
#: that reads does not.
RING_SECONDS = 0.5
#: Facts that it holds at least, so that a slow publisher's readers do not live from the store.
LEAST_RING = 64
#: Seconds for the clients to be told all that was published.
TOLD_SECONDS = 30.0
#: Moments per second at which facts are due together: mostly more than there are commits.
MOMENTS = 200.0
#: Seconds of the slice that is not counted: it would pay for what is done once.
WARM_SECONDS = 1.0
#: Bytes that are on their way to a client that takes nothing: the kernel's buffer of a Unix socket,
#: and what its library reads before it is asked.
ON_THEIR_WAY = 300 * 1024
#: Bytes of a fact on the wire beside its text, at least.
ENVELOPE_BYTES = 300
#: So many times the facts that can be on their way and in the ring must a slice have.
FALL_BEHIND = 1.2


@dataclass(frozen=True, slots=True)
class Size:
    """Clients in all, those of them that stall, facts per second, text of a fact in bytes, seconds of
    a slice, and pairs of slices; without a number of pairs, none begins after `limit` seconds.
    """

    clients: int
    stalled: int
    rate: float
    bytes: int
    seconds: float
    pairs: int | None
    limit: float


def ring_events(rate: float) -> int:
    """Facts in the ring of a daemon that publishes at this rate."""
    return max(LEAST_RING, round(rate * RING_SECONDS))


def least_seconds(rate: float, text_bytes: int) -> float:
    """Seconds of a slice in which a client that takes nothing surely falls behind the ring."""
    on_their_way = ON_THEIR_WAY / (text_bytes + ENVELOPE_BYTES)
    return FALL_BEHIND * (ring_events(rate) + on_their_way) / rate


class SlowClientDrill:
    """The measurements of one daemon."""

    def __init__(self, size: Size, client: Client, crowd: Crowd, pid: int) -> None:
        self.size = size
        self.client = client
        self.crowd = crowd
        self.pid = pid
        self.measured = Measured(size.rate)
        self.head = 0
        self._runs = 0

    async def measure(self) -> Measured:
        """All of it."""
        told, size = self.measured, self.size
        begun = time.monotonic()
        await self._publish(WARM_SECONDS)
        told.before = memory_mib(self.pid)
        while not told.broken and len(told.beside) != size.pairs:
            late = time.monotonic() - begun > size.limit * told.patience
            if size.pairs is None and late and told.beside:
                break
            await self._measure_pair()
        told.broken += [f"healthy: {word}" for word in self.crowd.broken]
        if told.beside:
            told.judge()
        return told

    async def _measure_pair(self) -> None:
        """A slice of each sort; which of them comes first alternates. Half a pair tells nothing."""
        told = self.measured
        order = [(told.without, self._alone), (told.beside, self._beside)]
        pair = []
        for slices, measure in reversed(order) if len(told.beside) % 2 else order:
            if (measured := await measure()) is None:
                return
            pair.append((slices, measured))
        for slices, measured in pair:
            slices.append(measured)

    async def _alone(self) -> Slice | None:
        return await self._publish(self.size.seconds)

    async def _beside(self) -> Slice | None:
        after = self.head
        async with self._stalled(after) as stalled:
            measured = await self._publish(self.size.seconds)
            if measured is not None:
                await self._let_read(stalled)
        if measured is not None:
            await self._judge_policies([listener for listener, _ in stalled], after)
        return measured

    # -- publishing

    async def _publish(self, seconds: float) -> Slice | None:
        """One run; afterwards every healthy client has been told all of it. None: it did not complete."""
        self._runs += 1
        size, run_id = self.size, f"publisher-{self._runs}"
        inputs = {
            "rate": size.rate, "moments": min(MOMENTS, size.rate),
            "seconds": seconds, "text_bytes": size.bytes,
        }  # fmt: skip
        healthy = self.crowd.process.pid
        memory, facts = memory_mib(self.pid), self.crowd.facts
        daemon_cpu, clients_cpu = cpu_seconds(self.pid), cpu_seconds(healthy)
        await self.client.submit({"kind": NAME, "run_id": run_id, "inputs": inputs})
        most = memory_mib(self.pid)
        with trio.move_on_after(seconds + TOLD_SECONDS) as limit:
            most = await self._wait_ended(run_id)
        if limit.cancelled_caught:
            late = f"{run_id}, of {seconds:g} s, had not ended {TOLD_SECONDS:g} s later"
            self.measured.broken.append(f"{late}: the box is too slow, or it hangs")
            return None
        ended = trio.current_time()
        with trio.move_on_after(TOLD_SECONDS) as limit:
            await self.crowd.wait_told(self.head)
        if limit.cancelled_caught:
            self.measured.broken.append("a healthy client was not told all in time")
        view = await self.client.run(run_id)
        if view["state"] != COMPLETED:
            self.measured.broken.append(f"{run_id} is {view['state']}: {view['error']}")
            return None
        return Slice(
            view["result"]["latencies"],
            max(view["result"]["seconds"], seconds),
            growth=max(most, memory_mib(self.pid)) - memory,
            daemon_cpu=cpu_seconds(self.pid) - daemon_cpu,
            clients_cpu=cpu_seconds(healthy) - clients_cpu,
            delivered=self.crowd.facts - facts,
            behind=trio.current_time() - ended,
        )

    async def _wait_ended(self, run_id: str) -> float:
        """The most MiB of the daemon meanwhile; `head` is then the last position of the run."""
        most = 0.0
        while True:
            await trio.sleep(0.2)
            most = max(most, memory_mib(self.pid))
            view = await self.client.run(run_id)
            if view["ended_at"] is not None:
                self.head = view["position"]
                return most

    # -- those that stall

    @asynccontextmanager
    async def _stalled(
        self, after: int
    ) -> AsyncIterator[list[tuple[Listener, WebSocketConnection]]]:
        """Clients of all policies that take nothing yet."""
        async with AsyncExitStack() as stack:
            yield [
                (
                    Listener(after, policy),
                    await stack.enter_async_context(
                        open_connection(self.client.address, after, policy)
                    ),
                )
                for policy in islice(cycle(POLICIES), self.size.stalled)
            ]

    async def _let_read(
        self, stalled: list[tuple[Listener, WebSocketConnection]]
    ) -> None:
        """Until each has been told all, or has been disconnected."""
        async with trio.open_nursery() as nursery:
            for listener, connection in stalled:
                nursery.start_soon(listener.listen, connection)
            with trio.move_on_after(TOLD_SECONDS):
                for listener, _ in stalled:
                    await listener.wait_told(self.head)
            nursery.cancel_scope.cancel(reason="those that stalled have read")

    async def _judge_policies(self, stalled: list[Listener], after: int) -> None:
        """What each was told by its policy; what it was not must be in the store."""
        told = self.measured
        kept = await self._last_in_store(after)
        for listener in stalled:
            wrong = judge(listener, self.head, kept)
            told.gaps += bool(listener.gaps)
            told.dropped += sum(last - first + 1 for first, last in listener.gaps)
            told.disconnected += listener.closed == CODE_LAGGED
            told.caught_up += not wrong
            told.broken += [f"stalled, {listener.overflow}: {word}" for word in wrong]

    async def _last_in_store(self, after: int) -> int:
        """The last position up to which pages of the log tell all above `after`."""
        cursor = after
        while events := (await self.client.events(after=cursor))["events"]:
            for event in events:
                if event["position"] != cursor + 1:
                    return cursor
                cursor = event["position"]
        return cursor


def memory_mib(pid: int) -> float:
    """What a process holds in memory."""
    pages = int(Path(f"/proc/{pid}/statm").read_text(encoding="utf-8").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


@contextmanager
def open_publishing_scratch(size: Size) -> Iterator[Scratch]:
    """Folders for a daemon that knows the publisher and lets so many clients in."""
    with open_scratch() as scratch:
        install(scratch.folder / "plugins")
        path = [str(scratch.folder / "plugins"), os.environ.get("PYTHONPATH", "")]
        own = {
            "PYTHONPATH": os.pathsep.join(filter(None, path)),
            "PENSTOCK_RING_EVENTS": str(ring_events(size.rate)),
            "PENSTOCK_MAX_CONNECTIONS": str(size.clients + 50),
            # Here the policies are drilled, and not the end of the door's patience.
            "PENSTOCK_STALL_TIMEOUT": str(10 * size.seconds + 60),
        }
        yield replace(scratch, environ={**scratch.environ, **own})


def drill_slow_client(size: Size) -> Measured:
    """Measure a scratch daemon."""
    with open_publishing_scratch(size) as scratch, started(scratch) as process:

        async def measure() -> Measured:
            async with (
                connected(scratch, process) as client,
                open_crowd(client.address, size.clients - size.stalled) as crowd,
            ):
                drill = SlowClientDrill(size, client, crowd, process.pid)
                return await drill.measure()

        return trio.run(measure)
