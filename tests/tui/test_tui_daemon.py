"""TU-02: what the daemon has to say of itself, beside a real core that has it to say."""

from __future__ import annotations

import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager
from functools import partial
from pathlib import Path

import pytest
import trio

from fakes.aio import aio
from fakes.beside import open_beside
from fakes.cores import kind, sleep
from fakes.house import TOKEN, House, open_house
from fakes.house_beside import HouseBeside, open_house_beside
from fakes.stores import crashed
from fakes.tui_pilot import dashboard, shows, text_of, until
from fakes.tui_processes import cut_wire
from penstock.client.sync import SyncClient
from penstock.words.address import Address, socket_address
from penstock.words.events import Progress
from penstock_tui.app import Dashboard
from penstock_tui.screens.overview import Overview
from penstock_tui.screens.run import RunScreen

pytestmark = pytest.mark.sockets

#: Seconds for the submitter's thread to be over once it has room.
PATIENCE = 60.0


@contextmanager
def submitting(address: Address, run_id: str) -> Iterator[None]:
    """Somebody who waits for room in the queue."""
    request = {"kind": "echo", "run_id": run_id}
    client = SyncClient(address)
    thread = threading.Thread(target=partial(client.submit, request, wait=True))
    thread.start()
    yield
    thread.join(PATIENCE)
    assert not thread.is_alive()


@aio
async def test_submitters_that_wait_for_room_are_counted(tmp_path: Path) -> None:
    with open_house_beside(tmp_path / "s", max_concurrent=1, queue_capacity=1) as house:
        address = socket_address(tmp_path / "s")
        house.start("first")
        house.submit("echo", run_id="second")
        with submitting(address, "third"):
            house.beside.do(house.house.wait_submitters, 1)
            async with dashboard(address) as (app, pilot):
                await shows(app, "1 queued (100% FULL) · 1 wait to submit")
                await pilot.press("4")
                await shows(app, "1/1 queued 100% FULL  1 submitters wait")
                house.end("first")
                await shows(app, "1/1 queued 100% FULL  0 submitters wait")
                await shows(app, "1/1 busy")


class SlowReader:
    """A client that takes nothing for a while, and may have the oldest dropped."""

    def __init__(self, house: HouseBeside) -> None:
        self._house, self._stack = house, ExitStack()

    async def read(self) -> None:
        """Take all there is."""
        bus = self._house.house.core.bus
        reader = bus.subscribe(None, 0, overflow="drop_oldest", kind="mcp", name="slow")
        self._reader = self._stack.enter_context(reader)
        while not (await anext(self._reader)).live:
            pass

    async def read_on(self) -> int:
        """Come back to find this many dropped."""
        gap = (await anext(self._reader)).gap
        assert gap is not None
        return gap.count

    async def leave(self) -> None:
        await trio.lowlevel.checkpoint()
        self._stack.close()


@aio
async def test_a_client_that_lags_and_one_that_lost_facts_are_told(
    tmp_path: Path,
) -> None:
    """BP-03"""
    with open_house_beside(tmp_path / "s", ring_events=8) as house:
        address = socket_address(tmp_path / "s")
        house.start("r")
        slow = SlowReader(house)
        house.beside.do(slow.read)
        house.record("r", *(Progress(step=str(number)) for number in range(50)))
        async with dashboard(address, size=(140, 40)) as (app, pilot):
            await pilot.press("4")
            await shows(app, "clients lag 50  1 mcp  1 ws")
            assert "dropped" not in text_of(app)
            dropped = house.beside.do(slow.read_on)
            assert 0 < dropped < 50
            await pilot.press("2")
            await shows(app, f"client slow dropped {dropped} events")
        async with dashboard(address, size=(140, 40)) as (app, pilot):
            await shows(app, f"0 queued  dropped {dropped}")
            await pilot.press("4")
            await shows(app, f"clients dropped {dropped}  lag ")
        house.beside.do(slow.leave)


@asynccontextmanager
async def open_after_a_crash(socket: Path) -> AsyncIterator[House]:
    """The life after one that died while a run executed."""
    async with (
        crashed({"on_restart": "requeue"}) as store,
        open_house(socket, kept=store, life="life-2") as house,
    ):
        yield house


@aio
async def test_what_a_start_has_repaired_is_an_alert(tmp_path: Path) -> None:
    """APP-07"""
    with open_beside(partial(open_after_a_crash, tmp_path / "s")):
        async with dashboard(socket_address(tmp_path / "s")) as (app, pilot):
            await pilot.press("2")
            await shows(app, "started: 1 requeued")


@aio
async def test_a_name_that_the_daemon_does_not_answer_to_is_not_taken_for_a_token(
    tmp_path: Path,
) -> None:
    """CL-02: the sentence is about the setting that would help."""
    with open_house_beside(tmp_path / "s", allowed_hosts=["other.example"]) as house:
        wire = cut_wire(house.house.port, TOKEN)
        async with wire as (_, near), dashboard(near, size=(200, 40)) as (app, _):
            await shows(app, "is not in allowed_hosts")
            assert near.base.removeprefix("http://") in text_of(app)
            assert "PENSTOCK_TOKEN" not in text_of(app)
            assert app.model.phase == "refused"
        wrong = Address(base=house.house.base, token="wrong")
        async with dashboard(wrong) as (app, _):
            await shows(app, "set PENSTOCK_TOKEN")
            assert app.model.phase == "refused"


@aio
async def test_a_dismissed_failure_is_so_on_every_screen_and_the_next_one(
    tmp_path: Path,
) -> None:
    """DU-06 TU-03: the daemon keeps it, so that a dashboard that begins anew does not call it news."""
    with open_house_beside(tmp_path / "s", kind("doomed", sleep)) as house:
        address = socket_address(tmp_path / "s")
        house.submit("doomed", {"seconds": 0, "fail": True}, run_id="broken")
        house.wait_ended("broken")
        async with dashboard(address) as (app, pilot):
            await shows(app, "1 failed")
            await pilot.press("X")
            await until(lambda: "1 failed" not in text_of(app), app)
            await until(lambda: SyncClient(address).get("dismissals")["runs"], app)
        async with dashboard(address) as (app, _):
            await shows(app, "broken")
            await shows(app, "ENDED TODAY")
            assert "1 failed" not in text_of(app)


@aio
async def test_a_filter_finds_what_is_not_loaded_and_the_cursor_keeps_its_run(
    tmp_path: Path,
) -> None:
    """DU-06 TU-02: the daemon is asked; whoever stood on a run that fits stands on it still."""
    with open_house_beside(tmp_path / "s") as house:
        address = socket_address(tmp_path / "s")
        for run_id in ("old", "other", "kept"):
            house.submit("echo", run_id=run_id)
        async with dashboard(address) as (app, pilot):
            await shows(app, "Runs 3/3")
            overview = app.screen
            assert isinstance(overview, Overview)
            # The list was read, and would not be read again over what follows.
            await shows(app, "● live")
            await until(lambda: app.model.health and not app.model.broken, app)
            # As after a day of many: it is not among those that are loaded.
            del app.model.runs["old"]
            await until(lambda: "Runs 2/2" in text_of(app), app)
            overview.table.select("kept")
            await pilot.press("slash", *"old", "enter")
            await shows(app, "Runs 1/3  / old")
            await pilot.press("slash", "escape")
            await shows(app, "Runs 3/3")
            overview.table.select("kept")
            await pilot.press("slash", *"kept", "enter")
            await shows(app, "Runs 1/3  / kept")
            assert overview.run_id == "kept"
            await pilot.press("escape")
            await shows(app, "Runs 3/3")
            assert overview.run_id == "kept"


@aio
async def test_runs_that_come_later_get_their_numbers_too(tmp_path: Path) -> None:
    """DU-03: no fact tells them, so they are asked for."""
    with open_house_beside(tmp_path / "s") as house:
        house.submit("sleep", labels={"name": "before"}, stashed=True)
        async with dashboard(socket_address(tmp_path / "s")) as (app, _):
            await shows(app, "1 before")
            house.submit("sleep", labels={"name": "later"}, stashed=True)
            await shows(app, "2 later")
            assert not app.model.unnumbered


def has_told(app: Dashboard) -> bool:
    """Whether the screen of a run is open and has all of it."""
    screen = app.screen
    return isinstance(screen, RunScreen) and screen.told


@aio
async def test_a_run_that_is_named_at_the_start_is_opened(tmp_path: Path) -> None:
    """TU-02: by its number too, and once there is a daemon; of one that nobody knows it is said."""
    with open_house_beside(tmp_path / "s") as house:
        run_id = house.submit("sleep", run_id="wanted", stashed=True)
        for word in (run_id, "1"):
            address = socket_address(tmp_path / "s")
            async with dashboard(address, opens=word) as (app, _):
                await until(lambda: app.current_run() == run_id, app)
                await until(partial(has_told, app), app)
        async with dashboard(address, opens="nobody") as (app, _):
            await shows(app, "there is no run 'nobody'")
