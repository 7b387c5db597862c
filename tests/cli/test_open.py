"""`penstock open`: the address that lets one browser in, and how a browser is started with it."""

from __future__ import annotations

import json
import webbrowser

import httpx
import pytest

from fakes.house_beside import HouseBeside
from fakes.penstock_command import Penstock

pytestmark = pytest.mark.sockets


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The addresses that browsers were started with."""
    urls: list[str] = []

    def start(url: str) -> bool:
        urls.append(url)
        return True

    monkeypatch.setattr(webbrowser, "open", start)
    for name in ("BROWSER", "DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    return urls


def test_a_browser_is_started_with_an_address_that_lets_it_in(
    penstock: Penstock,
    daemon: HouseBeside,
    opened: list[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """TU-01: once; and for one run, if it is named."""
    monkeypatch.setenv("DISPLAY", ":0")
    done = penstock("open")
    assert (done.exit_code, done.stdout) == (0, "")
    [url] = opened
    base, _, code = url.partition("/web/#code=")
    for status in (201, 401):
        used = httpx.post(f"{base}/web/keys", headers={"Penstock-Code": code})
        assert used.status_code == status


def test_where_there_is_no_browser_the_address_is_told(
    penstock: Penstock, daemon: HouseBeside, opened: list[str]
) -> None:
    """TU-01: alone on stdout; how long it is good, beside."""
    done = penstock("open")
    assert "/web/#code=" in done.stdout
    assert "60 s" in done.stderr
    run_id = json.loads(penstock("submit", "--json", "echo", "x").stdout)["run_id"]
    named = penstock("open", "@last", "--json")
    assert json.loads(named.stdout)["url"].endswith(f"&run={run_id}")
    assert penstock("open", "nothing-of-the-sort").exit_code == 3
    assert opened == []
