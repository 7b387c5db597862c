"""The tasks behind a live dashboard: the stream, and what is asked by one shared HTTP client."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from time import monotonic
from typing import TYPE_CHECKING, Any

from penstock.client.requests import Calls, Request
from penstock.client.rest import Client
from penstock.client.surroundings import with_caller
from penstock.words.address import Address
from penstock.words.durations import local_zone_name
from penstock.words.errors import NotFound, PenstockError
from penstock.words.run_id import NAME_LABEL
from penstock.words.sentences import made_name
from penstock_tui.equivalents import every_command, submit_command
from penstock_tui.state import DashboardState
from penstock_tui.stream import LiveStream

if TYPE_CHECKING:
    import httpx

#: Seconds for an answer; a cancel that waits for its proof may take the daemon's SLA and more.
TIMEOUT = 10.0
CANCEL_TIMEOUT = 60.0
#: Runs asked for in one page, and pages of ended ones.
PAGE = 500
ENDED_PAGES = 2

#: Seconds between two looks at the queue while facts arrive, and at clients and health.
QUEUE_SECONDS = 1.0

HEALTH_SECONDS = 5.0

#: Seconds to close the HTTP client when quitting.
CLOSE_SECONDS = 0.2

#: Runs that may come while numbers are asked for.
MORE_NEW = 20

#: Views asked for at once after a gap.
MOST_VIEWS = 50


class DaemonCalls(Calls[Awaitable[dict[str, Any]]]):
    """Requests to the daemon where it is found at the moment: every method of `Calls` is to be awaited."""

    def __init__(self, find: Callable[[], Address]) -> None:
        self._find = find
        self._client: Client | None = None
        self._http: httpx.AsyncClient | None = None
        self._making = asyncio.Lock()

    async def aclose(self) -> None:
        """Close what was opened; another request would open it again."""
        http, self._client, self._http = self._http, None, None
        if http is not None:
            await http.aclose()

    async def send(self, request: Request) -> dict[str, Any]:
        """See `Calls`."""
        return await (await self._ready()).send(request)

    async def _ready(self) -> Client:
        async with self._making:
            address = self._find()
            if self._client is None or address != self._client.address:
                await self.aclose()
                # Importing and building it costs 0.8 s of CPU: not on the loop that draws.
                self._http = await asyncio.to_thread(_make_client, address)
                self._client = Client(address, self._http, TIMEOUT, CANCEL_TIMEOUT)
            return self._client

    async def ask_for(self, wanted: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
        """Ask for a run in the folder and the environment that the dashboard was started in, or with
        `every` for a schedule of them: the words of the command line for that, and the answer.
        """
        request = {name: value for name, value in wanted.items() if name != "every"}
        timing = wanted.get("every")
        if timing is None:
            told = submit_command(request)
            return told, await self.submit(self._from_here(request))
        labels = dict(request.pop("labels", {}))
        given = request.pop("run_id", None) or labels.pop(NAME_LABEL, None)
        name = given or made_name(request["kind"], request["inputs"])
        run = {**request, "labels": labels}
        schedule = {
            "name": name,
            "timing": timing,
            "zone": local_zone_name(),
            "run": self._from_here(run),
        }
        return every_command(timing, name, run), await self.set_schedule(schedule)

    def _from_here(self, request: Mapping[str, Any]) -> dict[str, Any]:
        return with_caller(request, os.environ, self._find())

    async def shown_runs(self) -> list[dict[str, Any]]:
        """Every open run, and the newest ended ones."""
        rows = await self._pages("state:open", pages=100)
        rows += await self._pages("state:ended", pages=ENDED_PAGES)
        return rows

    async def _pages(self, wanted: str, *, pages: int) -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = []
        before: int | None = None
        for _ in range(pages):
            page = await self.runs(wanted, limit=PAGE, before=before)
            rows += page["runs"]
            before = page.get("next")
            if before is None:
                break
        return rows


def _make_client(address: Address) -> httpx.AsyncClient:
    from penstock.http_clients import daemon_client

    # Textual redraws in between, so one slow answer must not hold the others.
    return daemon_client(address, TIMEOUT)


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
        self.model.seed(await self.calls.shown_runs())
        await self._ask_for_dismissals()
        await self._ask_for_broken()

    async def _ask_for_dismissals(self) -> None:
        # An older daemon keeps none.
        with suppress(NotFound):
            self.model.dismiss((await self.calls.get("dismissals"))["runs"])

    async def _ask_how_it_is(self) -> None:
        # Its health first: that is told without the store too, and then it says that the store is away.
        self.model.health = await self.calls.health()
        self.model.health_at = monotonic()
        self.model.version += 1
        self.model.clients = list((await self.calls.get("clients"))["clients"])
        await self._ask_for_dismissals()
        await self._ask_for_boxes()

    async def _ask_for_boxes(self) -> None:
        # An older daemon has its log alone.
        with suppress(NotFound):
            self.model.boxes = list((await self.calls.get("boxes"))["boxes"])

    async def search(self, words: str) -> None:
        """Take the newest runs that a filter finds among all that the daemon has."""
        self.model.seed((await self.calls.runs(words, limit=PAGE))["runs"])

    async def _ask_for_broken(self) -> None:
        for run_id in list(self.model.broken)[:MOST_VIEWS]:
            try:
                self.model.seed([await self.calls.run(run_id)])
            except PenstockError:
                # Forgotten by the daemon meanwhile, or the daemon is gone: the stream will tell.
                self.model.broken.discard(run_id)

    async def _ask_for_numbers(self) -> None:
        """Of the newest runs. Those that came faster than this keeps up with are known by their ids."""
        asked = set(self.model.unnumbered)
        page = await self.calls.runs(limit=min(PAGE, len(asked) + MORE_NEW))
        self.model.seed(page["runs"])
        # What came meanwhile, and is on no page yet, is asked for the next time.
        self.model.unnumbered -= asked

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
                        await self._ask_how_it_is()
                    if model.broken:
                        await self._ask_for_broken()
                    if model.unnumbered:
                        await self._ask_for_numbers()
                    model.version += 1
            except PenstockError:
                # The stream notices a lost daemon and says so; old figures stay until then.
                pass
            await asyncio.sleep(QUEUE_SECONDS)
