"""Each screen as text, in two sizes and two themes, with frozen data; and the one-shot picture."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from rich.cells import cell_len
from textual.widgets import TabbedContent

from fakes.aio import aio
from fakes.tui_pilot import dashboard, looks, shows, stands_first, text_of, until
from fakes.tui_processes import DaemonProcess, open_scene
from fakes.tui_scene import FROZEN
from penstock.words.errors import Refused
from penstock_tui.app import Dashboard
from penstock_tui.picture import size_of, take_picture
from penstock_tui.screens.overview import Overview
from penstock_tui.screens.run import RunScreen
from penstock_tui.settings import Settings
from penstock_tui.wording import CROSS

pytestmark = pytest.mark.slow

KEPT = Path(__file__).parent / "snapshots"
SIZES = {"120x40": (120, 40), "80x24": (80, 24)}
THEMES = ("penstock-dark", "penstock-light")


@pytest.fixture(scope="module")
def frozen() -> Iterator[DaemonProcess]:
    with open_scene("--scene", "busy", "--frozen") as daemon:
        yield daemon


@pytest.fixture(autouse=True)
def utc(monkeypatch: pytest.MonkeyPatch) -> None:
    """Times are local, and pictures are compared anywhere."""
    import time

    monkeypatch.setenv("TZ", "UTC")
    # The form tells where a run would be.
    monkeypatch.chdir("/")
    time.tzset()


async def settle(app: Dashboard) -> None:
    """Everything a picture shows has arrived."""
    await stands_first(app, "r-1d00")
    await until(lambda: app.model.queue and app.model.health and app.model.clients, app)
    await until(lambda: not app.model.broken, app)
    overview = app.screen
    assert isinstance(overview, Overview)
    await until(lambda: overview.preview.told or not overview.preview.display, app)
    app.redraw()


async def open_pane(app: Dashboard, screen: str) -> None:
    """The screen of a run, at one of its tabs."""
    run_id, pane, text = {
        "run": ("r-1bc7", "log-pane", "warning: deprecated option"),
        "ended": ("r-1c01", "timeline-pane", "run.failed"),
        "details": ("r-1bc7", "details-pane", "make test"),
        "text": ("r-1b58", "text-1", "# Textual"),
        "causality": ("r-1b7d", "causality-pane", "STALE"),
    }[screen]
    app.open_run(run_id)
    await shows(app, "Causes")
    shown = app.screen
    assert isinstance(shown, RunScreen)
    await until(lambda: shown.told and shown.query(f"#{pane}"), app)
    shown.query_one(TabbedContent).active = pane
    await shows(app, text)


KEYS = {
    "submit": "r",
    "cancel": "c",
    "answer": "a",
    "say": "i",
    "help": "question_mark",
}


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize(
    "screen", ["overview", "run", "ended", "details", "text", "causality", *KEYS]
)
def test_a_screen_looks_as_it_did(
    frozen: DaemonProcess, screen: str, size: str
) -> None:
    """TU-04 80x24 works; a theme changes colours and nothing else."""

    @aio
    async def look() -> None:
        async with dashboard(frozen.address, size=SIZES[size], now=lambda: FROZEN) as (
            app,
            pilot,
        ):
            app.monitor.shown_address = "127.0.0.1:9876"
            await settle(app)
            if screen in KEYS:
                await pilot.press(KEYS[screen])
                await shows(app, "esc back")
            elif screen != "overview":
                await open_pane(app, screen)
            app.model.history.clear()
            for theme in THEMES:
                app.theme = theme
                app.redraw()
                await pilot.pause()
                await looks(app, KEPT / f"{screen}-{size}.txt")

    look()


@pytest.mark.parametrize("size", [(46, 30), (60, 16), (76, 20), (200, 50)])
def test_other_sizes_show_the_runs_and_how_to_quit(
    frozen: DaemonProcess, size: tuple[int, int]
) -> None:
    """TU-04 60x16 works, and a phone's 46 columns."""

    @aio
    async def look() -> None:
        async with dashboard(frozen.address, size=size, now=lambda: FROZEN) as (app, _):
            await settle(app)
            await shows(app, "78 queued")
            await shows(app, "Open")
            lines = text_of(app).splitlines()
            assert len(lines) == size[1]
            assert all(cell_len(line) <= size[0] for line in lines)

    look()


def test_a_picture_is_drawn_without_a_terminal(
    frozen: DaemonProcess, tmp_path: Path
) -> None:
    for theme in THEMES:
        path = tmp_path / f"{theme}.svg"
        app = Dashboard(find=lambda: frozen.address, settings=Settings(theme=theme))
        take_picture(
            app, path, (100, 30), run_id="r-1b7d" if theme == THEMES[0] else None
        )
        text = path.read_text(encoding="utf-8")
        assert text.startswith("<svg")
        assert "r-1b7d" in text
    assert len(os.listdir(tmp_path)) == 2


@pytest.mark.parametrize("text", ["", "120", "ax40", "10x40", "120x4000"])
def test_a_size_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(Refused, match=r"size: "):
        size_of(text)


@pytest.mark.processes
def test_without_colour_state_is_still_told(
    frozen: DaemonProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    """NO_COLOR: glyphs and words carry the state."""
    monkeypatch.setenv("NO_COLOR", "1")

    @aio
    async def look() -> None:
        async with dashboard(frozen.address, now=lambda: FROZEN) as (app, _):
            assert app.no_color
            await settle(app)
            for state in (
                "? r-1d00",
                f"{CROSS} r-1c01",
                "▶ r-1b58",
                "○ r-1ba2",
                "… r-1c11",
            ):
                assert state in text_of(app)

    look()
