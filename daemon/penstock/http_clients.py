"""Asking others over HTTP: every client of ours is made here, and answers are read up to a limit.

Loopback is never asked through a proxy; which way another address goes is chosen per request.
"""

from __future__ import annotations

import ssl
from collections.abc import (
    AsyncIterable,
    AsyncIterator,
    Awaitable,
    Callable,
    Mapping,
)
from typing import Any
from urllib.parse import urlsplit
from urllib.request import proxy_bypass_environment  # type: ignore[attr-defined]

import httpx
import trio

from penstock.words.address import Address, is_loopback

#: Seconds to wait for the end of a body that nobody wants more of.
LONGEST_DRAIN = 0.2


async def each_piece(
    response: httpx.Response,
    on_piece: Callable[[bytes], Awaitable[bool]],
    drain: float = LONGEST_DRAIN,
    *,
    raw: bool = False,
) -> bool:
    """Hand over the body as it arrives until `on_piece` has enough; whether it had.

    `drain` is the seconds that the rest may take to come, unkept. `raw`: packed as it came.
    """
    pieces = response.aiter_raw() if raw else response.aiter_bytes()
    try:
        async for piece in pieces:
            if await on_piece(piece):
                break
        else:
            return False
        # A body read to its end leaves the connection fit for the next request.
        with trio.move_on_after(drain):
            async for _ in pieces:
                pass
        return True
    finally:
        # Below this iterator stand others that nobody closes. A read that is cancelled at once
        # ends them all, and leaves none to the collector.
        with trio.move_on_after(0, shield=True):
            async for _ in pieces:
                pass


async def read_bounded(
    response: httpx.Response,
    limit: int,
    drain: float = LONGEST_DRAIN,
    *,
    raw: bool = False,
) -> bytes:
    """The first `limit` bytes of a body; more is not kept, and read only while it may `drain`."""
    body = bytearray()

    async def take(piece: bytes) -> bool:
        await trio.lowlevel.checkpoint()
        body.extend(piece[: limit - len(body)])
        return len(body) >= limit

    await each_piece(response, take, drain, raw=raw)
    return bytes(body)


class Streamed(httpx.AsyncByteStream):
    """A body that is sent as it comes; `streamed` makes it that of a request.

    httpx would wrap it in a generator, which nobody closes when the sending is cut off.
    """

    def __init__(self, pieces: AsyncIterable[bytes]) -> None:
        self._pieces = pieces

    def __aiter__(self) -> AsyncIterator[bytes]:
        return aiter(self._pieces)


def streamed(
    client: httpx.AsyncClient,
    method: str,
    url: str,
    pieces: AsyncIterable[bytes],
    headers: Mapping[str, str],
    **options: Any,
) -> httpx.Request:
    """A request with these pieces as its body; its length is not known beforehand."""
    headers = {**headers, "Transfer-Encoding": "chunked"}
    request = client.build_request(method, url, headers=headers, **options)
    request.stream = Streamed(pieces)
    return request


def daemon_client(
    address: Address, patience: httpx.Timeout | float | None, **transport: Any
) -> httpx.AsyncClient:
    """Requests to one daemon, with its token; `patience` in seconds. The environment has no say."""
    # A certificate store costs 20 ms to load.
    secure = address.base.startswith("https:")
    made = httpx.AsyncHTTPTransport(
        uds=None if address.socket is None else str(address.socket),
        verify=ssl.create_default_context() if secure else False,
        trust_env=False,
        **transport,
    )
    return httpx.AsyncClient(
        transport=made,
        headers=address.authorization(),
        timeout=patience,
        trust_env=False,
    )


def world_client(
    environ: Mapping[str, str],
    patience: httpx.Timeout | None,
    most_connections: int,
) -> httpx.AsyncClient:
    """Requests to model servers and hooks, by the proxies that `environ` names."""
    transport = Routed(environ, httpx.Limits(max_connections=most_connections))
    return httpx.AsyncClient(transport=transport, timeout=patience, trust_env=False)


def proxy_of(url: str, environ: Mapping[str, str]) -> tuple[str, str] | None:
    """The variable that names the proxy to this address, and its value; None: it is reached directly."""
    parts = urlsplit(url)
    no = environ.get("no_proxy") or environ.get("NO_PROXY") or ""
    if is_loopback(parts.hostname or "") or proxy_bypass_environment(
        parts.netloc.rpartition("@")[2], {"no": no}
    ):
        return None
    for name in (f"{parts.scheme}_proxy", "all_proxy"):
        for spelled in (name, name.upper()):
            if value := environ.get(spelled):
                return spelled, value if "://" in value else f"http://{value}"
    return None


class Routed(httpx.AsyncBaseTransport):
    """Sends each request the way its host asks for; a way is made when it is first taken."""

    def __init__(self, environ: Mapping[str, str], limits: httpx.Limits) -> None:
        self._environ = environ
        self._limits = limits
        self._ways: dict[tuple[str, bool], httpx.AsyncHTTPTransport] = {}

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        proxy = proxy_of(str(request.url), self._environ)
        # Loading certificates takes 20 ms, and plain HTTP looks at none.
        secure = request.url.scheme == "https"
        way = ("" if proxy is None else proxy[1], secure)
        if way not in self._ways:
            self._ways[way] = _make_way(proxy, self._limits, secure=secure)
        return await self._ways[way].handle_async_request(request)

    async def aclose(self) -> None:
        for transport in self._ways.values():
            await transport.aclose()


def _make_way(
    proxy: tuple[str, str] | None, limits: httpx.Limits, *, secure: bool
) -> httpx.AsyncHTTPTransport:
    """ConnectError says why a proxy cannot be used, and nothing of its address: that holds a password."""
    if proxy is None:
        return httpx.AsyncHTTPTransport(verify=secure, limits=limits)
    name, address = proxy
    try:
        return httpx.AsyncHTTPTransport(
            verify=secure, limits=limits, proxy=httpx.Proxy(address)
        )
    except ImportError:
        why = (
            f"{name} names a SOCKS proxy for it, which takes the package socksio;"
            " install that, or name the host in NO_PROXY"
        )
    except (ValueError, httpx.InvalidURL):
        why = f"{name} does not name a proxy that can be used for it"
    raise httpx.ConnectError(why)
