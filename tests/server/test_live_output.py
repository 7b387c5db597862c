"""PT-04 PT-06: a run told live to the client that started it."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
import trio

from fakes.house import TOKEN, House, open_house
from penstock.kinds.command import KIND
from penstock.testing import FakeProcesses, FakeProgram
from penstock.words.events import Log, RunCompleted
from penstock.words.live_frames import BEGUN, MESSAGE, STDERR, STDOUT, LiveFrames

pytestmark = pytest.mark.sockets

KIB = 1024
LIVE = {"Prefer": "live-output"}


def house_of(unix: Path | None = None, **settings: Any) -> Any:
    programs = FakeProcesses(
        {
            "speaks": FakeProgram(stdout=b"out\0\xff", stderr=b"err"),
            "parrot": FakeProgram.echoing(),
        }
    )
    return open_house(unix, KIND, processes=programs, **settings)


async def submit(
    client: httpx.AsyncClient, *argv: str, live: bool = True, **others: Any
) -> dict[str, Any]:
    body = {"kind": "command", "run_id": "r", "inputs": {"argv": list(argv)}, **others}
    answer = await client.post("/runs", json=body, headers=LIVE if live else {})
    reply: dict[str, Any] = answer.json()
    return reply


async def told(client: httpx.AsyncClient) -> list[tuple[int, bytes]]:
    """Everything, to the end."""
    answer = await client.get("/runs/r/live")
    assert answer.status_code == 200, answer.text
    return list(LiveFrames().feed(answer.content))


def messages(frames: list[tuple[int, bytes]]) -> list[dict[str, Any]]:
    return [json.loads(data) for kind, data in frames if kind == MESSAGE]


async def test_who_starts_a_run_is_told_all_that_it_prints_and_what_happens() -> None:
    """PT-06: its bytes by themselves, and the facts without them, to the end."""
    async with house_of() as house, house.http() as client:
        await house.core.queue.pause()
        reply = await submit(client, "speaks")
        assert reply["live"] is True
        frames = list[tuple[int, bytes]]()
        async with trio.open_nursery() as nursery:

            @nursery.start_soon
            async def _() -> None:
                frames.extend(await told(client))

            await house.wait_subscribers(1)
            await house.core.queue.resume()
        printed = [frame for frame in frames if frame[0] != MESSAGE]
        assert printed == [(BEGUN, b""), (STDOUT, b"out\0\xff"), (STDERR, b"err")]
        facts = [
            fact for message in messages(frames) for fact in message.get("events", ())
        ]
        types = [fact["event"]["type"] for fact in facts]
        assert types[0] == "run.queued"
        assert types[-1] == "run.completed"
        assert "log" not in types
        assert messages(frames)[-1]["type"] == "bye"
        # The record is made of the same bytes.
        logs = [f.event for f in await house.facts("r") if isinstance(f.event, Log)]
        assert {log.stream for log in logs} == {"stdout", "stderr"}


async def test_only_who_was_promised_it_is_told_and_only_once() -> None:
    """PT-06: for owners, and behind the guard as everything else."""
    async with house_of() as house, house.http() as client:
        reply = await submit(client, "speaks", live=False)
        assert "live" not in reply
        assert (await client.get("/runs/r/live")).status_code == 409
        await house.wait_fact("r", RunCompleted)
        # The same id again is the same run, which somebody else started.
        again = await submit(client, "speaks")
        assert (again["created"], "live" in again) == (False, False)
        assert (await client.get("/runs/r/live")).status_code == 409
        assert (await client.get("/runs/r/live?no=1")).status_code == 400
        async with house.http(None) as stranger:
            assert (await stranger.get("/runs/r/live")).status_code == 401


@asynccontextmanager
async def reading_nothing(house: House) -> AsyncIterator[trio.SocketStream]:
    """A client that asked, and reads no more than the head."""
    if house.unix is None:
        stream = await house.raw()
    else:
        stream = await trio.open_unix_socket(house.unix)
    async with stream:
        head = f"GET /runs/r/live HTTP/1.1\r\nHost: {house.base[7:]}\r\n"
        await stream.send_all(f"{head}Authorization: Bearer {TOKEN}\r\n\r\n".encode())
        assert b"200" in await stream.receive_some(12)
        yield stream


async def send_much(client: httpx.AsyncClient, count: int, sent: list[int]) -> None:
    headers = {"Content-Type": "application/octet-stream"}
    for _ in range(count):
        body = bytes(64 * KIB)
        await client.post("/runs/r/stdin", content=body, headers=headers)
        sent.append(len(body))


async def test_a_client_that_reads_nothing_holds_its_program_back_however_long(
    tmp_path: Path,
) -> None:
    """PT-06: as a pipe does; it is not broken off for that, and when it goes the run goes on."""
    # The kernel keeps 200 KiB for a Unix socket, and many times that for TCP, all to be carried.
    much, settings = 60, {"stall_timeout": 0.1, "live_bytes": 256 * KIB}
    async with house_of(tmp_path / "s", **settings) as house, house.http() as client:
        await submit(client, "parrot", inputs={"argv": ["parrot"], "stdin": "open"})
        sent = list[int]()
        async with trio.open_nursery() as nursery:
            async with reading_nothing(house) as stream:
                nursery.start_soon(send_much, client, much, sent)
                before = -1
                while before != len(sent):
                    before = len(sent)
                    # Longer than a client may stall elsewhere.
                    await trio.sleep(0.5)
                assert len(sent) < much
                # It is still there, and gets what comes.
                assert len(await stream.receive_some(64 * KIB)) > 0
        assert len(sent) == much
        await house.core.control.cancel("r", "enough", wait=True)


async def test_a_held_back_program_is_ended_by_a_cancel_in_its_time() -> None:
    """CN-03: whoever reads nothing delays no proof."""
    async with house_of() as house, house.http() as client:
        await submit(client, "parrot", inputs={"argv": ["parrot"], "stdin": "open"})
        async with trio.open_nursery() as nursery, reading_nothing(house):
            nursery.start_soon(send_much, client, 100, [])
            await trio.sleep(0.3)
            receipt = await house.core.control.cancel("r", "enough", wait=True)
            assert receipt.survivors == ()
            nursery.cancel_scope.cancel(reason="the run has ended")
