"""Makes the pictures of the README from a scene told to a real core: python docs/make_screenshots.py

The data and the clock are frozen, so a picture changes only when the dashboard does.
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

from fakes.aio import aio
from fakes.tui_daily import minted
from fakes.tui_pilot import dashboard, until
from fakes.tui_processes import open_scene
from fakes.tui_scene import FROZEN
from penstock.words.address import Address
from penstock_tui.screens.overview import Overview
from penstock_tui.screens.run import RunScreen
from penstock_tui.settings import Settings

#: Facts a second, as a busy daemon has them.
HISTORY = [
    max(0, 57 + 30 * (n * 7 % 11 - 5) // 5 - (n % 17 == 0) * 40) for n in range(100)
]
FOLDER = Path(__file__).parent / "pictures"
TESTS = minted("tests")
#: Name, theme, size, the run under the cursor, and whether its own screen is shown.
PICTURES = (
    ("overview-dark", "penstock-dark", (120, 40), TESTS, False),
    ("overview-200x50", "penstock-dark", (200, 50), TESTS, False),
    ("overview-light", "penstock-light", (120, 40), minted("build"), False),
    ("overview-80x24", "penstock-dark", (80, 24), TESTS, False),
    ("overview-60x16", "penstock-dark", (60, 16), TESTS, False),
    ("overview-46x30", "penstock-dark", (46, 30), TESTS, False),
    ("run-dark", "penstock-dark", (120, 30), TESTS, True),
)


@aio
async def draw(
    address: Address, name: str, theme: str, size: tuple[int, int], run: str, own: bool
) -> None:
    """One picture, of a dashboard that has come to rest."""
    async with dashboard(
        address, size=size, now=lambda: FROZEN, settings=Settings(theme=theme)
    ) as (app, pilot):
        # The port is another one each time, and a picture should not be.
        app.model.history.extend(HISTORY)
        app.monitor.shown_address = "127.0.0.1:9876"
        overview = app.screen
        assert isinstance(overview, Overview)
        await until(lambda: app.model.phase == "live" and run in app.model.runs, app)
        await until(lambda: app.model.queue and app.model.health, app)
        await until(lambda: run in overview.table.run_keys(), app)
        overview.table.select(run)
        overview.show_rows()
        if own:
            app.open_run(run)
            screen = app.screen
            await until(lambda: isinstance(screen, RunScreen) and screen.told, app)
        elif overview.preview.display:
            await until(lambda: overview.preview.told, app)
        app.redraw()
        await pilot.pause(0.5)
        text = app.export_screenshot(title="penstock")
    (FOLDER / f"{name}.svg").write_text(text, encoding="utf-8")
    sys.stdout.write(f"{name}.svg\n")


def main() -> None:
    FOLDER.mkdir(exist_ok=True)
    with open_scene("--scene", "daily", "--frozen") as daemon:
        for picture in PICTURES:
            draw(daemon.address, *picture)


if __name__ == "__main__":
    main()
