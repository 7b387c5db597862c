"""The page of the daemon's own, as a client of HTTP finds it: who is let in, for how long, and to what."""

from __future__ import annotations

import json

import httpx
import pytest
import trio
from trio.testing import MockClock
from trio_websocket import open_websocket_url

from fakes.house import TOKEN, open_house
from penstock.server.guard import Guard, RequestHead
from penstock.server.routes import ROUTES
from penstock.server.web.page_codes import PageCodes
from penstock.server.web.page_files import PAGE_PATHS
from penstock.server.web.page_keys import PageKeys, page_may_ask
from penstock.words.errors import Unauthorised

#: What the page asks for, by the names of routes.
ASKED = {
    "list_runs", "get_run", "run_output", "run_events", "why", "whys", "cancel", "answer", "list_asks", "queue", "dismissals", "boxes",
}  # fmt: skip


def test_a_page_may_look_answer_and_cancel_and_nothing_else() -> None:
    """API-08: of the whole table; what starts, types, or takes an output away from its client is not in it."""
    for route in ROUTES:
        path = route.path.replace("{run_id}", "r").replace("{name}", "a")
        may = page_may_ask(route.method, path)
        assert may == (route.name in ASKED), path
    for path in ("/ws", "/ws/r"):
        assert page_may_ask("GET", path)
    for method, path in (("GET", "/ws/r/terminal"), ("POST", "/mcp"), ("GET", "/mcp")):
        assert not page_may_ask(method, path)


def test_the_key_of_a_page_ends_by_itself_and_with_the_token() -> None:
    """API-08"""
    times = [1000.0]
    keys = PageKeys("secret", 60.0, now=lambda: times[0])
    key = keys.make()
    assert keys.admits(key, "GET", "/runs")
    assert not keys.admits(key, "POST", "/runs")
    assert not PageKeys("other", 60.0, now=lambda: times[0]).admits(key, "GET", "/runs")
    for wrong in ("", key[:-1] + ("0" if key[-1] != "0" else "1"), key + "0", "page.9"):
        assert not keys.admits(wrong, "GET", "/runs")
    # A longer time cannot be written into it.
    assert not keys.admits(key.replace("1060", "1061"), "GET", "/runs")
    times[0] += 60.0
    assert not keys.admits(key, "GET", "/runs")


@pytest.mark.parametrize("seconds", [0.5, 1.0, 1e9, 1e13])
def test_a_key_is_good_however_short_or_long_its_time_is(seconds: float) -> None:
    """API-08: of every time that the setting `web_key_seconds` takes."""
    times = [1000.1]
    keys = PageKeys("secret", seconds, now=lambda: times[0])
    key = keys.make()
    assert keys.admits(key, "GET", "/runs")
    times[0] += seconds + 1
    assert not keys.admits(key, "GET", "/runs")


async def test_a_code_is_good_once_and_for_a_moment(autojump_clock: MockClock) -> None:
    """DU-07 API-08: and there are never more than a few of them."""
    codes = PageCodes(seconds=60.0, most=2)
    first, second = codes.make(), codes.make()
    codes.use(first)
    with pytest.raises(Unauthorised):
        codes.use(first)
    third, fourth = codes.make(), codes.make()
    with pytest.raises(Unauthorised):
        codes.use(second)
    codes.use(third)
    autojump_clock.jump(60.0)
    with pytest.raises(Unauthorised):
        codes.use(fourth)


def _head(origin: str, host: str, local: tuple[str, int] | None) -> RequestHead:
    headers = [
        (b"host", host.encode()),
        (b"origin", origin.encode()),
        (b"authorization", b"Bearer t"),
    ]
    return RequestHead("GET", "/runs", b"", headers, local)


@pytest.mark.parametrize(
    ("origin", "host", "web", "let_in"),
    [
        ("http://127.0.0.1:9876", "127.0.0.1:9876", True, True),
        ("http://localhost:9876", "localhost:9876", True, True),
        ("https://board.example", "board.example", True, True),
        ("http://127.0.0.1:9876", "127.0.0.1:9876", False, False),
        ("http://localhost:9876", "127.0.0.1:9876", True, False),
        ("http://127.0.0.1:9877", "127.0.0.1:9876", True, False),
        ("https://127.0.0.1:9876", "127.0.0.1:9876", True, False),
        ("http://evil.example:9876", "evil.example:9876", True, False),
        ("null", "127.0.0.1:9876", True, False),
    ],
)
def test_only_a_page_that_came_by_this_address_is_our_own(
    origin: str, host: str, web: bool, let_in: bool
) -> None:
    """DU-07 API-08"""
    guard = Guard(
        token="t",
        web=web,
        allowed_hosts=frozenset({"board.example"}),
        own_origins=frozenset({"https://board.example"}),
    )
    refusal = guard.judge(_head(origin, host, ("127.0.0.1", 9876)))
    assert (refusal is None) is let_in


@pytest.mark.sockets
async def test_a_browser_is_let_in_by_a_code_and_has_the_token_never() -> None:
    """API-08: the key opens the list and the stream, and no run can be started by it."""
    async with open_house() as house, house.http() as owner:
        told = (await owner.post("/web/codes")).json()
        base, _, code = told["url"].partition("/web/#code=")
        assert base == house.base
        assert told["seconds"] == 60.0
        own = {"Origin": house.base}
        async with httpx.AsyncClient(base_url=house.base, headers=own) as page:
            assert (await page.post("/web/keys")).status_code == 401
            shown = {"Penstock-Code": code}
            foreign = shown | {"Origin": "http://evil.example"}
            assert (await page.post("/web/keys", headers=foreign)).status_code == 403
            let_in = await page.post("/web/keys", headers=shown)
            assert let_in.status_code == 201
            again = await page.post("/web/keys", headers=shown)
            assert again.status_code == 401
            key = let_in.json()["key"]
            assert TOKEN not in key
            page.headers["Authorization"] = f"Bearer {key}"
            assert (await page.get("/runs")).status_code == 200
            body = {"kind": "echo", "inputs": {"text": "x"}}
            assert (await page.post("/runs", json=body)).status_code == 401
            assert (await page.post("/web/codes")).status_code == 401
            url = f"ws{house.base.removeprefix('http')}/ws"
            headers = [(b"Origin", house.base.encode())]
            async with open_websocket_url(url, extra_headers=headers) as stream:
                await stream.send_message(json.dumps({"type": "open", "token": key}))
                assert json.loads(await stream.get_message())["type"] == "hello"


@pytest.mark.sockets
@pytest.mark.parametrize(
    ("path", "form"),
    [
        ("/runs/a/events", "application/x-ndjson"),
        ("/runs/a/events", "text/event-stream"),
    ],
)
async def test_a_stream_that_a_key_has_opened_ends_with_it(
    path: str, form: str
) -> None:
    """API-08"""
    async with open_house(web_key_seconds=1.0) as house, house.http() as owner:
        run = {"kind": "sleep", "inputs": {"seconds": 1000.0}, "run_id": "a"}
        assert (await owner.post("/runs", json=run)).status_code == 202
        key = PageKeys(TOKEN, 1.0).make()
        headers = {"Authorization": f"Bearer {key}", "Accept": form}
        with trio.fail_after(30):
            assert (await owner.get(path, headers=headers)).status_code == 200


@pytest.mark.sockets
async def test_an_output_is_broken_off_with_the_key_that_has_opened_it() -> None:
    """API-08 PT-04: which has no place to say why, and must not look whole."""
    async with open_house(web_key_seconds=1.0) as house, house.http() as owner:
        run = {"kind": "sleep", "inputs": {"seconds": 1000.0}, "run_id": "a"}
        assert (await owner.post("/runs", json=run)).status_code == 202
        headers = {"Authorization": f"Bearer {PageKeys(TOKEN, 1.0).make()}"}
        with trio.fail_after(30), pytest.raises(httpx.RemoteProtocolError):
            await owner.get("/runs/a/output?follow=1", headers=headers)


@pytest.mark.sockets
async def test_the_files_of_the_page_may_talk_to_the_daemon_alone() -> None:
    """DU-07 API-08: no inline code, nobody else's files, no frame around it; nothing in them is private."""
    async with (
        open_house() as house,
        httpx.AsyncClient(base_url=house.base) as stranger,
    ):
        for path in sorted(PAGE_PATHS - {"/web/keys"}):
            got = await stranger.get(path)
            assert got.status_code == 200, path
            assert b"http:" not in got.content.replace(b"http://www.w3.org/", b"")
            assert b"https:" not in got.content
            policy = got.headers["content-security-policy"]
            assert policy.startswith("default-src 'none'; script-src 'self'; ")
            assert "unsafe" not in policy
            assert "frame-ancestors 'none'" in policy
            assert (await stranger.head(path)).status_code == 200
        assert (await stranger.get("/web/../runs")).status_code in (401, 404)


@pytest.mark.sockets
async def test_a_daemon_without_a_page_has_none() -> None:
    """API-08: `web = false`: its paths are as unknown as any."""
    async with open_house(web=False) as house, house.http() as owner:
        for path in sorted(PAGE_PATHS - {"/web/keys"}):
            assert (await owner.get(path)).status_code == 404
        for path in ("/web/keys", "/web/codes"):
            assert "web" in (await owner.post(path)).json()["detail"]
        async with house.http(None) as stranger:
            assert (await stranger.get("/web/")).status_code == 401
        own = {"Origin": house.base}
        assert (await owner.get("/runs", headers=own)).status_code == 403


@pytest.mark.sockets
@pytest.mark.parametrize("path", ["/health", "/web/keys"])
async def test_a_stranger_has_no_body_read(path: str) -> None:
    """API-08: what is open to all takes nothing from them that would have to be held."""
    async with open_house() as house, house.http(None) as stranger:
        typed = {"Content-Type": "application/json"}
        for method in ("GET", "POST"):
            refused = await stranger.request(method, path, content=b"[]", headers=typed)
            assert refused.status_code == 413


@pytest.mark.sockets
async def test_where_no_token_is_asked_for_the_page_needs_none() -> None:
    """API-08"""
    async with open_house(auth=False) as house, house.http(None) as page:
        code = (await page.post("/web/codes")).json()["url"].rpartition("=")[2]
        let_in = await page.post("/web/keys", headers={"Penstock-Code": code})
        assert let_in.json() == {"key": None}
