"""Why, pause, resume and drain on a whole daemon, over its port."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import trio

from penstock.client.rest import Client, open_client
from penstock.service.daemon import open_daemon
from penstock.words.address import Address, read_token
from penstock.words.api import WhyReply, WhysReply
from penstock.words.config import Config, Group
from penstock.words.errors import Conflict, NotAvailable, NotFound, Refused

pytestmark = pytest.mark.processes


@asynccontextmanager
async def open_daemon_client(folder: Path, **settings: Any) -> AsyncIterator[Client]:
    """A client of a daemon on a free port whose whole world is one folder."""
    config = Config(port=0, state_dir=folder, **settings)
    environ = {"HOME": str(folder), "PATH": "/usr/bin:/bin"}
    with trio.fail_after(60):
        async with open_daemon(config, environ) as daemon:
            address = Address(base=daemon.base, token=read_token(daemon.paths.token))
            async with open_client(address) as client:
                yield client


def sleeper(run_id: str, seconds: float = 60, **others: Any) -> dict[str, Any]:
    argv = [sys.executable, "-c", f"import time; time.sleep({seconds})"]
    inputs = {"argv": argv}
    return {"kind": "command", "inputs": inputs, "run_id": run_id, **others}


async def test_why_answers_and_knows_no_strangers(tmp_path: Path) -> None:
    """SC-14"""
    async with open_daemon_client(tmp_path, max_concurrent=1) as client:
        await client.submit(sleeper("first"))
        await client.submit(sleeper("second"))
        told = WhyReply.model_validate(await client.why("second"))
        assert (told.run_id, told.state) == ("second", "queued")
        assert [reason.code for reason in told.reasons] == ["slots", "first"]
        assert told.reasons[0].runs == ("first",)
        assert told.text.startswith("The only slot is taken, by first (MEDIUM).")
        with pytest.raises(NotFound):
            await client.why("nobody")


async def test_several_are_explained_at_once(tmp_path: Path) -> None:
    """SC-14, DU-03: in the order in which they are asked for, with the numbers of who is named."""
    async with open_daemon_client(tmp_path, max_concurrent=1) as client:
        first = await client.submit(sleeper("first"))
        for n in range(3):
            await client.submit(sleeper(f"later-{n}", after=["first"]))
        asked = ["later-2", "nobody", "later-0", "first"]
        told = WhysReply.model_validate(await client.whys(asked))
        assert [why.run_id for why in told.runs] == ["later-2", "later-0", "first"]
        assert [why.reasons[0].code for why in told.runs] == [
            "prerequisites",
            "prerequisites",
            "running",
        ]
        assert told.numbers["first"] == first["number"]
        with pytest.raises(Refused, match="runs"):
            await client.whys([f"r-{n}" for n in range(21)])


async def test_a_pause_is_told_and_outlives_the_daemon(tmp_path: Path) -> None:
    """SC-14"""
    groups = {"gpu": Group(slots=1)}
    async with open_daemon_client(tmp_path, groups=groups) as client:
        told = await client.pause("gpu", "driver update")
        assert told["paused"] == [{"group": "gpu", "reason": "driver update"}]
        assert told["groups"] == {"gpu": {"slots": 1, "running": 0, "queued": 0}}
        await client.submit(sleeper("r", 0, group="gpu"))
        assert (await client.why("r"))["reasons"][0]["code"] == "group_paused"
        with pytest.raises(Refused, match="no group"):
            await client.pause("nothing", "")
    async with open_daemon_client(tmp_path, groups=groups) as client:
        assert (await client.get("queue"))["paused"][0]["group"] == "gpu"
        assert (await client.resume("gpu"))["paused"] == []
        async with client.follow("r") as stream:
            async for _ in stream:
                pass
        assert (await client.run("r"))["state"] == "completed"


async def test_a_drain_refuses_what_is_new_and_waits_for_the_rest(
    tmp_path: Path,
) -> None:
    async with open_daemon_client(tmp_path, max_concurrent=1) as client:
        await client.submit(sleeper("one", 0.3))
        await client.submit(sleeper("two", 0.3))
        began = await client.drain(None, wait=False)
        assert began["draining"] == [None]
        with pytest.raises(NotAvailable, match="drained"):
            await client.submit(sleeper("three"))
        done = await client.drain(None, wait=True)
        assert (done["running"], done["queued"]) == (0, 0)
        assert (await client.run("two"))["state"] == "completed"
        assert (await client.resume(None))["draining"] == []
        await client.pause(None, "for now")
        await client.submit(sleeper("three"))
        with pytest.raises(Conflict, match="resume it first"):
            await client.drain(None, wait=True)


async def test_the_queue_tells_that_it_is_paused_and_health_how_large_the_log_is(
    tmp_path: Path,
) -> None:
    """SC-14, API-06: what the dashboard's gauge and daemon panel show."""
    async with open_daemon_client(tmp_path) as client:
        await client.pause(None, "a new disk")
        told = await client.get("queue")
        assert told["paused"] == [{"group": None, "reason": "a new disk"}]
        before = (await client.health())["store"]["size"]
        assert before > 0
        for number in range(40):
            await client.submit(sleeper(f"r{number}", labels={"note": "x" * 250}))
        assert (await client.health())["store"]["size"] > before


async def test_the_line_is_changed_over_rest(tmp_path: Path) -> None:
    """DU-04, DU-05: a moment, a stash, a priority, other inputs, slots and a schedule."""
    async with open_daemon_client(tmp_path, max_concurrent=1) as client:
        await client.submit(sleeper("busy"))
        told = await client.submit(sleeper("r", 60, delay=3600.0))
        assert told["state"] == "queued"
        changed = await client.rearrange("r", stashed=True, priority="HIGH")
        assert (changed["stashed"], changed["priority"]) == (True, "HIGH")
        edited = await client.edit("r", {"argv": ["true"]})
        assert edited["inputs"]["argv"] == ["true"]
        assert (await client.slots(None, 2))["slots"] == 2
        await client.rearrange("r", stashed=False)
        async with client.follow("r") as stream:
            async for _ in stream:
                pass
        assert (await client.run("r"))["state"] == "completed"
        run = {"kind": "command", "inputs": {"argv": ["true"]}}
        every = await client.set_schedule({"name": "s", "timing": "1d", "run": run})
        assert every["next_run"].startswith("s@")
        assert (await client.remove_schedule("s"))["schedules"] == []
        with pytest.raises(NotFound):
            await client.remove_schedule("s")
        async with client.follow("busy") as stream:
            async for news in stream:
                facts = getattr(news, "facts", ())
                if any(fact.type == "process.started" for fact in facts):
                    break
        assert (await client.pause_run("busy"))["state"] == "paused"
        assert (await client.resume_run("busy"))["state"] == "running"
