"""Requests to a daemon, over TCP or its Unix socket."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from penstock.client.log_reader import put_back
from penstock.client.stream import EventStream, open_stream
from penstock.words.address import Address
from penstock.words.errors import DaemonUnreachable
from penstock.words.problems import error_of

if TYPE_CHECKING:
    import httpx

#: Seconds to reach the daemon: it is on this box or near.
CONNECT_SECONDS = 5.0
#: Seconds for an answer that does not wait for anything; a loaded box may be slow to give it.
ANSWER_SECONDS = 30.0

_START = "start one with `penstock serve`"


@dataclass(frozen=True, slots=True)
class Client:
    """A daemon to ask. Bodies are plain JSON, as the daemon sent them.

    Every method raises the daemon's own error, or DaemonUnreachable.
    """

    address: Address
    _http: httpx.AsyncClient

    async def request(
        self,
        method: str,
        *parts: str,
        body: Any = None,
        patient: bool = False,
        **query: object,
    ) -> Any:
        """One request; `patient` for those that wait for something to happen."""
        import httpx

        limits = httpx.Timeout(ANSWER_SECONDS, connect=CONNECT_SECONDS)
        if patient:
            limits = httpx.Timeout(None, connect=CONNECT_SECONDS)
        try:
            answer = await self._http.request(
                method, self.address.url(*parts, **query), json=body, timeout=limits
            )
        except (httpx.ConnectError, httpx.ConnectTimeout):
            raise DaemonUnreachable(
                f"no daemon answers at {self.address}; {_START}"
            ) from None
        except httpx.TimeoutException:
            raise DaemonUnreachable(
                f"the daemon at {self.address} does not answer"
            ) from None
        except httpx.TransportError as error:
            why = str(error) or type(error).__name__
            raise DaemonUnreachable(
                f"the connection to {self.address} broke: {why}"
            ) from None
        return _read(answer)

    # -- runs

    async def submit(
        self, request: Mapping[str, Any], *, wait: bool = False
    ) -> dict[str, Any]:
        """Ask for a run; with `wait` a full queue makes this wait for room."""
        return await self._object(
            "POST", "runs", body=request, patient=wait, wait=1 if wait else None
        )

    async def run(self, run_id: str) -> dict[str, Any]:
        return await self._object("GET", "runs", run_id)

    async def runs(
        self, q: str = "", *, limit: int = 100, before: int | None = None
    ) -> dict[str, Any]:
        """A page of runs, newest first: {"runs": […], "next": position or null}."""
        return await self._object(
            "GET", "runs", q=q or None, limit=limit, before=before
        )

    async def cancel(
        self, run_id: str, reason: str = "requested", *, wait: bool = False
    ) -> dict[str, Any]:
        """Cancel a run: the receipt. With `wait` it is given when nothing of the run is left."""
        return await self._object(
            "POST", "runs", run_id, "cancel",
            body={"reason": reason}, patient=wait, wait=1 if wait else None,
        )  # fmt: skip

    async def why(self, run_id: str) -> dict[str, Any]:
        """Why the run is where it is: {"reasons": […], "text": …}."""
        return await self._object("GET", "runs", run_id, "why")

    async def retry(self, run_id: str) -> dict[str, Any]:
        return await self._object("POST", "runs", run_id, "retry")

    async def answer(self, run_id: str, name: str, answer: str) -> Any:
        return await self.request(
            "POST", "runs", run_id, "asks", name, body={"answer": answer}
        )

    async def intervene(self, run_id: str, text: str) -> Any:
        return await self.request(
            "POST", "runs", run_id, "interventions", body={"text": text}
        )

    async def events(
        self, run_id: str | None = None, *, after: int = 0, limit: int = 500
    ) -> dict[str, Any]:
        """A page of the log: {"events": […], "next": …, "more": …}.

        PutBack if the log does not reach the position `after`.
        """
        parts = ("events",) if run_id is None else ("runs", run_id, "events")
        page = await self._object("GET", *parts, after=after, limit=limit)
        if (gap := page.get("gap")) and gap.get("put_back"):
            raise put_back(after, gap)
        return page

    # -- the queue; each answers how it is then

    async def pause(self, group: str | None, reason: str) -> dict[str, Any]:
        """Start no more runs, of the queue (None) or of a group."""
        body = {"group": group, "reason": reason}
        return await self._object("POST", "queue", "pause", body=body)

    async def resume(self, group: str | None) -> dict[str, Any]:
        """Start and take in runs again."""
        return await self._object("POST", "queue", "resume", body={"group": group})

    async def drain(self, group: str | None, *, wait: bool) -> dict[str, Any]:
        """Take no new runs in; with `wait` this waits until none is left."""
        return await self._object(
            "POST", "queue", "drain", body={"group": group}, patient=wait,
            wait=1 if wait else None,
        )  # fmt: skip

    # -- the daemon

    async def get(self, *parts: str, **query: Any) -> Any:
        """Any resource that is only read: queue, pipelines, clients, asks."""
        return await self.request("GET", *parts, **query)

    async def health(self) -> dict[str, Any]:
        """What `/health` says; a degraded daemon's answer is an answer too."""
        import httpx

        try:
            answer = await self._http.get(
                self.address.url("health"), timeout=ANSWER_SECONDS
            )
            if answer.status_code == 503:
                return dict(answer.json())
        except (httpx.TransportError, ValueError):
            raise DaemonUnreachable(
                f"no daemon answers at {self.address}; {_START}"
            ) from None
        return dict(_read(answer))

    def follow(
        self, run_id: str | None = None, *, after: int = 0
    ) -> AbstractAsyncContextManager[EventStream]:
        """The log from a position on, and what comes; of one run, until it has ended."""
        return open_stream(self.address, run_id, after=after)

    async def _object(self, method: str, *parts: str, **options: Any) -> dict[str, Any]:
        return dict(await self.request(method, *parts, **options))


@asynccontextmanager
async def open_client(address: Address) -> AsyncIterator[Client]:
    """Requests to the daemon at `address`; nothing is sent before the first one."""
    # Imported late: a command that asks nothing does without.
    from penstock.outgoing import daemon_client

    async with daemon_client(address, ANSWER_SECONDS) as http:
        yield Client(address, http)


def _read(answer: httpx.Response) -> Any:
    try:
        document = answer.json() if answer.content else None
    except ValueError:
        document = None
    if answer.is_success:
        return document
    raise error_of(answer.status_code, document, answer.headers.get("Retry-After"))
