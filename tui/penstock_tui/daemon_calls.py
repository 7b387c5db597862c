"""What the dashboard asks of the daemon: one shared HTTP client, made off the first picture."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any

from penstock.client.requests import Calls, Request
from penstock.client.rest import Client
from penstock.client.surroundings import with_caller
from penstock.words.address import Address

if TYPE_CHECKING:
    import httpx

#: Seconds for an answer; a cancel that waits for its proof may take the daemon's SLA and more.
TIMEOUT = 10.0
CANCEL_TIMEOUT = 60.0
#: Runs asked for in one page, and pages of ended ones.
PAGE = 500
ENDED_PAGES = 2


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

    async def submit_here(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """Ask for a run in the folder and the environment that the dashboard was started in."""
        return await self.submit(with_caller(request, os.environ, self._find()))

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
