"""One picture of the dashboard as an SVG file, drawn without a terminal."""

from __future__ import annotations

import asyncio
from pathlib import Path

from penstock.words.errors import NotFound, PenstockError, Refused
from penstock.words.plain_files import reason_of
from penstock_tui.app import Dashboard

#: Seconds to wait for the daemon's runs before the picture is taken as it is.
PATIENCE = 5.0
#: Seconds for the panels that are asked for now and then.
SETTLE = 1.5


def size_of(text: str) -> tuple[int, int]:
    """Columns and rows from `120x40`. Refused if it is not that."""
    width, _, height = text.partition("x")
    if not (
        width.isdecimal()
        and height.isdecimal()
        and 20 <= int(width) <= 400
        and 5 <= int(height) <= 200
    ):
        raise Refused("size", f"{text!r} is not WIDTHxHEIGHT, as 120x40")
    return int(width), int(height)


def take_picture(
    app: Dashboard, path: Path, size: tuple[int, int], *, run_id: str | None = None
) -> None:
    """Draw once and write the file. Refused for a folder that is not there, or a run nobody knows."""
    if not path.parent.is_dir():
        raise Refused("--screenshot", f"there is no folder {path.parent}")

    async def draw() -> None:
        async with app.run_test(size=size, headless=True) as pilot:
            await _settle(app)
            if run_id is not None:
                app.open_run(await _find(app, run_id))
                await pilot.pause(SETTLE)
            app.redraw()
            await pilot.pause()
            drawn.append(app.export_screenshot(title="penstock"))

    drawn: list[str] = []
    asyncio.run(draw())
    try:
        path.write_text(drawn[0], encoding="utf-8")
    except OSError as error:
        raise Refused("--screenshot", f"{path}: {reason_of(error)}") from None


async def _find(app: Dashboard, run_id: str) -> str:
    """The run's id; the word itself where nobody can be asked about it."""
    try:
        return await app.monitor.find_run(run_id)
    except NotFound:
        raise Refused("--run", f"there is no run {run_id}") from None
    except PenstockError:
        return run_id


async def _settle(app: Dashboard) -> None:
    if app.monitor.replay is not None:
        return
    try:
        async with asyncio.timeout(PATIENCE):
            while app.model.phase != "live":  # noqa: ASYNC110 (the model is plain and tells nobody)
                await asyncio.sleep(0.05)
    except TimeoutError:
        return
    await asyncio.sleep(SETTLE)
