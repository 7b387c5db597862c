"""The wire: cut, restarted, flooded, refused; quitting at any moment. TU-01."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from time import monotonic
from uuid import uuid4

import pytest
from textual.widgets import Input

from fakes.aio import aio
from fakes.beside import open_beside
from fakes.foreign_daemon import open_foreign_daemon, story, tells
from fakes.real_daemon import RealDaemon
from fakes.tui_pilot import dashboard, shows, text_of, until
from fakes.tui_processes import cut_wire, open_scene
from penstock.words.address import Address, find_address, find_paths
from penstock.words.errors import DaemonUnreachable, RunNotFound
from penstock_tui.app import Dashboard
from penstock_tui.session import DaemonCalls
from penstock_tui.state import DashboardState
from penstock_tui.stream import LiveStream

pytestmark = pytest.mark.processes

#: Seconds quitting may take; the aim is 0.5, and the box under test is shared.
QUIT_SECONDS = 2.0


def found(daemon: RealDaemon) -> Address:
    """The daemon's Unix socket, as a user's dashboard finds it."""
    return find_address(daemon.environ, find_paths(daemon.environ))


async def no_list() -> None:
    """The runs are folded from the facts alone."""


def further(app: Dashboard, by: int) -> Callable[[], bool]:
    """Whether so many more facts have come since now."""
    position = app.model.position + by
    return lambda: app.model.position > position


@aio
async def test_a_cut_wire_is_resumed_without_gap_or_repeat() -> None:
    """TU-01, at 300 events a second and three cuts."""
    with open_scene("--runs", "40", "--rate", "300") as daemon:
        async with (
            cut_wire(daemon.port) as (wire, address),
            dashboard(address) as (app, _),
        ):
            await shows(app, "● live")
            for _ in range(3):
                await until(further(app, 100), app)
                wire.cut()
                await until(lambda: app.model.phase != "live", app)
                await until(lambda: app.model.phase == "live", app)
            assert app.model.missed == 0
            assert not app.model.broken
            views = {
                run_id: run.view.sequence for run_id, run in app.model.runs.items()
            }
            assert app.session is not None
            for run_id in list(views)[:3]:
                told = await app.session.calls.run(run_id)
                assert told["sequence"] >= views[run_id] > 0


@aio
async def test_another_log_at_the_same_address_is_shown_from_its_beginning() -> None:
    """TU-01 an epoch change clears."""
    with open_scene("--scene", "busy") as first:
        port = first.port
        async with dashboard(first.address) as (app, _):
            # The list of runs is there before the facts are: only a position that has moved
            # shows whether the new log is read from its beginning.
            await until(lambda: app.model.position == 181, app)
            await shows(app, "Runs 92/92")
            epoch = app.model.epoch
            first.process.kill()
            first.process.wait()
            await shows(app, "lost")
            await shows(app, "Runs 92/92")
            with open_scene("--runs", "3", "--port", str(port)):
                await shows(app, "Runs 3/3")
                assert app.model.epoch != epoch


@aio
async def test_another_log_that_is_longer_is_not_taken_up_in_its_middle() -> None:
    """TU-01 an epoch change clears: the position we had means nothing in another log."""
    model = DashboardState()
    with open_scene("--runs", "3") as first:
        stream = LiveStream(lambda: first.address, model, no_list)
        task = asyncio.create_task(stream.run())
        try:
            await until(lambda: model.phase == "live" and len(model.runs) == 3)
            epoch = model.epoch
            first.process.kill()
            first.process.wait()
            await until(lambda: model.phase == "lost")
            with open_scene("--scene", "busy", "--port", str(first.port)):
                await until(lambda: model.phase == "live")
                await until(lambda: len(model.runs) == 92)
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
    assert model.epoch != epoch
    assert [fact.position for fact in model.tail] == list(range(1, 182))
    assert (model.missed, model.broken) == (0, set())


@aio
async def test_another_log_after_a_list_that_was_cut_off_leaves_none_of_its_runs() -> (
    None
):
    """TU-01 an epoch change clears: also what was listed of a log that was not followed yet."""
    model = DashboardState()
    lists = 0
    with open_scene("--runs", "3") as first, ExitStack() as stack:
        calls = DaemonCalls(lambda: first.address)

        async def list_runs() -> None:
            nonlocal lists
            lists += 1
            model.seed(await calls.shown_runs())
            if lists == 1:
                first.process.kill()
                first.process.wait()
                stack.enter_context(open_scene("--port", str(first.port)))
                raise DaemonUnreachable("it was killed in the middle of the list")

        stream = LiveStream(lambda: first.address, model, list_runs)
        task = asyncio.create_task(stream.run())
        try:
            await until(lambda: model.phase == "live")
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            await calls.aclose()
    assert (lists, len(model.runs)) == (2, 0)


@aio
async def test_another_log_without_runs_leaves_none_on_the_screen() -> None:
    """TU-01 an epoch change clears."""
    with open_scene("--runs", "3") as first:
        async with dashboard(first.address) as (app, _):
            await shows(app, "run-0002")
            first.process.kill()
            first.process.wait()
            with open_scene("--port", str(first.port)):
                await shows(app, "no runs yet")
                await shows(app, "Runs 0/0")
                assert "run-0002" not in text_of(app)


@aio
async def test_a_wrong_token_is_said_and_not_hidden() -> None:
    with open_scene("--token", "right") as daemon:
        wrong = Address(base=daemon.address.base, token="wrong")
        async with dashboard(wrong) as (app, _):
            await shows(app, "refuses our token")
            await shows(app, "refused")


@aio
async def test_without_a_daemon_it_says_so_and_finds_one_that_starts_later() -> None:
    """DU-06 TU-01 daemon down."""
    with open_scene() as daemon:
        port = daemon.port
    nobody = Address(base=f"http://127.0.0.1:{port}")
    async with dashboard(nobody) as (app, _):
        await shows(app, "No daemon answers")
        with open_scene("--scene", "busy", "--port", str(port)):
            await shows(app, "Runs 92/92")


@aio
async def test_a_run_that_was_opened_while_the_daemon_was_away_loads_when_it_is_back() -> (
    None
):
    """DU-06 TU-01: and never a claim about what nobody can know."""
    with open_scene("--scene", "busy") as daemon:
        async with (
            cut_wire(daemon.port) as (wire, address),
            dashboard(address) as (app, pilot),
        ):
            await shows(app, "Runs 92/92")
            wire.closed = True
            wire.cut()
            await shows(app, "lost")
            app.open_run("r-1bc7")
            await shows(app, "the history cannot be read")
            wire.closed = False
            await shows(app, "warning: deprecated option")
            assert "cannot be read" not in text_of(app)
    async with dashboard(daemon.address) as (app, pilot):
        await shows(app, "nothing is known: ")
        assert "no runs" not in text_of(app)
        await pilot.press("2")
        await shows(app, "nothing is known yet")
        await pilot.press("4")
        await until(lambda: "busy" not in text_of(app), app)


@aio
async def test_quitting_is_quick_under_a_flood_and_without_a_daemon() -> None:
    with open_scene("--runs", "100", "--rate", "3000") as daemon:
        async with dashboard(daemon.address) as (app, pilot):
            # A slow box never catches up with so many, and must let go all the same.
            await shows(app, "10/10 running")
            await pilot.press("q")
            begun = monotonic()
            await until(lambda: not app.is_running)
        assert monotonic() - begun < QUIT_SECONDS
        assert app.farewell().endswith("queued")
        assert daemon.process.poll() is None
    async with dashboard(daemon.address) as (app, pilot):
        await shows(app, "No daemon answers")
        begun = monotonic()
        await pilot.press("q")
        await until(lambda: not app.is_running)
    assert monotonic() - begun < QUIT_SECONDS
    assert "no daemon" in app.farewell()


@aio
async def test_a_flood_and_a_resize_leave_no_fact_out() -> None:
    with open_scene("--runs", "200", "--rate", "2000") as daemon:
        async with dashboard(daemon.address, size=(120, 40)) as (app, pilot):
            await until(further(app, 200), app)
            for size in ((80, 24), (200, 50), (60, 16), (40, 10), (120, 40)):
                await pilot.resize_terminal(*size)
                await until(further(app, 200), app)
            await shows(app, "Runs 200/200")
            assert app.model.missed == 0


@aio
async def test_the_stream_without_a_screen_takes_every_position_once() -> None:
    """The model is pure: the stream feeds it with nothing else around."""
    with open_scene("--scene", "busy") as daemon:
        model = DashboardState()
        positions: list[int] = []
        stream = LiveStream(lambda: daemon.address, model, no_list)
        task = asyncio.create_task(stream.run())
        await until(lambda: model.phase == "live")
        positions += [fact.position for fact in model.tail]
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    assert positions == list(range(1, 182))


@aio
async def test_an_older_daemon_is_followed_without_a_word() -> None:
    """TU-01 EV-13: it knows no `after_id`, and is asked again at once without it."""
    told = story()
    with (
        TemporaryDirectory() as folder,
        open_beside(partial(open_foreign_daemon, Path(folder) / "s")) as beside,
    ):
        daemon = beside.opened
        daemon.older = True
        greeting, rest = tells(), tells(*told[3:])
        daemon.scripts = [greeting, tells(*told[:3]), rest]
        model = DashboardState()
        stream = LiveStream(lambda: daemon.address, model, no_list)
        task = asyncio.create_task(stream.run())
        await until(lambda: model.position == 5)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        targets = [asked.target for asked in daemon.asked[:4]]
    assert targets[1:] == [
        "/ws?after=0",
        f"/ws?after=3&after_id={told[2]['event_id']}",
        "/ws?after=3",
    ]


def test_a_log_that_was_put_back_is_shown_anew(real_daemon: RealDaemon) -> None:
    """TU-01: as long as before, and of the same epoch; only the fact at our place is another."""

    @aio
    async def follow() -> None:
        model, lists = DashboardState(), 0

        async def count() -> None:
            nonlocal lists
            lists += 1

        stream = LiveStream(lambda: found(real_daemon), model, count)
        task = asyncio.create_task(stream.run())
        mark = stream.reader.cursor
        await until(lambda: model.phase == "live" and mark.event_id is not None)
        head, mine = model.position, mark.event_id
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        mark.event_id = str(uuid4())
        task = asyncio.create_task(stream.run())
        await until(lambda: mark.event_id == mine)
        assert (lists, model.position, len(model.tail)) == (2, head, head)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    follow()


def test_a_real_daemon_is_followed_through_its_restart(
    start_daemon: Callable[..., RealDaemon],
) -> None:
    """TU-01 beside `penstock serve`: submit, cancel with proof, restart, resume; the daemon goes on."""

    @aio
    async def follow() -> None:
        first = start_daemon()
        address = found(first)
        async with dashboard(address) as (app, pilot):
            await shows(app, "● live")
            await pilot.press("r")
            await until(lambda: isinstance(app.focused, Input), app)
            await pilot.press(*"sleep", "space", *"60", "enter")
            await until(
                lambda: any(r.view.state == "running" for r in app.model.runs.values()),
                app,
            )
            await shows(app, "1/5 running")
            await pilot.press("c")
            await shows(app, "Cancel the run")
            await pilot.press("enter")
            await shows(app, "survivors  none")
            await pilot.press("escape")
            await shows(app, "cancelled")
            position = app.model.position
            assert first.stop() == 0
            await shows(app, "lost")
            second = start_daemon()
            await shows(app, "● live")
            await until(lambda: app.model.position > position, app)
            assert app.model.missed == 0
            assert [run.view.state for run in app.model.runs.values()] == ["cancelled"]
            await pilot.press("q")
            await until(lambda: not app.is_running)
        assert app.return_code == 0
        assert second.process.poll() is None

    follow()


def test_a_real_queue_is_paused_and_says_so_and_a_real_run_is_told_something(
    real_daemon: RealDaemon,
) -> None:
    """TU-02, TU-03 the daemon's own answers: paused, why, store, interventions."""

    @aio
    async def work() -> None:
        async with dashboard(found(real_daemon)) as (app, pilot):
            await shows(app, "● live")
            await until(lambda: app.model.health, app)
            await pilot.press("4")
            await shows(app, "store")
            await pilot.press("1")
            app.action_pause_queue()
            await shows(app, "Start no more runs?")
            await pilot.press("enter")
            await shows(app, "‖ paused: dashboard")
            assert app.session is not None
            inputs = {"argv": ["sleep", "60"]}
            await app.session.calls.submit(
                {"kind": "command", "inputs": inputs, "run_id": "r"}
            )
            await until(lambda: "r" in app.model.runs, app)
            app.open_run("r")
            await shows(app, "The queue is paused (dashboard).")
            await pilot.press("i")
            await shows(app, "To r:")
            await pilot.press(*"hurry", "enter")
            await shows(app, "intervention.received hurry")
            app.action_resume_queue()
            await shows(app, "Start runs again?")
            await pilot.press("enter")
            await shows(app, "process.started")
            assert not app.model.queue["paused"]
            await app.session.calls.cancel("r", "done", wait=True)

    work()


def test_what_a_real_run_prints_is_text_on_the_screen(real_daemon: RealDaemon) -> None:
    """TU-04 escape sequences and markup in titles and logs render as text. TM-04 unknown: not found."""

    @aio
    async def look() -> None:
        async with dashboard(found(real_daemon)) as (app, pilot):
            await shows(app, "● live")
            assert app.session is not None
            argv = ["printf", "\\033[2J[b]bold[/b]\\nsecond\\n"]
            reply = await app.session.calls.submit(
                {
                    "kind": "command",
                    "inputs": {"argv": argv},
                    "labels": {"title": "[red]\x1b[31mtitle"},
                }
            )
            await until(lambda: reply["run_id"] in app.model.runs, app)
            await until(lambda: app.model.runs[reply["run_id"]].view.ended, app)
            await shows(app, "[red]␛[31mtitle")
            app.open_run(reply["run_id"])
            await shows(app, "␛[2J[b]bold[/b]")
            await pilot.press("R")
            await until(lambda: len(app.model.runs) == 2, app)
            await pilot.press("i")
            await shows(app, "has ended already")
            assert app.session is not None
            with pytest.raises(RunNotFound):
                await app.session.calls.run("nobody")
            app.open_run("nobody")
            await shows(app, "the history cannot be read")

    look()


@aio
async def test_a_feed_that_breaks_ends_the_dashboard_and_says_so() -> None:
    """A dashboard that is fed no more must not look alive."""
    with open_scene("--scene", "busy") as daemon:
        async with dashboard(daemon.address) as (app, _):
            await shows(app, "● live")

            def broken(*_: object) -> None:
                raise ZeroDivisionError("out of the blue")

            assert app.session is not None
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(DashboardState, "feed", broken)
                await app.session.calls.submit(
                    {"kind": "command", "inputs": {"argv": ["true"]}}
                )
                await until(lambda: not app.is_running)
        assert app.return_code == 1
