"""Every HTTP client of the product is made here, so that all treat proxies and answers alike.

Proxies of the environment are for hosts out there: what goes to this box goes there directly, and
no proxy, however it is written, can break a daemon that never needs it. httpx by itself builds all
proxies with the client, and fails there for one that it cannot speak to.

This imports httpx, which takes a moment: whoever may do without imports it late.
"""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit
from urllib.request import proxy_bypass_environment  # type: ignore[attr-defined]

import httpx

from penstock.words.address import Address, is_loopback


def daemon_client(
    address: Address, patience: httpx.Timeout | float | None, **transport: Any
) -> httpx.AsyncClient:
    """Requests to one daemon, with its token; `patience` in seconds. The environment has no say."""
    headers = {"Authorization": f"Bearer {address.token}"} if address.token else {}
    # A certificate store costs 20 ms to load.
    secure = address.base.startswith("https:")
    made = httpx.AsyncHTTPTransport(
        uds=None if address.socket is None else str(address.socket),
        verify=ssl.create_default_context() if secure else False,
        trust_env=False,
        **transport,
    )
    return httpx.AsyncClient(
        transport=made, headers=headers, timeout=patience, trust_env=False
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
