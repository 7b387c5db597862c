"""The surfaces on a whole daemon: real store, real processes, real sockets, in this process."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import trio
import trio.testing

from penstock.client.rest import Client, open_client
from penstock.client.stream import Facts, open_stream
from penstock.service.daemon import Daemon, open_daemon
from penstock.words.address import Address, read_token
from penstock.words.config import Config
from penstock.words.errors import (
    OtherInputs,
    RunNotFound,
    TooLarge,
    Unauthorised,
)

pytestmark = pytest.mark.processes


@asynccontextmanager
async def open_whole(folder: Path, **settings: Any) -> AsyncIterator[Daemon]:
    """A daemon on a free port whose whole world is one folder."""
    config = Config(port=0, state_dir=folder, **settings)
    with trio.fail_after(60):
        async with open_daemon(
            config, {"HOME": str(folder), "PATH": "/usr/bin:/bin"}
        ) as daemon:
            yield daemon


@asynccontextmanager
async def open_tcp_client(
    daemon: Daemon, token: str | None = None
) -> AsyncIterator[Client]:
    """A client on the port, with the daemon's own token unless another is given."""
    shown = token or read_token(daemon.paths.token)
    async with open_client(Address(base=daemon.base, token=shown)) as client:
        yield client


@asynccontextmanager
async def open_unix_client(daemon: Daemon) -> AsyncIterator[Client]:
    """A client on the Unix socket, which needs no token."""
    address = Address(base="http://localhost", socket=daemon.paths.socket)
    async with open_client(address) as client:
        yield client


def python(code: str) -> dict[str, Any]:
    return {"kind": "command", "inputs": {"argv": [sys.executable, "-c", code]}}


async def story(client: Client, run_id: str, after: int = 0) -> list[tuple[int, str]]:
    """Position and type of all that a run's stream tells until it ends."""
    told = []
    async with client.follow(run_id, after=after) as stream:
        async for news in stream:
            if isinstance(news, Facts):
                told += [(fact.sequence, fact.type) for fact in news.facts]
    return told


async def test_a_run_is_the_same_on_every_surface_and_after_a_restart(
    tmp_path: Path,
) -> None:
    """APP-08, WS-06, API-05, API-09"""
    async with open_whole(tmp_path) as daemon, open_tcp_client(daemon) as client:
        made = await client.submit({**python("print('hello')"), "run_id": "a b"})
        assert made["run_id"] == "a b"
        told = await story(client, "a b")
        assert [sequence for sequence, _ in told] == list(range(1, len(told) + 1))
        types = [name for _, name in told]
        assert types[:2] == ["run.queued", "run.started"]
        assert types[-1] == "run.completed"
        assert "log" in types
        async with open_unix_client(daemon) as local:
            assert await story(local, "a b") == told
            seen = await local.run("a b")
        assert seen == await client.run("a b")
        assert seen["state"] == "completed"
        page = await client.events("a b")
        assert [event["event"]["type"] for event in page["events"]] == types
        assert (await client.runs("state:completed"))["runs"][0]["run_id"] == "a b"
        assert (await client.submit({**python("print('hello')"), "run_id": "a b"}))[
            "sequence"
        ]
        with pytest.raises(OtherInputs):
            await client.submit({**python("print('other')"), "run_id": "a b"})
    async with open_whole(tmp_path) as daemon, open_tcp_client(daemon) as client:
        assert await client.run("a b") == seen
        assert await story(client, "a b") == told


async def test_a_cancel_waits_until_nothing_is_left(tmp_path: Path) -> None:
    """API-10, CN-01"""
    async with open_whole(tmp_path) as daemon, open_tcp_client(daemon) as client:
        run_id = (await client.submit(python("import time; time.sleep(60)")))["run_id"]
        async with client.follow(run_id) as stream:
            async for news in stream:
                if isinstance(news, Facts) and any(
                    f.type == "process.started" for f in news.facts
                ):
                    break
        receipt = await client.cancel(run_id, "enough", wait=True)
        assert receipt["outcome"] == "cancelled"
        assert receipt["gone_at"] is not None
        assert receipt["survivors"] == []
        assert (await client.run(run_id))["state"] == "cancelled"
        again = await client.cancel(run_id, wait=True)
        assert again["outcome"] == "already_terminal"
        assert (await client.cancel("never seen"))["outcome"] == "tombstoned"


async def test_a_stop_gives_streams_the_end_of_the_story(tmp_path: Path) -> None:
    """APP-06: a run that cannot be requeued ends, and its watcher hears it before the door shuts."""
    told: list[str] = []

    async def watch(address: Address, run_id: str) -> None:
        async with open_stream(address, run_id) as stream:
            async for news in stream:
                if isinstance(news, Facts):
                    told.extend(fact.type for fact in news.facts)

    async with trio.open_nursery() as nursery:
        async with open_whole(tmp_path) as daemon:
            async with open_tcp_client(daemon) as client:
                run_id = (await client.submit(python("import time; time.sleep(60)")))[
                    "run_id"
                ]
            address = Address(base=daemon.base, token=read_token(daemon.paths.token))
            nursery.start_soon(watch, address, run_id)
            while "process.started" not in told:
                await trio.testing.wait_all_tasks_blocked(0.01)
        nursery.cancel_scope.deadline = trio.current_time() + 10
    assert told[-1] == "run.failed"


async def test_strangers_and_floods_are_turned_away(tmp_path: Path) -> None:
    """API-08, ER-02, law 7"""
    async with open_whole(tmp_path, max_body_bytes=10_000) as daemon:
        async with open_tcp_client(daemon, "wrong") as stranger:
            with pytest.raises(Unauthorised):
                await stranger.runs()
            with pytest.raises(Unauthorised):
                await story(stranger, "r")
            assert (await stranger.health())["status"] == "ok"
        async with open_tcp_client(daemon) as client:
            with pytest.raises(TooLarge, match="10000"):
                await client.submit(python("x" * 20_000))
            with pytest.raises(RunNotFound):
                await client.run("nothing")
            assert (await client.get("queue"))["running"] == 0
            kinds = (await client.get("pipelines"))["pipelines"]
            assert "command" in [kind["name"] for kind in kinds]
