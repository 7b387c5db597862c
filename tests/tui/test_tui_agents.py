"""Coding agents on the dashboard: their words, their questions by one key, their patches. TU-02, TU-03, TU-04."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from fakes.aio import aio
from fakes.tui_agents import ASKS, DONE, HOSTILE, QUOTA, SILENT
from fakes.tui_pilot import dashboard, shows, stands_first, text_of, until
from fakes.tui_processes import DaemonProcess, open_scene
from penstock_tui.app import Dashboard
from penstock_tui.screens.answer import AnswerDialog
from penstock_tui.screens.overview import Overview
from penstock_tui.screens.run import RunScreen
from penstock_tui.widgets.folding import Folding
from penstock_tui.wording import CROSS

pytestmark = pytest.mark.slow

MINUS = "\N{MINUS SIGN}"


@pytest.fixture(scope="module")
def agents() -> Iterator[DaemonProcess]:
    """Agents at work, shared by the tests of this module that change nothing."""
    with open_scene("--scene", "agents") as daemon:
        yield daemon


@pytest.fixture
def others() -> Iterator[DaemonProcess]:
    """The same, for one test that answers them."""
    with open_scene("--scene", "agents") as daemon:
        yield daemon


async def read(app: Dashboard, run_id: str) -> None:
    """The question of the run stands on the screen, and long enough to be meant."""
    ask = app.model.runs[run_id].open_ask
    assert ask is not None
    await until(lambda: app.monitor.was_read(run_id, ask.name), app)


def answer_of(app: Dashboard, run_id: str) -> str | None:
    return app.model.runs[run_id].view.asks["permit-1"].answer


async def open_transcript(app: Dashboard, run_id: str) -> Folding:
    app.open_run(run_id)
    await until(lambda: isinstance(app.focused, Folding), app)
    shown = app.screen
    assert isinstance(shown, RunScreen)
    await until(lambda: shown.told, app)
    return shown.tabs.transcript


@aio
async def test_the_list_says_who_asks_who_has_no_quota_and_who_is_silent(
    agents: DaemonProcess,
) -> None:
    """The badges, from the list that a dashboard begins with as from the facts."""
    async with dashboard(agents.address) as (app, _):
        await stands_first(app, ASKS)
        await shows(app, "May claude edit src/door.py?")
        until_when = app.model.runs[QUOTA].view.waiting
        assert until_when is not None
        assert until_when.until is not None
        await shows(app, f"quota     {until_when.until.astimezone():%H:%M}")
        lines = text_of(app).splitlines()
        [silent] = [line for line in lines if SILENT in line]
        assert "silent" in silent
        # The preview tells what it wants to do.
        await shows(app, "+        with trio.CancelScope(")


@aio
async def test_one_key_allows_and_one_denies_on_the_list(others: DaemonProcess) -> None:
    """TU-03: `a` and `d` answer what the preview shows; the word of it is shown."""
    async with dashboard(others.address) as (app, pilot):
        await stands_first(app, ASKS)
        await shows(app, "d Deny")
        await read(app, ASKS)
        await pilot.press("a")
        await until(lambda: answer_of(app, ASKS) == "allow", app)
        await shows(app, f"penstock answer {ASKS} permit-1 allow")
        overview = app.screen
        assert isinstance(overview, Overview)
        overview.table.select(HOSTILE)
        await until(lambda: overview.run_id == HOSTILE, app)
        await read(app, HOSTILE)
        await pilot.press("d")
        await until(lambda: answer_of(app, HOSTILE) == "deny", app)
        await until(lambda: "d Deny" not in text_of(app), app)
        await pilot.press("a")
        await shows(app, "no run asks anything")


@aio
async def test_a_key_answers_nothing_that_nobody_has_seen(
    others: DaemonProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A question that has just come is not answered by a key that was meant for the one before."""
    monkeypatch.setattr("penstock_tui.monitor.LOOK", 1e9)
    async with dashboard(others.address) as (app, pilot):
        await stands_first(app, ASKS)
        await until(lambda: app.monitor.shows_ask(ASKS, "permit-1"), app)
        await pilot.press("a", "d")
        await shows(app, "this question is new: look at it, then press again")
        assert answer_of(app, ASKS) is None
        # Where the preview is not shown, the whole question is.
        await pilot.press("z")
        overview = app.screen
        assert isinstance(overview, Overview)
        await until(lambda: not overview.preview.display, app)
        await pilot.press("a")
        await until(lambda: isinstance(app.screen, AnswerDialog), app)
        await shows(app, "self.stream.aclose()")
        assert answer_of(app, ASKS) is None
        await pilot.press("d")
        await until(lambda: answer_of(app, ASKS) == "deny", app)


@aio
async def test_a_question_whose_diff_is_not_there_is_opened_first(
    others: DaemonProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The question alone is too little: while the preview reads, and on another tab than the transcript."""
    monkeypatch.setattr("penstock_tui.screens.preview.REST", 1e9)
    monkeypatch.setattr("penstock_tui.monitor.LOOK", 0.0)
    async with dashboard(others.address) as (app, pilot):
        await stands_first(app, ASKS)
        await shows(app, "May claude edit src/door.py?")
        await pilot.press("a")
        await until(lambda: isinstance(app.screen, AnswerDialog), app)
        await shows(app, "self.stream.aclose()")
        await pilot.press("escape")
        await open_transcript(app, ASKS)
        await read(app, ASKS)
        await pilot.press("right_square_bracket")
        await until(lambda: not app.monitor.shows_ask(ASKS, "permit-1"), app)
        await pilot.press("d")
        await until(lambda: isinstance(app.screen, AnswerDialog), app)
        await shows(app, "self.stream.aclose()")
        assert answer_of(app, ASKS) is None


@aio
async def test_the_screen_of_a_run_tells_and_answers(others: DaemonProcess) -> None:
    async with dashboard(others.address) as (app, pilot):
        await stands_first(app, ASKS)
        transcript = await open_transcript(app, ASKS)
        await shows(app, "Transcript  Output")
        await shows(app, "(a allows, d denies)")
        await read(app, ASKS)
        await pilot.press("d")
        await shows(app, f"{CROSS} deny (by ")
        # The diff of what was settled is folded again.
        await until(lambda: "self.stream.aclose" not in text_of(app), app)
        assert transcript.follow


@aio
async def test_the_screen_of_a_run_answers_while_the_list_below_it_shows_another(
    others: DaemonProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However often all is drawn anew, its question stands there since it came."""
    monkeypatch.setattr("penstock_tui.monitor.LOOK", 2.5)
    async with dashboard(others.address) as (app, pilot):
        await stands_first(app, ASKS)
        await open_transcript(app, HOSTILE)
        await read(app, HOSTILE)
        await pilot.press("d")
        await until(lambda: answer_of(app, HOSTILE) == "deny", app)
        assert answer_of(app, ASKS) is None


@aio
async def test_tools_unfold_by_a_key_and_by_a_click(agents: DaemonProcess) -> None:
    """A use of a tool is a line; below it what was asked of it, and what came of it."""
    async with dashboard(agents.address) as (app, pilot):
        await stands_first(app, ASKS)
        transcript = await open_transcript(app, ASKS)
        assert "1 failed, 11 passed" not in text_of(app)
        row = next(at for at, line in enumerate(transcript.shown) if "pytest -q" in line.text)  # fmt: skip
        while transcript.cursor > row:
            await pilot.press("k")
        assert not transcript.follow
        await pilot.press("enter")
        await shows(app, "1 failed, 11 passed in 0.3s")
        assert transcript.cursor == row
        await pilot.press("j", "enter")
        await until(lambda: "1 failed, 11 passed" not in text_of(app), app)
        y = row - int(transcript.scroll_y)
        await pilot.click(transcript, offset=(4, y))
        await shows(app, "1 failed, 11 passed in 0.3s")
        await pilot.press("O")
        await shows(app, "class Door:")
        await pilot.press("O")
        await until(lambda: "class Door:" not in text_of(app), app)


@aio
async def test_a_search_finds_what_is_folded(agents: DaemonProcess) -> None:
    async with dashboard(agents.address) as (app, pilot):
        await stands_first(app, ASKS)
        await open_transcript(app, ASKS)
        await pilot.press("slash", *"11 passed", "enter")
        await shows(app, "1 failed, 11 passed in 0.3s")
        await pilot.press("escape")
        await until(lambda: "1 failed, 11 passed" not in text_of(app), app)


@aio
async def test_a_patch_is_read_by_its_files(agents: DaemonProcess) -> None:
    async with dashboard(agents.address) as (app, pilot):
        await shows(app, DONE)
        await open_transcript(app, DONE)
        await shows(app, "changes.patch")
        await pilot.press("right_square_bracket", "right_square_bracket")
        await shows(app, f"2 files  +4 {MINUS}1")
        await shows(app, "▾ tests/test_door.py  new  +2")
        await pilot.press("g", "j", "enter")
        await shows(app, f"▸ src/door.py  +2 {MINUS}1")
        await until(lambda: "CancelScope" not in text_of(app), app)


@aio
async def test_whatever_an_agent_writes_commands_no_terminal(
    agents: DaemonProcess,
) -> None:
    """TU-04: nor makes a link of itself, nor turns a line around; on the list, in the dialog, on each tab."""
    async with dashboard(agents.address) as (app, pilot):
        await stands_first(app, ASKS)
        overview = app.screen
        assert isinstance(overview, Overview)
        overview.table.select(HOSTILE)
        await shows(app, "May it?")
        _check_harmless(app)
        await pilot.press("z")
        await until(lambda: not overview.preview.display, app)
        await pilot.press("a")
        await until(lambda: isinstance(app.screen, AnswerDialog), app)
        await shows(app, "a allows, d denies")
        _check_harmless(app)
        await pilot.press("escape")
        await open_transcript(app, HOSTILE)
        await pilot.press("O")
        for _ in range(7):
            _check_harmless(app)
            await pilot.press("right_square_bracket")


def _check_harmless(app: Dashboard) -> None:
    for strip in app.screen._compositor.render_strips():
        for segment in strip:
            assert segment.control is None
            assert segment.text.isprintable(), segment
            assert segment.style is None or segment.style.link is None, segment
