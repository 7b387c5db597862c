"""The page of one box in a real browser, while another box that shares its log is not heard."""

from __future__ import annotations

import signal
from collections.abc import AsyncIterator, Callable
from functools import partial
from pathlib import Path

import pytest
import trio

from fakes.browser import CHROMIUM, Browser, open_browser
from fakes.real_daemon import RealDaemon, penstock
from service.test_boxes import start_box, state_of, until

__all__ = ["start_box"]

pytestmark = [
    pytest.mark.slow,
    pytest.mark.processes,
    pytest.mark.sockets,
    pytest.mark.skipif(CHROMIUM is None, reason="no chromium here"),
]


@pytest.fixture
async def browser(tmp_path: Path) -> AsyncIterator[Browser]:
    async with open_browser(tmp_path / "profile") as browser:
        yield browser


async def said(daemon: RealDaemon, *words: str) -> str:
    """What the command line prints."""
    done = await trio.to_thread.run_sync(partial(penstock, daemon, *words))
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


async def test_the_page_says_that_the_box_of_a_run_is_not_heard(
    start_box: Callable[..., RealDaemon], browser: Browser
) -> None:
    """DU-07 MB-03: in the list and at the run, though nothing is recorded then; and no more once it is heard."""
    first, second = start_box("first"), start_box("second")
    await said(second, "submit", "--id", "r", "--", "sleep", "600")
    await trio.to_thread.run_sync(until, lambda: state_of(first, "r")[0] == "running")
    listed = await browser.open(await said(first, "open", "--print"))
    alone = await browser.open(await said(first, "open", "--print", "r"))
    await alone.shows("running")
    why = "document.getElementById('why').textContent"
    assert await alone.run(why) == ""
    second.process.send_signal(signal.SIGSTOP)
    try:
        await alone.until(f"{why}.includes('Its box second is silent for ')")
        await listed.shows("running · Its box second is silent for ")
    finally:
        second.process.send_signal(signal.SIGCONT)
    await alone.until(f"{why} === ''")
    await said(first, "cancel", "r", "--wait")
    assert browser.complaints == []
