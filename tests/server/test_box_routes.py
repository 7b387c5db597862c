"""The boxes that share a log, over real sockets: `/boxes`, `/health`, `/metrics`, lists."""

from __future__ import annotations

from functools import partial

import pytest
import trio

from fakes.boxes import ATTIC, CELLAR, LOFT, box_row
from fakes.house import House, open_house
from penstock.server.mcp.arguments import NoArguments
from penstock.server.mcp.calls import Caller, tool_calls
from penstock.server.meter import attach_meter
from penstock.server.metrics import MOST_BOXES, make_renderer
from penstock.server.rest.daemon import Metrics
from penstock.server.routes import ROUTES, Call
from penstock.words.daemon_replies import BoxesReply
from penstock.words.errors import StoreUnavailable

pytestmark = pytest.mark.sockets

open_loft = partial(open_house, box="loft")


async def numbers_of(house: House) -> dict[str, float]:
    """The metrics of boxes, by name and labels."""
    render = make_renderer(house.core, attach_meter(house.core), None)
    lines = render("")[0].decode().splitlines()
    told = (line.rpartition(" ") for line in lines if not line.startswith("#"))
    return {name: float(value) for name, _, value in told if "box" in name or "lease" in name}  # fmt: skip


async def test_boxes_are_told_with_how_each_stands() -> None:
    """MB-03"""
    async with open_loft() as house, house.http() as client:
        [alone] = BoxesReply.model_validate((await client.get("/boxes")).json()).boxes
        assert (alone.box, alone.own, alone.lease_seconds) == ("loft", True, None)
        house.store.sharers = [ATTIC, CELLAR, LOFT]
        await house.start("r")
        told = BoxesReply.model_validate((await client.get("/boxes")).json()).boxes
        assert [(box.box, box.standing, box.running) for box in told] == [
            ("attic", "ok", 0), ("cellar", "lost", 0), ("loft", "ok", 1),
        ]  # fmt: skip
        # What tells machines apart is nobody else's.
        assert "machine" not in (await client.get("/boxes")).text
        house.store.fail_reads(StoreUnavailable("the server is away"))
        assert (await client.get("/boxes")).status_code == 503


async def test_health_tells_of_a_loss_and_of_the_own_lease() -> None:
    """MB-03"""
    async with open_loft() as house, house.http() as client:
        house.store.sharers = [CELLAR, LOFT]
        answer = await client.get("/health")
        assert answer.status_code == 503
        assert answer.json()["reasons"][0].startswith("the box cellar is lost")
        # By its own count: most of all where the log's server says nothing.
        house.store.fail_reads(StoreUnavailable("the server is away"))
        for told in (answer, await client.get("/health")):
            lease = {"seconds": 120.0, "usable": 105.0, "left": 104.0}
            assert told.json()["lease"] == lease


async def test_a_run_is_found_by_its_box() -> None:
    """MB-03: in lists and on its own, under one name."""
    async with open_loft() as house, house.http() as client:
        await house.start("r")
        await house.core.queue.pause()
        await client.post("/runs", json={"kind": "echo", "run_id": "later"})

        async def found(q: str) -> list[tuple[str, str]]:
            rows = (await client.get("/runs", params={"q": q})).json()["runs"]
            return [(row["run_id"], row["box"]) for row in rows]

        assert await found("") == [("later", ""), ("r", "loft")]
        assert await found("box:loft") == [("r", "loft")]
        assert await found("box:attic") == []
        assert (await client.get("/runs/r")).json()["box"] == "loft"
        assert (await client.get("/runs/later")).json()["box"] == ""


async def test_boxes_are_numbers_too() -> None:
    """MB-03: none where one daemon alone writes the log."""
    async with open_loft() as house, house.http() as client:
        await client.get("/boxes")
        assert list(await numbers_of(house)) == ["penstock_lease_left_seconds"]
        house.store.sharers = [ATTIC, CELLAR, LOFT, box_row("shed", state="left")]
        await house.start("r")
        assert (await client.get("/boxes")).status_code == 200
        told = await numbers_of(house)
        assert told['penstock_boxes{standing="ok"}'] == 2
        assert told['penstock_boxes{standing="left"}'] == 1
        assert told['penstock_box_running{box="loft"}'] == 1
        assert told['penstock_box_slots{box="attic"}'] == 2
        assert told['penstock_box_silent_seconds{box="cellar"}'] == 130
        assert told['penstock_box_lost{box="cellar"}'] == 1
        assert told['penstock_box_lost{box="loft"}'] == 0
        assert told["penstock_lease_left_seconds"] == 104
        assert not any("shed" in name for name in told)


async def test_metrics_ask_for_boxes_and_do_without() -> None:
    """MB-08: who looks is told the numbers of last time while the log is away."""
    async with open_loft() as house:
        house.store.sharers = [LOFT]
        metrics = Metrics(house.core, attach_meter(house.core))
        [route] = [route for route in ROUTES if route.name == "metrics"]
        for _ in range(2):
            answer = await metrics.answer(Call(route, {}, {}, {}, b""))
            assert answer.status == 200
            assert 'penstock_box_lost{box="loft"}' in answer.body.decode()
            house.store.fail_reads(StoreUnavailable("the server is away"))


async def test_the_numbers_of_boxes_are_bounded() -> None:
    """D-10: boxes whose names are made up by the hundred; who is away comes first."""
    async with open_loft() as house, house.http() as client:
        names = [f"b{number:03}" for number in range(MOST_BOXES + 20)]
        house.store.sharers = [*map(box_row, names), CELLAR]
        await client.get("/boxes")
        told = await numbers_of(house)
        assert sum(name.startswith("penstock_box_slots") for name in told) == MOST_BOXES
        assert told['penstock_boxes{standing="ok"}'] == MOST_BOXES + 20
        assert told['penstock_box_lost{box="cellar"}'] == 1


async def test_an_agent_is_told_of_boxes_with_the_queue() -> None:
    """MCP-01 MB-03: only where there are several, since a model reads every byte."""
    async with open_loft() as house:
        look = tool_calls(house.core, house.shutdown)["queue_status"]

        async def report(_number: int, _said: str) -> None:
            await trio.lowlevel.checkpoint()

        caller = Caller(house.base, report)
        assert "boxes" not in await look(NoArguments(), caller)
        house.store.sharers = [ATTIC, LOFT]
        told = await look(NoArguments(), caller)
        assert [box["box"] for box in told["boxes"]] == ["attic", "loft"]
