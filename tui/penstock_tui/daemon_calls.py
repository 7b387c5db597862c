"""What is asked of the daemon over HTTP: one shared HTTP client, made off the first picture."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from penstock.words.address import Address
from penstock.words.errors import DaemonUnreachable, PenstockError

if TYPE_CHECKING:
    import httpx

#: Seconds for an answer; a cancel that waits for its proof may take the daemon's SLA and more.
TIMEOUT = 10.0
CANCEL_TIMEOUT = 60.0
#: Runs asked for in one page, and pages of ended ones.
PAGE = 500
ENDED_PAGES = 2
#: Facts asked for in one page of a run's history.
FACTS_PAGE = 500


class ActionRefused(PenstockError):
    """The daemon refused; `status` is the HTTP status, the sentence its own."""

    def __init__(self, status: int, detail: str) -> None:
        super().__init__(detail or f"the daemon answered {status}")
        self.status = status


class DaemonCalls:
    """Requests to the daemon. Every method raises DaemonUnreachable or ActionRefused."""

    def __init__(self, find: Callable[[], Address]) -> None:
        self._find = find
        self._client: httpx.AsyncClient | None = None
        self._address: Address | None = None
        self._making = asyncio.Lock()

    async def aclose(self) -> None:
        if self._client is not None:
            await self._client.aclose()
            self._client = None

    async def _ready(self) -> tuple[httpx.AsyncClient, Address]:
        async with self._making:
            address = self._find()
            if self._client is None or address != self._address:
                await self.aclose()
                # Importing and building it costs 0.8 s of CPU: not on the loop that draws.
                self._client = await asyncio.to_thread(_make_client, address)
                self._address = address
            return self._client, address

    async def _ask(
        self,
        method: str,
        *parts: str,
        body: Mapping[str, Any] | None = None,
        seconds: float = TIMEOUT,
        **query: object,
    ) -> Any:
        client, address = await self._ready()
        import httpx

        try:
            reply = await client.request(
                method, address.url(*parts, **query), json=body, timeout=seconds
            )
            data = reply.json() if reply.content else None
        except httpx.TimeoutException:
            raise DaemonUnreachable("the daemon does not answer") from None
        except (httpx.HTTPError, OSError):
            raise DaemonUnreachable() from None
        except ValueError:
            raise ActionRefused(reply.status_code, "the answer is not JSON") from None
        if reply.status_code >= 400 and parts != ("health",):
            detail = (
                data.get("detail") or data.get("title")
                if isinstance(data, dict)
                else ""
            )
            raise ActionRefused(reply.status_code, str(detail or ""))
        return data

    # -- what there is

    async def runs(self) -> list[dict[str, Any]]:
        """Every open run, and the newest ended ones."""
        rows = await self._pages("state:open", pages=100)
        rows += await self._pages("state:ended", pages=ENDED_PAGES)
        return rows

    async def _pages(self, wanted: str, *, pages: int) -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = []
        before: int | None = None
        for _ in range(pages):
            page = await self._ask("GET", "runs", q=wanted, limit=PAGE, before=before)
            rows += page["runs"]
            before = page.get("next")
            if before is None:
                break
        return rows

    async def run(self, run_id: str) -> dict[str, Any]:
        reply: dict[str, Any] = await self._ask("GET", "runs", run_id)
        return reply

    async def facts(
        self, run_id: str, after: int
    ) -> tuple[list[dict[str, Any]], int, bool]:
        """A page of a run's history: envelopes, the next `after`, whether there is more."""
        page = await self._ask(
            "GET", "runs", run_id, "events", after=after, limit=FACTS_PAGE
        )
        return page["events"], page["next"], page.get("more", False)

    async def queue(self) -> dict[str, Any]:
        reply: dict[str, Any] = await self._ask("GET", "queue")
        return reply

    async def clients(self) -> list[dict[str, Any]]:
        reply = await self._ask("GET", "clients")
        clients: list[dict[str, Any]] = (
            reply["clients"] if isinstance(reply, dict) else reply
        )
        return clients

    async def health(self) -> dict[str, Any]:
        reply: dict[str, Any] = await self._ask("GET", "health")
        return reply

    async def pipelines(self) -> list[dict[str, Any]]:
        reply = await self._ask("GET", "pipelines")
        kinds: list[dict[str, Any]] = (
            reply["pipelines"] if isinstance(reply, dict) else reply
        )
        return kinds

    async def why(self, run_id: str) -> str:
        """Why the run is where it is, in sentences."""
        reply = await self._ask("GET", "runs", run_id, "why")
        return str(reply["text"])

    # -- what is done

    async def submit(self, request: Mapping[str, Any]) -> dict[str, Any]:
        reply: dict[str, Any] = await self._ask("POST", "runs", body=request)
        return reply

    async def cancel(self, run_id: str, reason: str) -> dict[str, Any]:
        """Cancel and wait for the proof: the receipt."""
        reply: dict[str, Any] = await self._ask(
            "POST",
            "runs",
            run_id,
            "cancel",
            body={"reason": reason},
            seconds=CANCEL_TIMEOUT,
            wait=1,
        )
        return reply

    async def retry(self, run_id: str) -> dict[str, Any]:
        reply: dict[str, Any] = await self._ask("POST", "runs", run_id, "retry")
        return reply

    async def answer(self, run_id: str, name: str, answer: str) -> None:
        await self._ask("POST", "runs", run_id, "asks", name, body={"answer": answer})

    async def say(self, run_id: str, text: str) -> None:
        """Tell a run something; what it makes of it is its own affair."""
        await self._ask("POST", "runs", run_id, "interventions", body={"text": text})

    async def pause_queue(self, reason: str) -> dict[str, Any]:
        """Start no more runs: how the queue is then."""
        body = {"reason": reason}
        reply: dict[str, Any] = await self._ask("POST", "queue", "pause", body=body)
        return reply

    async def resume_queue(self) -> dict[str, Any]:
        """Start runs again: how the queue is then."""
        reply: dict[str, Any] = await self._ask("POST", "queue", "resume", body={})
        return reply


def _make_client(address: Address) -> httpx.AsyncClient:
    from penstock.outgoing import daemon_client

    # Textual redraws in between, so one slow answer must not hold the others.
    return daemon_client(address, TIMEOUT)
