"""Addresses in answers lead back to the daemon, whatever stands between it and its clients."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from fakes.house import open_house
from penstock.server.guard import RequestHead
from penstock.server.public_address import make_public_address
from penstock.words.config import Config

LOCAL = "http://localhost"
PROXIED = [
    (b"host", b"127.0.0.1:9876"),
    (b"x-forwarded-proto", b"https"),
    (b"x-forwarded-host", b"box.example:8443"),
    (b"x-forwarded-prefix", b"/penstock/"),
]


def base(
    headers: list[tuple[bytes, bytes]], peer: str | None = "127.0.0.1", **config: Any
) -> str:
    request_head = RequestHead("GET", "/runs", b"", headers, ("127.0.0.1", 9876))
    address = make_public_address(Config(**config), LOCAL)
    return address.base_of(request_head, peer)


def test_a_trusted_proxy_says_how_its_clients_address_the_daemon() -> None:
    """API-03"""
    trusted: dict[str, Any] = {"trusted_proxies": ("127.0.0.1", "10.0.0.0/8")}
    assert base(PROXIED, **trusted) == "https://box.example:8443/penstock"
    assert base(PROXIED, "::ffff:10.1.2.3", **trusted).startswith("https://")
    standard = (b"forwarded", b'for=9.9.9.9;proto=http, proto=https;host="[::1]:8443"')
    host = (b"host", b"127.0.0.1:9876")
    assert base([host, standard], **trusted) == "https://[::1]:8443"
    nearest = (b"x-forwarded-proto", b"http, https")
    assert base([host, nearest], **trusted) == "https://127.0.0.1:9876"
    for bad in (b"javascript", b""):
        odd = [host, (b"x-forwarded-proto", bad)]
        assert base(odd, **trusted) == "http://127.0.0.1:9876"
    for name, bad in ((b"x-forwarded-host", b"a/b"), (b"x-forwarded-prefix", b"//e.example")):  # fmt: skip
        assert base([host, (name, bad)], **trusted) == "http://127.0.0.1:9876"


def test_nobody_else_is_believed() -> None:
    """API-03"""
    assert base(PROXIED) == "http://127.0.0.1:9876"
    for peer in ("192.0.2.1", "::1", None, "nonsense"):
        told = base(PROXIED, peer, trusted_proxies=("127.0.0.1",))
        assert told == "http://127.0.0.1:9876"


def test_what_is_configured_wins_but_for_who_came_by_the_socket() -> None:
    """API-03"""
    public = "https://box.example/penstock"
    assert base(PROXIED, public_url=f"{public}/") == public
    request_head = RequestHead("GET", "/runs", b"", PROXIED, None)
    address = make_public_address(Config(public_url=public), LOCAL)
    assert address.base_of(request_head, None) == LOCAL


@pytest.mark.parametrize("url", ["box", "ftp://box", "https://a@box", "https://box?x"])
def test_what_is_no_address_is_refused_at_the_start(url: str) -> None:
    with pytest.raises(ValidationError):
        Config(public_url=url)
    with pytest.raises(ValidationError):
        Config(trusted_proxies=("10.0.0.0/99",))


@pytest.mark.sockets
async def test_every_address_of_an_answer_is_that_of_the_proxy() -> None:
    """API-03, API-04, HO-04: its host is allowed without being named again."""
    public = "https://box.example/penstock"
    async with open_house(public_url=public) as house, house.http() as client:
        client.headers["Host"] = "box.example"
        answer = await client.post("/runs", json={"kind": "echo", "run_id": "a b"})
        assert answer.headers["location"] == "/penstock/runs/a%20b"
        told = answer.json()["websocket_url"]
        assert told == "wss://box.example/penstock/ws/a%20b"
        document = (await client.get("/openapi.json")).json()
        assert document["servers"][0]["url"] == public
