"""Which run stands first, and what its row says. TU-02."""

from __future__ import annotations

from datetime import timedelta

import pytest

from fakes.tui_scene import FROZEN, World, busy_afternoon
from penstock.log.filters import parse_filter
from penstock.words import events as e
from penstock_tui.rows import COLUMNS, STUCK_AFTER, ordered, row_of
from penstock_tui.state import DashboardState, ShownRun


def runs_of(world: World) -> list[ShownRun]:
    model = DashboardState()
    for fact in world.log:
        model.apply(fact)
    return list(model.runs.values())


def order_of(world: World, order: str = "attention", wanted: str = "") -> list[str]:
    runs = runs_of(world)
    rows = {run.view.run_id: row_of(run, FROZEN) for run in runs}
    return [
        row.key
        for row in ordered(
            runs, rows, order, parse_filter(wanted) if wanted else None, FROZEN
        )
    ]


def six_fates() -> World:
    world = World()
    for run_id in ("done", "queued", "running", "stuck", "failing", "failed", "asks"):
        world.submit(run_id, "command", {"argv": [run_id]}, 20, 300)
    for run_id in ("done", "running", "stuck", "failing", "failed", "asks"):
        world.start(run_id, 200)
    world.record("done", e.RunCompleted(), 100)
    world.record("running", e.Progress(step="x", fraction=0.5), 1)
    world.record("failing", e.TestFailed(summary="1 failed"), 1)
    world.record("failed", e.RunFailed(reason="error", error="boom"), 100)
    world.record("asks", e.AskRaised(name="a", question="which?"), 1)
    return world


def test_what_needs_a_person_stands_first() -> None:
    """TU-02 needs an answer > failing > stuck > running > queued > ended."""
    assert order_of(six_fates()) == [
        "asks",
        "failed",
        "failing",
        "stuck",
        "running",
        "queued",
        "done",
    ]


def test_a_failure_somebody_looked_at_is_no_news() -> None:
    runs = runs_of(six_fates())
    for run in runs:
        run.seen = True
    rows = {run.view.run_id: row_of(run, FROZEN) for run in runs}
    assert ordered(runs, rows, "attention", None, FROZEN)[1].key == "failing"


@pytest.mark.parametrize(
    ("order", "first"),
    [("newest", "asks"), ("priority", "queued"), ("elapsed", "queued")],
)
def test_other_orders(order: str, first: str) -> None:
    world = six_fates()
    world.submit("late", "command", {}, 40, 0)
    assert order_of(world, order)[0] in {first, "late", "running", "stuck", "failing"}


def test_the_filter_is_that_of_every_surface() -> None:
    """One grammar for CLI, REST, MCP and TUI."""
    assert set(order_of(six_fates(), wanted="state:running !stuck")) == {
        "running",
        "failing",
        "asks",
    }


def test_state_is_told_by_glyph_and_word() -> None:
    """TU-02 never by colour alone."""
    world = busy_afternoon(World())
    cells = {run.view.run_id: row_of(run, FROZEN).cells for run in runs_of(world)}
    assert cells["r-1d00"][0] == "?"
    assert cells["r-1d00"][4] == "asks"
    assert cells["r-1d00"][-1] == "asks: which branch?  (a)"
    assert cells["r-1b58"][5:7] == ("generate", "█████▌···  62%")
    assert cells["r-1b7d"][9] == "v2"
    assert all(len(row) == len(COLUMNS) for row in cells.values())


def test_a_silent_run_is_said_to_be_stuck_and_a_cancelled_one_to_be_cancelling() -> (
    None
):
    world = World()
    for run_id in ("a", "b"):
        world.submit(run_id, "command", {}, 20, 200)
        world.start(run_id, STUCK_AFTER.total_seconds() + 1)
    world.record("b", e.RunCancelRequested(reason="x"), 1)
    states = [row_of(run, FROZEN).cells[4] for run in runs_of(world)]
    assert states == ["stuck?", "cancelling"]
    assert (
        row_of(runs_of(world)[0], FROZEN - timedelta(seconds=30)).cells[4] == "running"
    )


def test_markup_and_escape_sequences_in_a_title_are_text() -> None:
    """TU-04 bad: they render as text."""
    world = World()
    world.submit(
        "a\x1b[2Jb".replace("\x1b", "-"),
        "command",
        {"argv": ["\x1b[31m[b]x[/b]\n\t\x9b", "\u202e"]},
        20,
        0,
    )
    [row] = [row_of(run, FROZEN) for run in runs_of(world)]
    assert "[b]x[/b]" in row.cells[-1]
    assert all(char.isprintable() for cell in row.cells for char in cell)
