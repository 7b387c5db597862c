"""Looking at a dashboard under test: its text, and waiting for what it should show."""

from __future__ import annotations

import asyncio
import difflib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

from textual.pilot import Pilot

from penstock.words.address import Address
from penstock_tui.app import Dashboard
from penstock_tui.monitor import utc_now
from penstock_tui.screens.overview import Overview
from penstock_tui.settings import Settings

#: Seconds for something to appear.
PATIENCE = 60.0


@asynccontextmanager
async def dashboard(
    address: Address | None = None,
    *,
    size: tuple[int, int] = (120, 40),
    now: Callable[[], datetime] = utc_now,
    **options: Any,
) -> AsyncIterator[tuple[Dashboard, Pilot[None]]]:
    """The app under a pilot. It runs until the block ends, or until it quits."""
    find = (lambda: address) if address is not None else None
    app = Dashboard(find=find, now=now, **{"settings": Settings(), **options})
    app.animation_level = "none"
    async with app.run_test(size=size, notifications=True) as pilot:
        yield app, pilot


def text_of(app: Dashboard) -> str:
    """The screen as plain lines."""
    strips = app.screen._compositor.render_strips()
    return "\n".join(strip.text.rstrip() for strip in strips)


async def until(what: Callable[[], object], app: Dashboard | None = None) -> None:
    """Wait until something is true; the screen is part of the failure."""
    try:
        async with asyncio.timeout(PATIENCE):
            while not what():  # noqa: ASYNC110 (a screen tells nobody that it was drawn)
                await asyncio.sleep(0.02)
    except TimeoutError:
        shown = text_of(app) if app is not None and app.is_running else ""
        raise AssertionError(f"it did not become true\n{shown}") from None


async def shows(app: Dashboard, text: str) -> None:
    """Wait until the text stands on the screen."""
    await until(lambda: text in text_of(app), app)


async def stands_first(app: Dashboard, run_id: str) -> None:
    """Wait until the overview has this run on top: the table is put in order a few times a second."""

    def first() -> bool:
        screen = app.screen
        return isinstance(screen, Overview) and screen.table.selected == run_id

    await until(first, app)


async def looks(app: Dashboard, path: Path) -> None:
    """Wait until the screen is the kept picture; a missing one is written and fails once."""
    kept = _kept(path, text_of(app))
    try:
        await until(lambda: text_of(app).splitlines() == kept)
    except AssertionError:
        now = text_of(app).splitlines()
        told = difflib.unified_diff(kept, now, "kept", "now", lineterm="")
        raise AssertionError("\n".join(told)) from None


def _kept(path: Path, now: str) -> list[str]:
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(now + "\n", encoding="utf-8")
        raise AssertionError(f"{path.name} is new: look at it, then run again")
    return path.read_text(encoding="utf-8").splitlines()
