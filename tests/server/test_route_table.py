"""Which route a request is for, by its method and its path alone."""

from __future__ import annotations

import pytest

from penstock.server.app import RouteTable
from penstock.server.http_answer import HttpRefused
from penstock.server.routes import ROUTES

TABLE = RouteTable(ROUTES)


def test_every_route_is_found_by_its_own_path() -> None:
    """API-07: and its places have the names that its handler knows."""
    for route in ROUTES:
        path = route.path.replace("{run_id}", "r").replace("{name}", "n")
        found, places = TABLE.find(route.method, path)
        assert found is route
        given = {"run_id": "r", "name": "n"}
        assert places == {k: v for k, v in given.items() if f"{{{k}}}" in route.path}


@pytest.mark.parametrize(
    "path",
    ["", "/", "runs", "//runs", "/runs/", "/RUNS", "/runs//why", "/runs/r/why/x"],
)
def test_a_path_is_what_it_is(path: str) -> None:
    """API-07: no tidier path stands for it, and a place is not empty."""
    with pytest.raises(HttpRefused) as refused:
        TABLE.find("GET", path)
    assert refused.value.status == 404


@pytest.mark.parametrize(
    ("path", "allowed"),
    [("/runs", "GET, HEAD, OPTIONS, POST"), ("/runs/r/cancel", "OPTIONS, POST")],
)
def test_who_asks_with_a_wrong_method_is_told_the_right_ones(
    path: str, allowed: str
) -> None:
    """API-07: of all routes on that path."""
    with pytest.raises(HttpRefused) as refused:
        TABLE.find("DELETE", path)
    assert (refused.value.status, refused.value.headers) == (405, {"Allow": allowed})


def test_what_can_be_got_can_be_asked_for_its_head() -> None:
    """API-07: by the same route."""
    route, _ = TABLE.find("HEAD", "/runs/r")
    assert route.name == "get_run"
