"""What pages and other clients of HTTP find: origins that may ask, conditions, methods, what they accept."""

from __future__ import annotations

import httpx
import pytest

from fakes.house import open_house
from penstock.server.rest.events import wanted_stream

PAGE = "https://board.example"
ASKED = {
    "Origin": PAGE,
    "Access-Control-Request-Method": "POST",
    "Access-Control-Request-Headers": "authorization, content-type",
}


def cors(answer: httpx.Response) -> dict[str, str]:
    return {k: v for k, v in answer.headers.items() if k.startswith("access-control-")}


@pytest.mark.sockets
async def test_a_listed_origins_page_may_ask_and_read() -> None:
    """API-08, HO-04: its question whether it may shows no token; errors and streams can be read too."""
    async with (
        open_house(allowed_origins=(PAGE,)) as house,
        httpx.AsyncClient(base_url=house.base) as page,
    ):
        asked = await page.request("OPTIONS", "/runs", headers=ASKED)
        assert (asked.status_code, asked.content) == (204, b"")
        assert asked.headers["access-control-allow-origin"] == PAGE
        assert "Authorization" in asked.headers["access-control-allow-headers"]
        assert "POST" in asked.headers["access-control-allow-methods"]
        refused = await page.get("/queue", headers={"Origin": PAGE})
        assert refused.status_code == 401
        assert refused.headers["access-control-allow-origin"] == PAGE
        async with house.http() as client:
            told = await client.get("/queue", headers={"Origin": PAGE})
            assert told.status_code == 200
            assert told.headers["access-control-allow-origin"] == PAGE
            assert told.headers["vary"] == "Origin"
            assert "Location" in told.headers["access-control-expose-headers"]
            await house.start("r")
            await house.end("r")
            form = {"Origin": PAGE, "Accept": "text/event-stream"}
            stream = await client.get("/runs/r/events", headers=form)
            assert stream.headers["access-control-allow-origin"] == PAGE
            assert not cors(await client.get("/queue"))


@pytest.mark.sockets
async def test_nobody_elses_page_may() -> None:
    """API-08: neither where none is listed, nor where another one is."""
    for listed in ((), ("https://other.example",)):
        async with (
            open_house(allowed_origins=listed) as house,
            httpx.AsyncClient(base_url=house.base) as page,
        ):
            for method in ("OPTIONS", "GET"):
                refused = await page.request(method, "/runs", headers=ASKED)
                assert refused.status_code == 403
                assert not cors(refused)


@pytest.mark.sockets
async def test_a_preflight_passes_the_guard_of_hosts() -> None:
    """API-08: a rebound name is not ours, whatever page asks."""
    async with (
        open_house(allowed_origins=(PAGE,)) as house,
        httpx.AsyncClient(base_url=house.base) as page,
    ):
        headers = ASKED | {"Host": "evil.example"}
        refused = await page.request("OPTIONS", "/runs", headers=headers)
        assert refused.status_code == 403


@pytest.mark.sockets
async def test_a_browser_that_has_an_ended_run_whole_stops_asking() -> None:
    """API-09: it connects again by itself whenever a stream ends, until it is answered 204."""
    form = {"Accept": "text/event-stream"}
    async with open_house() as house, house.http() as client:
        await house.start("r")
        last = (await house.end("r")).position
        for position, status in ((last, 204), (last + 7, 200), (last - 1, 200)):
            headers = form | {"Last-Event-ID": str(position)}
            answer = await client.get("/runs/r/events", headers=headers)
            assert answer.status_code == status
        assert b"run.completed" in answer.content
        # Who says by `after` where it is has asked once, and gets a stream that ends.
        answer = await client.get(f"/runs/r/events?after={last}", headers=form)
        assert (answer.status_code, answer.content) == (200, b"")


@pytest.mark.parametrize(
    ("accept", "form"),
    [
        ("text/event-stream;q=0", None),
        ("text/event-stream;q=0, application/x-ndjson", "application/x-ndjson"),
        ("text/event-stream; q=0.000, */*", None),
        ("application/json;q=0.5, text/event-stream", "text/event-stream"),
        ("text/event-stream;q=0.1, application/json;q=0.2", None),
        ("application/json;q=0, text/event-stream;q=0.2", "text/event-stream"),
        ("text/event-stream, application/x-ndjson", "text/event-stream"),
        ("application/x-ndjson;q=nonsense", "application/x-ndjson"),
        ("", None),
    ],
)
def test_what_is_not_accepted_is_not_sent(accept: str, form: str | None) -> None:
    """API-09"""
    assert wanted_stream(accept) == form


@pytest.mark.sockets
async def test_a_run_that_is_as_it_was_is_not_sent_again() -> None:
    """API-05"""
    async with open_house() as house, house.http() as client:
        await house.start("r")
        first = await client.get("/runs/r")
        tag = first.headers["etag"]
        for known in (tag, f"W/{tag}", f'"other", {tag}'):
            again = await client.get("/runs/r", headers={"If-None-Match": known})
            assert (again.status_code, again.content) == (304, b"")
            assert again.headers["etag"] == tag
            assert "content-type" not in again.headers
        await house.end("r")
        changed = await client.get("/runs/r", headers={"If-None-Match": tag})
        assert changed.status_code == 200
        assert changed.headers["etag"] != tag


@pytest.mark.sockets
async def test_methods_are_told_and_heads_are_those_of_get() -> None:
    """API-07"""
    async with open_house() as house, house.http() as client:
        await house.start("r")
        told = await client.request("OPTIONS", "/runs/r")
        assert (told.status_code, told.content) == (204, b"")
        assert told.headers["allow"] == "GET, HEAD, OPTIONS"
        assert (await client.delete("/runs/r")).status_code == 405
        head, got = await client.head("/runs/r"), await client.get("/runs/r")
        assert (head.status_code, head.content) == (200, b"")
        for name in ("etag", "content-type", "content-length"):
            assert head.headers[name] == got.headers[name]
        assert (await client.request("OPTIONS", "/nowhere")).status_code == 404
