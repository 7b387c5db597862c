"""Requests nobody would write: each is refused by name or answered, and none breaks the daemon."""

from __future__ import annotations

import json
import random
import re
from typing import Any

import pytest

from fakes.few_numbers import some_fast
from fakes.house import open_house
from penstock.server.guard import OPEN_PATHS
from penstock.server.routes import ROUTES, Route

WORDS = (
    "", " ", "r", "echo", "MEDIUM", "-1", "0", "1", "9" * 30, "NaN", "null", "\0", "\u202e", "\U0001f600",
    "../..", "a/b", "%", "%2e", "'", '"', "<b>", "x" * 300, "label:k=v", "state:nothing", "\ud7ff",
)  # fmt: skip
NUMBERS = (0, -1, 1, 10, 2**31, 2**63, 2**70, 0.5, -0.0, 1e308)
NAMES = (
    "kind", "inputs", "priority", "run_id", "after", "group", "timeout", "labels", "on_restart",
    "reason", "answer", "text", "version", "clock", "code_hash", "prompt", "answers", "colour",
)  # fmt: skip


def value(chance: random.Random, depth: int = 0) -> Any:
    """Some JSON value, more often a wrong one."""
    kind = chance.randrange(4 if depth > 3 else 7)
    if kind < 2:
        return chance.choice(WORDS)
    if kind == 2:
        return chance.choice(NUMBERS)
    if kind == 3:
        return chance.choice((None, True, False))
    if kind == 4:
        return [value(chance, depth + 1) for _ in range(chance.randrange(4))]
    size = chance.randrange(5)
    return {chance.choice(NAMES): value(chance, depth + 1) for _ in range(size)}


def url(route: Route, chance: random.Random) -> tuple[str, dict[str, str]]:
    """An address of the route, and a query for it."""
    quoted = (
        "r",
        "%00",
        "%2F",
        "%ff",
        "%F0%9F%98%80",
        "a%0Ab",
        "x" * 300,
        "%2e%2e",
        "daemon",
    )
    path = re.sub(r"{\w+}", lambda _match: chance.choice(quoted), route.path)
    names = [*(query.name for query in route.queries), "colour"]
    query = {name: chance.choice(WORDS) for name in names if chance.random() < 0.4}
    return path, query


@pytest.mark.sockets
@pytest.mark.parametrize("seed", some_fast(range(6), 2))
async def test_no_request_breaks_the_daemon(seed: int) -> None:
    """ER-02"""
    chance = random.Random(seed)
    statuses = set()
    async with open_house() as house, house.http() as client:
        await house.start("r")
        for _ in range(120):
            route = chance.choice(ROUTES)
            path, query = url(route, chance)
            body = json.dumps(value(chance)).encode()
            if chance.random() < 0.2:
                body = body[: chance.randrange(len(body) + 1)] + bytes(
                    [chance.randrange(256)]
                )
            answer = await client.request(
                route.method, path, params=query or None,
                content=body if route.method == "POST" else None,
                headers={"Content-Type": "application/json"},
            )  # fmt: skip
            statuses.add(answer.status_code)
            assert answer.status_code != 422
            assert answer.status_code < 500 or answer.status_code == 503, (
                route,
                path,
                query,
                body,
            )
        assert (await client.get("/health")).status_code == 200
    assert {200, 400} <= statuses


@pytest.mark.sockets
async def test_no_path_answers_a_stranger() -> None:
    """API-08: the table, what is not in it, and what other rooms answer."""
    paths: list[tuple[str, str]] = [
        (route.method, re.sub(r"{\w+}", "r", route.path)) for route in ROUTES
    ]
    paths += [
        ("POST", "/mcp"),
        ("POST", "/mcp/"),
        ("GET", "/nothing"),
        ("GET", "/ws"),
        ("PUT", "/runs"),
    ]
    async with open_house() as house, house.http(None) as client:
        for method, path in paths:
            if path not in OPEN_PATHS:
                assert (await client.request(method, path)).status_code == 401, path
            foreign = await client.request(
                method, path, headers={"Host": "evil.example"}
            )
            assert foreign.status_code == 403, path
            page = await client.request(
                method, path, headers={"Origin": "http://evil.example"}
            )
            assert page.status_code == 403, path
