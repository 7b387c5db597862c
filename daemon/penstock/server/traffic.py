"""How requests over HTTP are counted: by the route that they asked for, not by their path."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from typing import Any, Protocol

from penstock.server.asgi import ASGI, Receive, Scope, Send
from penstock.server.routes import ROUTES
from penstock.server.web.page_files import PAGE_ROUTES

#: What asks for no route of ours has one name, so that nobody can make names without end.
OTHER = "other"
METHODS = frozenset({"GET", "HEAD", "POST", "DELETE", "OPTIONS"})


class CountRequest(Protocol):
    """Takes a request that was answered, with the seconds until its answer began."""

    def __call__(
        self, method: str, route: str, status: int, seconds: float, /
    ) -> None: ...


def count_nothing(_method: str, _route: str, _status: int, _seconds: float) -> None:
    """For a server that nobody asks for numbers."""


def make_route_of() -> Callable[[str], str]:
    """A function from a path, as it was sent, to the path of its route with its `{names}`."""
    paths = ["/mcp", *dict.fromkeys(route.path for route in (*ROUTES, *PAGE_ROUTES))]
    forms = (re.sub(r"{\w+}", "[^/]+", path) for path in paths)
    known = re.compile("|".join(f"({form}/?)" for form in forms))

    def route_of(path: str) -> str:
        found = known.fullmatch(path)
        return OTHER if found is None else paths[(found.lastindex or 1) - 1]

    return route_of


def counted(
    app: ASGI, count: CountRequest, now: Callable[[], float] = time.monotonic
) -> ASGI:
    """`app`, whose answers are counted as they begin: refusals of the guard too."""
    route_of = make_route_of()

    async def entrance(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await app(scope, receive, send)
            return
        began = now()
        route = route_of(scope["raw_path"].decode("ascii", "replace"))
        method = scope["method"] if scope["method"] in METHODS else OTHER

        async def told(message: dict[str, Any]) -> None:
            if message["type"] == "http.response.start":
                count(method, route, message["status"], now() - began)
            await send(message)

        await app(scope, receive, told)

    return entrance
