"""TU-04: the dashboard in a browser, where textual-serve draws it: it starts, shows what it does in a terminal, and hears keys."""

from __future__ import annotations

import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import trio

from fakes.browser import CHROMIUM, open_browser
from fakes.tui_processes import DaemonProcess

pytestmark = [
    pytest.mark.slow,
    pytest.mark.processes,
    pytest.mark.sockets,
    pytest.mark.skipif(CHROMIUM is None, reason="no chromium here"),
]

#: Seconds for the server of terminals to listen.
PATIENCE = 60.0


@pytest.fixture
def served(busy: DaemonProcess, free_port: int, tmp_path: Path) -> Iterator[str]:
    """Where a browser finds the dashboard."""
    pytest.importorskip("textual_serve", reason="no textual-serve here")
    words = [sys.executable, "-m", "penstock_tui.main", "--url", busy.address.base]
    program = (
        "from textual_serve.server import Server;"
        f" Server({shlex.join(words)!r}, host='127.0.0.1', port={free_port}).serve()"
    )
    with (tmp_path / "served.log").open("wb") as log:
        server = subprocess.Popen(
            [sys.executable, "-c", program], stdout=log, stderr=log, cwd=tmp_path
        )
        try:
            yield f"http://127.0.0.1:{free_port}"
        finally:
            server.terminate()
            server.wait(PATIENCE)


async def wait_listening(url: str) -> None:
    """Until something answers there."""
    port = int(url.rpartition(":")[2])
    with trio.fail_after(PATIENCE):
        while True:
            try:
                stream = await trio.open_tcp_stream("127.0.0.1", port)
            except OSError:
                await trio.sleep(0.1)
            else:
                await stream.aclose()
                return


@pytest.mark.parametrize(("width", "height"), [(1200, 800), (420, 700)])
async def test_it_starts_in_a_browser_and_hears_keys(
    served: str, tmp_path: Path, width: int, height: int
) -> None:
    """On a desk's screen, and on a phone's, which has some 46 columns."""
    await wait_listening(served)
    async with open_browser(tmp_path / "profile") as browser:
        page = await browser.open(
            f"{served}/?fontsize=15", width=width, height=height, hear=True
        )
        await page.hears("NEEDS YOU")
        await page.hears("RUNNING")
        assert b"too small" not in browser.heard[page.session]
        page.forget()
        await page.click(".xterm")
        await page.type("?")
        await page.hears("esc back")
