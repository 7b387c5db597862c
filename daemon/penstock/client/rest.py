"""Requests to a daemon over TCP or its Unix socket, on whichever event loop runs: Trio or asyncio."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from penstock.client.requests import (
    ANSWER_SECONDS,
    CONNECT_SECONDS,
    LARGEST_ANSWER,
    Calls,
    OnServer,
    Request,
    broken,
    not_there,
    read_answer,
    silent,
    unheard,
)
from penstock.words.address import Address

if TYPE_CHECKING:
    import httpx

    from penstock.client.stream import EventStream


@dataclass(frozen=True, slots=True)
class Client(Calls[Awaitable[dict[str, Any]]]):
    """A daemon to ask: every method of `Calls` is to be awaited."""

    address: Address
    _http: httpx.AsyncClient
    #: Seconds for an answer, and for one that waits for something to happen; None: no limit.
    answer_seconds: float = ANSWER_SECONDS
    patient_seconds: float | None = None
    on_server: OnServer = unheard

    async def send(self, request: Request) -> dict[str, Any]:
        """See `Calls`."""
        import httpx

        seconds = self.patient_seconds if request.patient else self.answer_seconds
        limits = httpx.Timeout(seconds, connect=CONNECT_SECONDS)
        try:
            answer, body = await self._receive(self._made(request, limits))
        except (httpx.ConnectError, httpx.ConnectTimeout):
            raise not_there(self.address) from None
        except httpx.TimeoutException:
            raise silent(self.address) from None
        except httpx.RequestError as error:
            raise broken(self.address, error) from None
        self.on_server(answer.headers.get("Server"))
        retry_after = answer.headers.get("Retry-After")
        document: dict[str, Any] = read_answer(
            request, answer.status_code, body, retry_after
        )
        return document

    async def _receive(self, request: httpx.Request) -> tuple[httpx.Response, bytes]:
        """The answer, read whole. httpx.RequestError, also for one that is larger than any of ours."""
        import httpx

        answer = await self._http.send(request, stream=True)
        body = bytearray()
        try:
            pieces = answer.aiter_bytes()
            async for piece in pieces:
                body += piece
                if len(body) > LARGEST_ANSWER:
                    why = f"its answer has more than {LARGEST_ANSWER} bytes"
                    await answer.aclose()
                    # Below this iterator stand others that nobody closes; a read that fails ends them.
                    with suppress(httpx.HTTPError, httpx.StreamError):
                        async for _ in pieces:
                            pass
                    raise httpx.RequestError(why, request=request)
        finally:
            await answer.aclose()
        return answer, bytes(body)

    def _made(self, request: Request, limits: httpx.Timeout) -> httpx.Request:
        from penstock.http_clients import streamed

        url, headers = request.url(self.address), request.headers(self.address)
        if request.pieces is not None:
            return streamed(
                self._http,
                request.method,
                url,
                request.pieces,
                headers,
                timeout=limits,
            )
        return self._http.build_request(
            request.method,
            url,
            content=request.content(),
            headers=headers,
            timeout=limits,
        )

    def follow(
        self, run_id: str | None = None, *, after: int = 0
    ) -> AbstractAsyncContextManager[EventStream]:
        """The log from a position on, and what comes; of one run, until it has ended. Only on Trio."""
        # Late, as httpx is: the models of events take 0.2 s of CPU to import.
        from penstock.client.stream import open_stream

        return open_stream(self.address, run_id, after=after)


@asynccontextmanager
async def open_client(
    address: Address, on_server: OnServer = unheard
) -> AsyncIterator[Client]:
    """Requests to the daemon at `address`; nothing is sent before the first one."""
    # Imported late: a command that asks nothing does without.
    from penstock.http_clients import daemon_client

    async with daemon_client(address, ANSWER_SECONDS) as http:
        yield Client(address, http, on_server=on_server)
