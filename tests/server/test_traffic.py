"""Requests over HTTP are counted by their route, and strangers make no names."""

from __future__ import annotations

from typing import Any

import pytest
import trio

from penstock.server.meter import Meter
from penstock.server.routes import ROUTES
from penstock.server.traffic import OTHER, counted, make_route_of
from penstock.server.web.page_files import PAGE_ROUTES


@pytest.mark.parametrize(
    ("path", "route"),
    [
        ("/runs", "/runs"),
        ("/runs/", "/runs"),
        ("/runs/r-1", "/runs/{run_id}"),
        ("/runs/a%2Fb/cancel", "/runs/{run_id}/cancel"),
        ("/mcp", "/mcp"),
        ("/mcp/", "/mcp"),
        ("/", OTHER),
        ("/runs/r/cancel/it", OTHER),
        ("/wp-admin.php", OTHER),
    ],
)
def test_a_path_is_counted_as_its_route(path: str, route: str) -> None:
    """HO-05"""
    assert make_route_of()(path) == route


def test_every_route_is_its_own() -> None:
    """HO-05: none is taken for another that comes before it."""
    route_of = make_route_of()
    for route in (*ROUTES, *PAGE_ROUTES):
        literal = route_of(route.path.replace("{", "").replace("}", ""))
        assert literal == route.path


async def test_an_answer_is_counted_when_it_begins() -> None:
    """HO-05: a stream that goes on for hours is seen at once; a method that is none has no name."""
    meter, times = Meter(), iter([10.0, 10.25, 20.0, 20.5])
    seen: list[int] = []

    async def app(scope: Any, _receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200})
        seen.append(sum(meter.requests.values()))
        await send({"type": "http.response.body", "body": b""})

    async def send(_message: Any) -> None:
        await trio.lowlevel.checkpoint()

    entrance = counted(app, meter.answered, lambda: next(times))
    for method in ("GET", "BREW"):
        scope = {"type": "http", "method": method, "raw_path": b"/runs/r/events"}
        await entrance(scope, None, send)
    assert seen == [1, 2]
    route = "/runs/{run_id}/events"
    assert dict(meter.requests) == {("GET", route, "200"): 1, (OTHER, route, "200"): 1}
    assert meter.answer_seconds[route].total == 0.75
