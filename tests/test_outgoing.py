"""API-08, CL: what goes to this box takes no proxy, and no proxy breaks who never needs it."""

from __future__ import annotations

import re
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import httpx
import pytest
import trio

import penstock
import penstock_tui
from penstock.client.sync import SyncClient
from penstock.http_clients import daemon_client, proxy_of, world_client
from penstock.llm.models import open_models, probe
from penstock.words.address import Address
from penstock.words.config import Model, Models

SOCKS = {"ALL_PROXY": "socks5://user:secret@127.0.0.1:1"}
DEAD = {"HTTP_PROXY": "http://user:secret@127.0.0.1:1", "https_proxy": "127.0.0.1:1"}

PROXIES = [
    SOCKS,
    DEAD,
    {"ALL_PROXY": "no proxy at all"},
    {"all_proxy": "ftp://127.0.0.1"},
    {"HTTP_PROXY": "http://[::1"},
]


@pytest.mark.parametrize(
    ("url", "environ", "name"),
    [
        ("http://127.0.0.1:1/x", DEAD, None),
        ("http://127.8.9.1/x", DEAD, None),
        ("http://localhost:99", SOCKS, None),
        ("http://LOCALHOST./", SOCKS, None),
        ("http://[::1]:5/", SOCKS, None),
        ("http://127.0.0.1.evil.example/", DEAD, "HTTP_PROXY"),
        ("http://example.org/", DEAD, "HTTP_PROXY"),
        ("https://example.org/", DEAD, "https_proxy"),
        ("https://example.org/", SOCKS, "ALL_PROXY"),
        ("https://example.org/", {**SOCKS, "NO_PROXY": "a.b, example.org"}, None),
        ("https://u@www.example.org:5/", {**SOCKS, "no_proxy": ".example.org"}, None),
        ("https://wwwexample.org/", {**SOCKS, "no_proxy": "example.org"}, "ALL_PROXY"),
        ("https://example.org/", {**SOCKS, "NO_PROXY": "*"}, None),
        ("https://example.org/", {}, None),
    ],
)
def test_only_hosts_out_there_are_reached_by_proxies(
    url: str, environ: Mapping[str, str], name: str | None
) -> None:
    """API-08"""
    found = proxy_of(url, environ)
    assert (None if found is None else found[0]) == name


async def answer_once(listener: trio.SocketListener, body: bytes = b"{}") -> bytes:
    """Take one request, and answer it; its head."""
    stream = await listener.accept()
    async with stream:
        head = b""
        while b"\r\n\r\n" not in head:
            head += await stream.receive_some()
        await stream.send_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n" + body)
    return head


@pytest.mark.sockets
@pytest.mark.parametrize("environ", PROXIES, ids=lambda e: next(iter(e.values()))[:12])
@pytest.mark.parametrize("kind", ["world", "daemon"])
async def test_no_proxy_stands_before_this_box(
    environ: dict[str, str], kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """API-08 Not even in the way of making the client."""
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
    base = f"http://127.0.0.1:{listener.socket.getsockname()[1]}"
    with trio.fail_after(60):
        async with listener, trio.open_nursery() as nursery:
            nursery.start_soon(answer_once, listener)
            client = (
                world_client(environ, httpx.Timeout(10), 2)
                if kind == "world"
                else daemon_client(Address(base), 10)
            )
            async with client:
                assert (await client.get(f"{base}/x")).text == "{}"


@pytest.mark.sockets
@pytest.mark.parametrize("environ", PROXIES, ids=lambda e: next(iter(e.values()))[:12])
async def test_no_proxy_stands_before_the_daemon_of_a_short_command(
    environ: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """API-08 A token must not pass through one, not even on its way to another box."""
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    # As a name of another box is: no proxy knows that it is this one.
    monkeypatch.setattr(socket, "getaddrinfo", _this_box)
    (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
    port = listener.socket.getsockname()[1]
    client = SyncClient(Address(f"http://penstock.invalid:{port}", token="t"))
    with trio.fail_after(60):
        async with listener, trio.open_nursery() as nursery:
            nursery.start_soon(answer_once, listener)
            assert await trio.to_thread.run_sync(client.health) == {}


_ask_system = socket.getaddrinfo


def _this_box(host: str, port: int, *rest: Any, **named: Any) -> Any:
    return _ask_system("127.0.0.1", port, *rest, **named)


@pytest.mark.parametrize(
    ("environ", "words"),
    [
        (
            SOCKS,
            "ALL_PROXY names a SOCKS proxy for it, which takes the package socksio",
        ),
        (PROXIES[3], "all_proxy does not name a proxy"),
        (PROXIES[4], "HTTP_PROXY does not name a proxy"),
    ],
    ids=["socks", "ftp", "bracket"],
)
async def test_a_proxy_that_cannot_be_used_is_one_sentence(
    environ: dict[str, str], words: str
) -> None:
    """ER-02 It names the variable, and nothing of what it holds."""
    with trio.fail_after(60):
        async with world_client(environ, httpx.Timeout(10), 2) as client:
            with pytest.raises(httpx.ConnectError, match=re.escape(words)) as refused:
                await client.get("http://penstock.invalid/")
    assert "secret" not in str(refused.value)


async def test_models_say_which_proxy_keeps_them_away() -> None:
    """LM-01 A model on this box is asked; one elsewhere is told to be out of reach, and why."""
    models = Models(
        provider="ollama",
        url="http://penstock.invalid:11434",
        chain=(Model(name="a"), Model(name="b", url="http://127.0.0.1:1")),
    )
    with trio.fail_after(60):
        async with open_models(models, SOCKS) as chain:
            assert chain is not None
            told = await probe(chain)
    assert "socksio" in told["http://penstock.invalid:11434"]
    assert "socksio" not in told["http://127.0.0.1:1"]


#: What makes connections of HTTP -> where that is done. The synchronous shell speaks to the daemon
#: alone and knows no proxy, and must not import what `outgoing` is made of.
MAKERS = {
    r"httpx\.(Async)?(Client|HTTPTransport)\(|httpx\.(get|post|stream)\(|urlopen\(": {
        "penstock/http_clients.py"
    },
    r"HTTPS?Connection\(": set(),
    r"create_connection\(": {"penstock/client/sync.py"},
}


@pytest.mark.parametrize(("made", "where"), MAKERS.items())
def test_clients_are_made_in_one_place(made: str, where: set[str]) -> None:
    """API-08 Elsewhere one would follow proxies to this box, or break of them."""
    roots = [Path(p) for package in (penstock, penstock_tui) for p in package.__path__]
    makers = {
        str(path.relative_to(root.parent))
        for root in roots
        for path in root.rglob("*.py")
        if re.search(made, path.read_text())
    }
    assert makers == where
