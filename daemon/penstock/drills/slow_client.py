"""`penstock drill slow-client`: clients that take nothing cost the others nothing.

The publisher is measured with the healthy clients alone, with the stalled ones beside them, and with
the healthy ones alone again. Then the stalled ones read, and must get what their policy says.
"""

from __future__ import annotations

import os
import statistics
from collections.abc import Iterator
from contextlib import AsyncExitStack, contextmanager
from dataclasses import dataclass, field, replace
from itertools import cycle, islice
from pathlib import Path

import trio

from penstock.client import Client
from penstock.drills.campaign import percentile
from penstock.drills.listeners import Listener, open_connection
from penstock.drills.publisher import NAME, install
from penstock.drills.scratch import Scratch, connected, open_scratch, started
from penstock.record.batches import Overflow

#: The publisher's median may grow so many times; what is beyond it is no noise of a loaded box.
MOST_RATIO = 2.0
#: MiB that the daemon may grow while clients stall: the kernel's buffers are not its own.
MOST_GROWTH = 64.0
#: Text of a fact: large enough that a stalled socket is full after some hundred.
TEXT_BYTES = 2048
#: Facts in the daemon's ring, few enough that a stalled client falls behind it in a short drill.
RING_EVENTS = 128
#: Seconds for a healthy client to be told all that was published.
TOLD_SECONDS = 60.0
#: Moments per second at which all writers emit together.
MOMENTS = 20
#: Close code of a client that its policy disconnects.
CODE_LAGGED = 1013

POLICIES: tuple[Overflow, ...] = ("catch_up", "drop_oldest", "disconnect")


@dataclass(frozen=True, slots=True)
class Size:
    """Clients in all, those of them that stall, facts per second, seconds of each measurement."""

    clients: int
    stalled: int
    rate: float
    seconds: float


@dataclass(slots=True)
class Measured:
    """Latencies in ms without and with the stalled clients, and what else came of it."""

    without: list[float] = field(default_factory=list)
    beside: list[float] = field(default_factory=list)
    #: Facts per second that were published beside stalled clients.
    rate: float = 0.0
    #: MiB of the daemon before the stalled clients came, and the most while they stalled.
    before: float = 0.0
    most: float = 0.0
    healthy_facts: int = 0
    gaps: int = 0
    dropped: int = 0
    disconnected: int = 0
    caught_up: int = 0
    broken: list[str] = field(default_factory=list)

    @property
    def ratio(self) -> float:
        return statistics.median(self.beside) / statistics.median(self.without)

    @property
    def growth(self) -> float:
        """MiB."""
        return self.most - self.before

    def figures(self) -> dict[str, float]:
        """What is told, by name."""
        return {
            "p50 ms without": round(percentile(self.without, 0.5), 2),
            "p50 ms with stalled": round(percentile(self.beside, 0.5), 2),
            "p99 ms without": round(percentile(self.without, 0.99), 2),
            "p99 ms with stalled": round(percentile(self.beside, 0.99), 2),
            "ratio of medians": round(self.ratio, 2),
            "events per second": round(self.rate, 1),
            "daemon MiB before": round(self.before, 1),
            "daemon MiB grown": round(self.growth, 1),
            "facts to healthy clients": self.healthy_facts,
            "stalled that were told gaps": self.gaps,
            "facts in these gaps": self.dropped,
            "stalled that were disconnected": self.disconnected,
            "stalled that caught up": self.caught_up,
        }


class SlowClientDrill:
    """The measurements of one daemon."""

    def __init__(self, size: Size, client: Client, pid: int) -> None:
        self.size = size
        self.client = client
        self.pid = pid
        self.measured = Measured()
        self.healthy: list[Listener] = []
        self._runs = 0

    async def measure(self) -> Measured:
        """All of it."""
        told = self.measured
        async with trio.open_nursery() as nursery, AsyncExitStack() as stack:
            for _ in range(self.size.clients - self.size.stalled):
                listener = Listener(0)
                connection = await stack.enter_async_context(
                    open_connection(self.client.address, 0, "catch_up")
                )
                nursery.start_soon(listener.listen, connection)
                self.healthy.append(listener)
            # The first measurement would otherwise pay for what is done once.
            await self._publish(1.0)
            told.without += await self._publish(self.size.seconds)
            await self._stall()
            told.without += await self._publish(self.size.seconds)
            nursery.cancel_scope.cancel(reason="all is measured")
        told.healthy_facts = sum(listener.facts for listener in self.healthy)
        self._judge()
        return told

    async def _publish(self, seconds: float) -> list[float]:
        """Latencies of one run; afterwards every healthy client has been told all of it."""
        self._runs += 1
        size, run_id = self.size, f"publisher-{self._runs}"
        inputs = {
            "rate": size.rate, "seconds": seconds, "text_bytes": TEXT_BYTES,
            "writers": max(1, round(size.rate / MOMENTS)),
        }  # fmt: skip
        await self.client.submit({"kind": NAME, "run_id": run_id, "inputs": inputs})
        head = await self._wait_ended(run_id, seconds)
        with trio.move_on_after(TOLD_SECONDS) as limit:
            for listener in self.healthy:
                await listener.wait_told(head)
        if limit.cancelled_caught:
            self.measured.broken.append("a healthy client was not told all in time")
        view = await self.client.run(run_id)
        if view["state"] != "completed":
            self.measured.broken.append(f"{run_id} is {view['state']}: {view['error']}")
            return [0.0]
        latencies: list[float] = view["result"]["latencies"]
        return latencies

    async def _wait_ended(self, run_id: str, seconds: float) -> int:
        """The last position of the run."""
        with trio.fail_after(seconds + TOLD_SECONDS):
            while True:
                await trio.sleep(0.2)
                self.measured.most = max(self.measured.most, memory_mib(self.pid))
                view = await self.client.run(run_id)
                if view["ended_at"] is not None:
                    position: int = view["position"]
                    return position

    # -- those that stall

    async def _stall(self) -> None:
        """Publish beside clients that take nothing; then let each of them read."""
        told = self.measured
        seconds = 2 * self.size.seconds
        after = self.healthy[0].cursor if self.healthy else 0
        policies = list(islice(cycle(POLICIES), self.size.stalled))
        async with AsyncExitStack() as stack:
            stalled = []
            for policy in policies:
                connection = await stack.enter_async_context(
                    open_connection(self.client.address, after, policy)
                )
                stalled.append((Listener(after, policy), connection))
            told.before = told.most = memory_mib(self.pid)
            told.beside = await self._publish(seconds)
            told.rate = len(told.beside) / seconds
            head = (await self.client.run(f"publisher-{self._runs}"))["position"]
            async with trio.open_nursery() as nursery:
                for listener, connection in stalled:
                    nursery.start_soon(listener.listen, connection)
                with trio.move_on_after(TOLD_SECONDS):
                    for listener, _ in stalled:
                        await listener.wait_told(head)
                nursery.cancel_scope.cancel(reason="those that stalled have read")
        for listener, _ in stalled:
            await self._judge_policy(listener, head)

    async def _judge_policy(self, listener: Listener, head: int) -> None:
        """What it was told by its policy; then the rest from the store."""
        told, policy = self.measured, listener.overflow
        told.broken += [f"stalled, {policy}: {word}" for word in listener.broken]
        told.gaps += bool(listener.gaps)
        told.dropped += sum(last - first + 1 for first, last in listener.gaps)
        told.disconnected += listener.closed == CODE_LAGGED
        if bool(listener.gaps) != (policy == "drop_oldest"):
            told.broken.append(f"stalled, {policy}: gaps {listener.gaps}")
        if (listener.closed == CODE_LAGGED) != (policy == "disconnect"):
            told.broken.append(f"stalled, {policy}: closed with {listener.closed}")
        missing = [*listener.gaps]
        if policy == "disconnect":
            missing.append((listener.cursor + 1, head))
        elif listener.cursor < head:
            told.broken.append(f"stalled, {policy}: told up to {listener.cursor}")
        whole = True
        for first, last in missing:
            whole = whole and await self._in_store(first, last)
        told.caught_up += whole
        if not whole:
            told.broken.append(f"stalled, {policy}: the store lacks what was missed")

    async def _in_store(self, first: int, last: int) -> bool:
        """Whether pages of the log tell every position from first to last."""
        cursor = first - 1
        while cursor < last:
            page = await self.client.events(after=cursor)
            for event in page["events"]:
                if event["position"] != cursor + 1:
                    return False
                cursor = event["position"]
            if not page["events"]:
                return False
        return True

    # -- laws

    def _judge(self) -> None:
        told = self.measured
        for listener in self.healthy:
            told.broken += [f"healthy: {word}" for word in listener.broken]
            if listener.gaps or listener.closed is not None:
                told.broken.append(f"healthy: {listener.gaps}, {listener.closed}")
        if told.ratio > MOST_RATIO:
            told.broken.append(f"the publisher became {told.ratio:.1f} times as slow")
        if told.growth > MOST_GROWTH:
            told.broken.append(f"the daemon grew by {told.growth:.0f} MiB")


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
            "PENSTOCK_RING_EVENTS": str(RING_EVENTS),
            "PENSTOCK_MAX_CONNECTIONS": str(size.clients + 50),
            # Here the policies are drilled, and not the end of the door's patience.
            "PENSTOCK_STALL_TIMEOUT": str(10 * size.seconds + 60),
        }
        yield replace(scratch, environ={**scratch.environ, **own})


def drill_slow_client(size: Size) -> Measured:
    """Measure a scratch daemon."""
    with open_publishing_scratch(size) as scratch, started(scratch) as process:

        async def measure() -> Measured:
            async with connected(scratch, process) as client:
                return await SlowClientDrill(size, client, process.pid).measure()

        return trio.run(measure)
