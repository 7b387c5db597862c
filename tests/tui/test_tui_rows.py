"""Which run stands first, and what its row says. TU-02."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest

from fakes.few_numbers import some_fast
from fakes.tui_agents import QUOTA, agents_at_work
from fakes.tui_scene import FROZEN, World, busy_afternoon
from penstock.log.filters import parse_filter
from penstock.words import events as e
from penstock.words.sentences import ordinal
from penstock_tui.rows import COLUMNS, row_of, state_of
from penstock_tui.run_listing import Listing
from penstock_tui.standing import (
    NEWS_FOR,
    QUIET_AFTER,
    Standing,
    hindrance,
    standing_of,
)
from penstock_tui.state import DashboardState, ShownRun, name_of
from penstock_tui.wording import CROSS


def runs_of(world: World) -> list[ShownRun]:
    return list(model_of(world).runs.values())


def model_of(world: World) -> DashboardState:
    model = DashboardState()
    for fact in world.log:
        model.apply(fact)
    return model


def listed(
    model: DashboardState, listing: Listing, now: datetime = FROZEN
) -> list[str]:
    """The keys of the runs, and the headings, from the top down."""
    listing.take(model, now, whole=True)
    return [
        row.cells[0].strip() if row.heading else row.key
        for row in listing.rows(model, now)
    ]


def order_of(world: World, order: str = "attention", wanted: str = "") -> list[str]:
    model, listing = model_of(world), Listing()
    listing.sort = order
    listing.wanted = parse_filter(wanted) if wanted else None
    return listed(model, listing)


def six_fates() -> World:
    world = World()
    for run_id in ("done", "queued", "running", "quiet", "failing", "failed", "asks"):
        world.submit(run_id, "command", {"argv": [run_id]}, 20, 300)
    for run_id in ("done", "running", "quiet", "failing", "failed", "asks"):
        world.start(run_id, 200)
    world.record("done", e.RunCompleted(), 100)
    world.record("running", e.Progress(step="x", fraction=0.5), 1)
    world.record("failing", e.TestFailed(summary="1 failed"), 1)
    world.record("failed", e.RunFailed(reason="error", error="boom"), 100)
    world.record("asks", e.AskRaised(name="a", question="which?"), 1)
    return world


def test_what_needs_a_person_stands_first() -> None:
    """TU-02 asks and failures, what runs, the line, what has ended; who is quiet is not ill."""
    assert order_of(six_fates()) == [
        "NEEDS YOU", "asks", "failed",
        "RUNNING", "failing", "running", "quiet",
        "QUEUED", "queued",
        "ENDED TODAY  ✓ 1", "done",
    ]  # fmt: skip


def test_failures_never_hide_what_runs() -> None:
    """DU-06 TU-02: they take a third of the list at most; the newest ones, and the others are in their day."""
    world = six_fates()
    for number in range(20):
        world.submit(f"f{number}", "command", {}, 20, 90)
        world.record(f"f{number}", e.RunFailed(reason="error", error="x"), 80 - number)
    model, listing = model_of(world), Listing()
    listing.height = 12
    keys = listed(model, listing)
    assert keys[:6] == ["NEEDS YOU", "asks", "f19", "f18", "f17", "f16"]
    assert keys[6:8] == ["RUNNING", "failing"]
    assert f"ENDED TODAY  ✓ 1  {CROSS} 17" in keys
    assert len([key for key in keys if key.startswith("f")]) == 22


def test_a_failure_somebody_looked_at_is_no_news() -> None:
    model, listing = model_of(six_fates()), Listing()
    for run in model.runs.values():
        run.seen = True
    assert listed(model, listing)[:3] == ["NEEDS YOU", "asks", "RUNNING"]


def test_a_failure_is_no_news_when_its_time_is_over_and_yesterdays_runs_are_of_another_day() -> (
    None
):
    """The clock alone moves them: no fact comes."""
    model, listing = model_of(six_fates()), Listing()
    assert "failed" in listed(model, listing)[:3]
    later = listed(model, listing, FROZEN + NEWS_FOR)
    assert later[-2:] == ["failed", "done"]
    assert listed(model, listing, FROZEN + timedelta(days=1))[-3:] == [
        f"EARLIER  ✓ 1  {CROSS} 1", "failed", "done",
    ]  # fmt: skip


def test_turns_are_folded_under_their_loop() -> None:
    """TU-02: one that asks stands for itself."""
    model, listing = model_of(busy_afternoon(World())), Listing()
    keys = listed(model, listing)
    assert "r-1ba2" in keys
    assert "r-1ba2.turn-1" not in keys
    row = next(row for row in listing.rows(model, FROZEN) if row.key == "r-1ba2")
    assert row.cells[-1].startswith("▸ 2 turns  raise the coverage")
    listing.fold("r-1ba2")
    keys = [row.key for row in listing.rows(model, FROZEN)]
    at = keys.index("r-1ba2")
    assert keys[at + 1 : at + 3] == ["r-1ba2.turn-1", "r-1ba2.turn-2"]
    listing.wanted = parse_filter("turn-1")
    listing.resort(model, FROZEN)
    assert "r-1ba2.turn-1" in [row.key for row in listing.rows(model, FROZEN)]


def test_a_long_line_does_not_hide_what_has_ended_and_can_be_unfolded() -> None:
    model, listing = model_of(busy_afternoon(World())), Listing()
    keys = listed(model, listing)
    assert "… 68 more in line  (o shows them)" in keys
    listing.fold("r-1c11")
    assert len(listing.rows(model, FROZEN)) == len(keys) + 68 - 1


@pytest.mark.parametrize("waiting", some_fast([1000, 10_000], 1))
def test_those_in_line_are_looked_at_when_they_change_and_not_by_the_clock(
    monkeypatch: pytest.MonkeyPatch, waiting: int
) -> None:
    """TU-05: a second that passes makes no row and no place of those that only wait."""
    world = World()
    for number in range(waiting):
        world.submit(f"r{number}", "command", {}, 20, 600)
    world.start("r0", 500)
    model, listing = model_of(world), Listing()
    listing.take(model, FROZEN, whole=True)
    looked: list[str] = []

    def counting(run: ShownRun, order: str, now: datetime) -> Standing:
        looked.append(run.view.run_id)
        return standing_of(run, order, now)

    monkeypatch.setattr("penstock_tui.run_listing.standing_of", counting)
    monkeypatch.setattr(
        "penstock_tui.run_listing.row_of",
        lambda run, *rest: looked.append(run.view.run_id),
    )
    listing.take(model, FROZEN + timedelta(seconds=1), whole=True)
    listing.rows(model, FROZEN)
    assert looked == []
    world.record("r0", e.Progress(step="x", fraction=0.5))
    model.apply(world.log[-1])
    listing.take(model, FROZEN + timedelta(seconds=2), whole=True)
    assert looked == ["r0"]


def test_the_counts_are_those_of_all_runs() -> None:
    """TU-02: kept by what changes, and the same as counted anew."""
    world = busy_afternoon(World())
    model, listing = DashboardState(), Listing()
    for number, fact in enumerate(world.log):
        model.apply(fact)
        if number % 7 == 0:
            listing.take(model, FROZEN, whole=False)
    listing.take(model, FROZEN, whole=True)
    fresh = Listing()
    fresh.take(model_of(world), FROZEN, whole=True)
    for name in ("counts", "queued", "columns"):
        assert +getattr(listing, name) == +getattr(fresh, name), name
    assert (listing.running, listing.queued.total(), listing.counts["asks"]) == (
        5,
        78,
        1,
    )


@pytest.mark.parametrize(
    ("order", "first"),
    [("newest", "asks"), ("priority", "queued"), ("elapsed", "queued")],
)
def test_other_orders(order: str, first: str) -> None:
    world = six_fates()
    world.submit("late", "command", {}, 40, 0)
    assert order_of(world, order)[0] in {first, "late", "running", "quiet", "failing"}


def test_the_filter_is_that_of_every_surface() -> None:
    """One grammar for CLI, REST, MCP and TUI."""
    keys = order_of(six_fates(), wanted="state:running !quiet")
    assert set(keys) == {"NEEDS YOU", "RUNNING", "running", "failing", "asks"}


def test_state_is_told_by_glyph_and_word() -> None:
    """TU-02 never by colour alone; a column without news is empty."""
    world = busy_afternoon(World())
    cells = {
        run.view.run_id: dict(
            zip([c.title for c in COLUMNS], row_of(run, FROZEN).cells, strict=True)
        )
        for run in runs_of(world)
    }
    assert cells["r-1d00"][""] == "?"
    assert cells["r-1d00"]["state"] == "asks"
    assert cells["r-1d00"]["title"] == "which branch?  (a)"
    assert (cells["r-1b58"]["step"], cells["r-1b58"]["progress"]) == (
        "generate",
        "███··  62%",
    )
    assert cells["r-1b7d"]["ver"] == "v2"
    assert (cells["r-1c01"]["state"], cells["r-1c01"]["when"]) == ("exit 3", "3m")
    assert cells["r-1c01"]["title"] == "pg_restore dump.sql"
    assert (cells["r-1bc7"]["kind"], cells["r-1bc7"]["prio"]) == ("", "")
    assert cells["r-1c11"]["elapsed"] == ""


def test_a_queued_row_says_what_keeps_it() -> None:
    """TU-02: its place, and why it does not start though there may be a slot."""
    world = World()
    world.submit("build", "command", {}, 20, 9)
    world.submit(
        "deploy", "command", {"argv": ["x"]}, 20, 8, after=("build",), group="disk"
    )
    run = model_of(world).runs["deploy"].view
    runs = model_of(world).runs
    full = {"groups": {"disk": {"slots": 1, "running": 1}}}
    assert hindrance(run, {}, runs, FROZEN) == "after build"
    assert hindrance(run, full, {}, FROZEN) == "group disk is full"
    assert (
        hindrance(run, {"paused": [{"group": None}]}, runs, FROZEN)
        == "the queue is paused"
    )
    assert (
        hindrance(run, {"paused": [{"group": "disk"}]}, runs, FROZEN)
        == "group disk is paused"
    )
    assert hindrance(run, {"paused": [{"group": "net"}]}, {}, FROZEN) == ""
    model, listing = model_of(world), Listing()
    listing.take(model, FROZEN, whole=True)
    row = listing.rows(model, FROZEN)[-1]
    assert (row.cells[5], row.cells[-1]) == ("2nd", "(after build)  x")


@pytest.mark.parametrize(
    ("place", "said"),
    [(1, "1st"), (2, "2nd"), (3, "3rd"), (4, "4th"), (11, "11th"), (12, "12th"), (21, "21st"), (113, "113th")],
)  # fmt: skip
def test_places_in_line(place: int, said: str) -> None:
    assert ordinal(place) == said


def test_a_silent_run_is_quiet_and_a_cancelled_one_is_cancelling() -> None:
    """TU-02: `sleep 500` has nothing to say, and is no worse for it."""
    world = World()
    for run_id in ("a", "b"):
        world.submit(run_id, "command", {}, 20, 200)
        world.start(run_id, QUIET_AFTER.total_seconds() + 1)
    world.record("b", e.RunCancelRequested(reason="x"), 1)
    assert [state_of(run, FROZEN)[:2] for run in runs_of(world)] == [("▶", "quiet"), ("■", "cancelling")]  # fmt: skip
    assert state_of(runs_of(world)[0], FROZEN - timedelta(seconds=30))[1] == "running"


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


def test_the_line_is_the_one_that_the_daemon_has() -> None:
    """TU-02: what was moved stands where it was moved to; what is put aside, or starts later, has no place."""
    world = World()
    for number, run_id in enumerate(("later", "a", "aside", "b", "moved")):
        world.submit(run_id, "command", {"argv": [run_id]}, 20, 600 - number)
    starts = FROZEN + timedelta(hours=3)
    world.record("moved", e.RunRearranged(turn=0))
    world.record("aside", e.RunRearranged(stashed=True))
    world.record("later", e.RunRearranged(stashed=False, not_before=starts))
    model, listing = model_of(world), Listing()
    state, title = (columns().index(name) for name in ("state", "title"))

    def told(now: datetime) -> list[tuple[str, str]]:
        listing.take(model, now, whole=True)
        rows = [row for row in listing.rows(model, now) if not row.heading]
        return [(row.key, f"{row.cells[state]} {row.cells[title]}") for row in rows]

    seen = told(FROZEN)
    assert [key for key, _ in seen] == ["moved", "a", "b", "later", "aside"]
    assert [said.split()[0] for _, said in seen] == [
        "1st",
        "2nd",
        "3rd",
        "queued",
        "queued",
    ]
    assert "(starts at " in seen[3][1]
    assert "(stashed)" in seen[4][1]
    later = dict(told(starts + timedelta(seconds=1)))
    assert later["later"].startswith("2nd")


def columns() -> list[str]:
    return [column.title for column in COLUMNS]


def test_runs_are_called_by_number_and_name() -> None:
    """DU-03, TU-02: an id that nobody has chosen is no name; one that somebody has is."""
    world = World()
    minted = "r-0123456789ab"
    world.submit(minted, "command", {"argv": ["make"]}, 20, 9)
    world.submit("r-ba9876543210", "command", {}, 20, 8, labels={"name": "構築"})
    world.submit("chosen", "command", {}, 20, 7)
    world.submit(f"{minted}.turn-1", "command", {}, 20, 6, parent_id=minted)
    model = model_of(world)
    assert model.unnumbered == set(model.runs)
    names = [name_of(run) for run in model.runs.values()]
    assert names == [minted, "構築", "chosen", "turn-1"]
    rows = [
        {**run.view.to_json(), "number": number}
        for number, run in enumerate(model.runs.values(), 5)
    ]
    model.dirty.clear()
    model.seed(rows)
    assert model.unnumbered == set()
    assert model.dirty == set(model.runs)
    names = [name_of(run) for run in model.runs.values()]
    assert names == ["5", "6 構築", "chosen", "8 turn-1"]


def test_an_agent_that_says_nothing_is_silent_and_other_runs_are_quiet() -> None:
    """TU-02: by the clock of whoever looks, or by its own word for it."""
    world = World()
    for kind in ("agent", "command"):
        world.submit(kind, kind, {}, 20, 200)
        world.start(kind, 190)
    world.submit("told", "agent", {}, 20, 200)
    world.start("told", 190)
    world.record("told", e.Progress(step="silent for 300 s"), 1)
    model = model_of(world)
    told = {name: state_of(run, FROZEN)[1] for name, run in model.runs.items()}
    assert told == {"agent": "silent", "command": "quiet", "told": "silent"}


def test_who_waits_for_a_quota_has_its_time_and_who_asks_when_that_expires() -> None:
    """TU-02: from facts, and from the row that a dashboard begins with, which has words alone."""
    world = agents_at_work(World())
    expires = FROZEN + timedelta(hours=3)
    asked = e.AskRaised(name="q", question="?", expires_at=expires)
    world.submit("late", "agent", {}, 20, 1)
    world.start("late", 1)
    world.record("late", asked, 1)
    runs = model_of(world).runs
    at = [column.title for column in COLUMNS].index("until")
    for run_id, until in ((QUOTA, FROZEN + timedelta(minutes=86)), ("late", expires)):
        local = f"{until.astimezone():%H:%M}"
        assert row_of(runs[run_id], FROZEN).cells[at] == local
        seeded = DashboardState()
        seeded.seed([runs[run_id].view.to_json()])
        assert row_of(seeded.runs[run_id], FROZEN).cells[at] == local
    assert state_of(runs[QUOTA], FROZEN)[1] == "quota"
    assert row_of(runs["r-a9e1"], FROZEN).cells[at] == ""
