"""The tasks behind a live dashboard: the stream, and what is asked now and then."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from time import monotonic

from penstock.words.address import Address
from penstock.words.errors import PenstockError
from penstock.words.lifecycle import EXECUTING_STATES
from penstock_tui.daemon_calls import DaemonCalls
from penstock_tui.state import DashboardState
from penstock_tui.stream import LiveStream

#: Seconds between two looks at the queue while facts arrive, and at clients and health.
QUEUE_SECONDS = 1.0
HEALTH_SECONDS = 5.0
#: Seconds to close the HTTP client when quitting.
CLOSE_SECONDS = 0.2
#: Views asked for at once after a gap.
MOST_VIEWS = 50


class LiveSession:
    """Keeps a model up to date. `start` and `aclose` belong to the app's own start and end."""

    def __init__(self, find: Callable[[], Address], model: DashboardState) -> None:
        self.model = model
        self.calls = DaemonCalls(find)
        self._stream = LiveStream(find, model, self._list_runs)
        self._tasks: list[asyncio.Task[None]] = []

    def start(self, failed: Callable[[BaseException], None]) -> None:
        """Begin; `failed` is told of an error that nobody foresaw, which ends this."""

        def ended(task: asyncio.Task[None]) -> None:
            if not task.cancelled() and (error := task.exception()) is not None:
                failed(error)

        self._tasks = [
            asyncio.create_task(self._stream.run(), name="stream"),
            asyncio.create_task(self._look(), name="look"),
        ]
        for task in self._tasks:
            task.add_done_callback(ended)

    def stop(self) -> None:
        """Take nothing more, from now on."""
        for task in self._tasks:
            task.cancel()

    async def aclose(self) -> None:
        """End the tasks and close what they opened, in a bounded time."""
        self.stop()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        with suppress(TimeoutError):
            async with asyncio.timeout(CLOSE_SECONDS):
                await self.calls.aclose()

    async def _list_runs(self) -> None:
        """All open runs and the newest ended ones; those that do something, with all details."""
        rows = await self.calls.shown_runs()
        self.model.seed(rows)
        for row in rows:
            if row["state"] in EXECUTING_STATES:
                self.model.broken.add(row["run_id"])
        await self._ask_for_broken()

    async def _ask_for_broken(self) -> None:
        for run_id in list(self.model.broken)[:MOST_VIEWS]:
            try:
                self.model.seed([await self.calls.run(run_id)])
            except PenstockError:
                # Forgotten by the daemon meanwhile, or the daemon is gone: the stream will tell.
                self.model.broken.discard(run_id)

    async def _look(self) -> None:
        """Ask for what no fact tells: waiting submitters, clients, health."""
        loop = asyncio.get_running_loop()
        looked, position = -HEALTH_SECONDS, -1
        while True:
            model = self.model
            try:
                if model.phase in ("live", "catching up"):
                    if (
                        model.position != position
                        or loop.time() - looked >= HEALTH_SECONDS
                    ):
                        position = model.position
                        model.queue = await self.calls.get("queue")
                    if loop.time() - looked >= HEALTH_SECONDS:
                        looked = loop.time()
                        told = await self.calls.get("clients")
                        model.clients = list(told["clients"])
                        model.health = await self.calls.health()
                        model.health_at = monotonic()
                    if model.broken:
                        await self._ask_for_broken()
                    model.version += 1
            except PenstockError:
                # The stream notices a lost daemon and says so; old figures stay until then.
                pass
            await asyncio.sleep(QUEUE_SECONDS)
