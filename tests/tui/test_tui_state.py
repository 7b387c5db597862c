"""The dashboard's model: what it makes of frames. TU-01, TU-02, WS-07, EV-13."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest

from fakes.aio import aio
from fakes.tui_scene import FROZEN, World, busy_afternoon
from penstock.client.log_reader import Backoff, LogReader
from penstock.client.requests import Request
from penstock.log.projections import RunView, fold
from penstock.words import events as e
from penstock.words.address import Address
from penstock.words.errors import DaemonUnreachable
from penstock_tui.session import DaemonCalls, LiveSession
from penstock_tui.state import HISTORY_SECONDS, MOST_ENDED, DashboardState


def wired(world: World) -> list[dict[str, Any]]:
    return [json.loads(fact.wire()) for fact in world.log]


def greeting(epoch: str = "one", head: int = 0) -> dict[str, Any]:
    return {
        "type": "hello",
        "daemon": "0.1.0",
        "epoch": epoch,
        "life": "l",
        "head": head,
        "floor": 1,
    }


def feed(
    model: DashboardState, *frames: dict[str, Any], now: datetime = FROZEN
) -> None:
    """What a reader of the log, which stands where the model does, hears in these frames."""
    reader = LogReader(Backoff(0.1, 1.0, limit=None))
    reader.begin(model.epoch, model.position)
    for frame in frames:
        for heard in reader.feed(frame):
            model.feed(heard, now)


def followed(world: World) -> DashboardState:
    model = DashboardState()
    feed(model, greeting(head=len(world.log)))
    feed(model, {"type": "events", "events": wired(world)})
    feed(model, {"type": "ready", "head": len(world.log)})
    return model


def test_the_views_are_the_daemons_own_fold() -> None:
    """VW-01, TM-04 live view = replayed view, in the dashboard too; nothing is kept aside."""
    world = busy_afternoon(World())
    model = followed(world)
    assert {run_id: run.view for run_id, run in model.runs.items()} == world.views
    assert model.runs["r-1b7d"].view == fold(
        f for f in world.log if f.run_id == "r-1b7d"
    )
    assert (model.phase, model.missed, model.position) == ("live", 0, len(world.log))


def test_facts_that_were_taken_before_are_ignored() -> None:
    """WS-07 resuming repeats nothing."""
    world = busy_afternoon(World())
    model = followed(world)
    count, alerts = model.tail_count, model.alert_count
    feed(model, {"type": "events", "events": wired(world)[-40:]})
    assert (model.tail_count, model.alert_count, model.missed) == (count, alerts, 0)


def test_a_gap_is_counted_and_breaks_only_the_runs_it_touches() -> None:
    """TU-01 gaps are shown."""
    world = World()
    for run_id in ("a", "b"):
        world.submit(run_id, "command", {"argv": ["true"]}, 20, 0)
    world.start("a", 0)
    world.record("a", e.Progress(step="x", fraction=0.5))
    facts = wired(world)
    model = DashboardState()
    feed(model, greeting())
    feed(model, {"type": "events", "events": facts[:2]})
    feed(model, {"type": "gap", "first": 3, "last": 3})
    feed(model, {"type": "events", "events": facts[3:]})
    assert model.missed == 1
    assert model.broken == {"a"}
    model.seed([world.views["a"].to_json()])
    assert model.broken == set()
    assert model.runs["a"].view.progress == 0.5


def test_another_log_clears_what_was_shown() -> None:
    """TU-01 an epoch change clears."""
    model = followed(busy_afternoon(World()))
    feed(model, greeting(epoch="two"))
    assert not model.runs
    assert not model.alerts
    assert (model.position, model.epoch) == (0, "two")


def test_the_list_at_the_start_and_the_stream_do_not_count_twice() -> None:
    world = busy_afternoon(World())
    model = DashboardState()
    feed(model, greeting(head=len(world.log)))
    model.seed(view.to_json() for view in world.views.values())
    model.position = len(world.log) - 60
    feed(model, {"type": "events", "events": wired(world)[-60:]})
    assert {run_id: run.view.sequence for run_id, run in model.runs.items()} == {
        run_id: view.sequence for run_id, view in world.views.items()
    }
    assert not model.broken


def test_a_list_that_is_newer_than_the_stream_hides_no_question_for_good() -> None:
    """TU-02: as one that answers a filter; what a list leaves out is asked for."""
    world = World()
    world.submit("a", "command", {}, 20, 0)
    world.start("a", 0)
    world.record("a", e.AskRaised(name="go", question="go on?"))
    model = followed(world)
    assert model.runs["a"].asks
    world.record("a", e.Progress(step="x", fraction=0.5))
    left_out = {"last_at", "asks", "steps", "artifacts", "milestones"}
    row = {k: v for k, v in world.views["a"].to_json().items() if k not in left_out}
    model.seed([row])
    assert model.broken == {"a"}
    model.seed([world.views["a"].to_json()])
    assert model.runs["a"].asks
    assert model.broken == set()


class AnswersLate(DaemonCalls):
    """Its page was made before what comes by the stream meanwhile."""

    def __init__(self, world: World, meanwhile: Callable[[], None]) -> None:
        super().__init__(find_nobody)
        self._world, self._meanwhile = world, meanwhile

    async def send(self, request: Request) -> dict[str, Any]:
        views = self._world.views.values()
        rows = [
            {**view.to_json(), "number": number} for number, view in enumerate(views, 1)
        ]
        self._meanwhile()
        return {"runs": rows, "next": None}


def find_nobody() -> Address:
    raise DaemonUnreachable("nobody")


@aio
async def test_a_run_that_comes_while_numbers_are_asked_for_gets_its_own_later() -> (
    None
):
    """DU-03: it is on no page yet, and is not forgotten with those that are."""
    world = World()
    world.submit("a", "command", {}, 20, 0)
    model = followed(world)

    def more_come() -> None:
        if "b" not in world.views:
            world.submit("b", "command", {}, 20, 0)
            feed(model, {"type": "events", "events": wired(world)[model.position :]})

    session = LiveSession(find_nobody, model)
    session.calls = AnswersLate(world, more_come)
    await session._ask_for_numbers()
    assert model.unnumbered == {"b"}
    await session._ask_for_numbers()
    assert [run.number for run in model.runs.values()] == [1, 2]
    assert not model.unnumbered


def test_a_fact_from_a_newer_daemon_changes_nothing_but_the_cursor() -> None:
    """EV-13 an unknown type crashes no dashboard."""
    world = World()
    world.submit("a", "command", {}, 20, 0)
    model = followed(world)
    unknown = {
        **wired(world)[0],
        "position": 2,
        "sequence": 2,
        "event": {"type": "run.blessed", "by": "x"},
    }
    feed(model, {"type": "events", "events": [unknown]})
    feed(model, {"type": "weather", "of": "tomorrow"})
    assert model.runs["a"].view.sequence == 2
    assert model.position == 2


def test_alerts_tell_what_a_person_should_notice() -> None:
    """TU-02 backpressure, asks, failures, drops."""
    model = followed(busy_afternoon(World()))
    said = [alert.text for alert in model.alerts]
    assert said == [
        "daemon 0.1.0 started",
        "queue 82/100, above 80 %",
        "r-1d00 asks: which branch?  (a to answer)",
        "r-1c01 failed: exit status 3",
        "client mcp-2 dropped 120 events",
    ]


def test_ended_runs_do_not_pile_up() -> None:
    """TU-05 a dashboard that is open all day stays small."""
    world = World()
    for number in range(MOST_ENDED * 2 + 50):
        world.submit(f"r{number}", "command", {}, 20, 0)
        world.record(f"r{number}", e.RunCancelled(reason="x"))
    model = followed(world)
    assert MOST_ENDED <= len(model.runs) <= MOST_ENDED * 2 + 1
    assert f"r{MOST_ENDED * 2 + 49}" in model.runs


def test_a_long_line_is_not_searched_for_ended_runs_with_each_new_run(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """TU-05: ten thousand in line made each further one a look at all of them."""
    looks: list[str] = []

    class Counting(RunView):
        @property
        def ended(self) -> bool:
            looks.append(self.run_id)
            return False

    world = World()
    for number in range(MOST_ENDED * 3 + 50):
        world.submit(f"r{number}", "command", {}, 20, 0)
    monkeypatch.setattr("penstock_tui.state.RunView", Counting)
    followed(world)
    assert len(looks) < 3 * len(world.log)


def test_throughput_counts_what_arrives_live_and_idle_seconds_are_zero() -> None:
    world = World()
    world.submit("a", "command", {}, 20, 0)
    model = followed(world)
    model.second(100)
    for _ in range(3):
        world.record("a", e.Log(text="x"))
    feed(model, {"type": "events", "events": wired(world)[1:]})
    model.second(101)
    model.second(104)
    assert list(model.history)[-4:] == [3, 0, 0, 0]
    model.second(10_000)
    assert len(model.history) == HISTORY_SECONDS


def test_lag_is_the_worst_of_the_last_second() -> None:
    world = World()
    world.submit("a", "command", {}, 20, 0)
    model = followed(world)
    world.record("a", e.Log(text="x"))
    feed(
        model,
        {"type": "events", "events": wired(world)[1:]},
        now=FROZEN + timedelta(seconds=2),
    )
    model.second(7)
    assert model.lag == pytest.approx(2.0)
    model.second(8)
    assert model.lag == 0.0


def test_a_lost_daemon_keeps_what_is_shown() -> None:
    """TU-01 daemon down: it says so, and what was seen stays."""
    model = followed(busy_afternoon(World()))
    model.lose("the connection was cut")
    assert model.phase == "lost"
    assert model.runs
