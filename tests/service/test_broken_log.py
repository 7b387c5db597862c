"""What clients hear while the log breaks under a daemon: whole processes, real sockets, in this one."""

from __future__ import annotations

import json
import logging
import math
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest
import trio

from penstock.log import put_back
from penstock.log.put_back import one_broken_store
from penstock.service.daemon import Daemon, open_daemon
from penstock.words.config import Config
from penstock.words.errors import StoreBroken

pytestmark = pytest.mark.processes

PATIENCE = 60
RUN = {"kind": "command", "inputs": {"argv": ["true"]}}


class Listener:
    """Follows the stream of all facts, in one form, to its end."""

    def __init__(self, accept: str) -> None:
        self.accept = accept
        self.heard = ""

    async def follow(  # noqa: ASYNC114
        self, client: httpx.AsyncClient, *, task_status: trio.TaskStatus[None]
    ) -> None:
        async with client.stream(
            "GET", "/events", headers={"Accept": self.accept}
        ) as stream:
            async for text in stream.aiter_text():
                if not self.heard:
                    task_status.started()
                self.heard += text

    def last_frame(self) -> dict[str, Any]:
        line = self.heard.strip().splitlines()[-1]
        frame: dict[str, Any] = json.loads(line.removeprefix("data: "))
        return frame


def client_of(daemon: Daemon) -> httpx.AsyncClient:
    transport = httpx.AsyncHTTPTransport(uds=str(daemon.paths.socket))
    return httpx.AsyncClient(
        transport=transport, base_url="http://localhost", timeout=PATIENCE
    )


async def test_who_submits_after_the_database_was_removed_is_told_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """ST-07 ER-01: the answer comes whole before the daemon ends, and no fault is logged."""
    # The request finds it, and not the daemon's own look.
    monkeypatch.setattr(put_back, "LOOK_SECONDS", math.inf)
    config = Config(port=0, state_dir=tmp_path, auth=False)
    environ = {"HOME": str(tmp_path), "PATH": "/usr/bin:/bin"}
    answers: list[httpx.Response] = []
    streams = [Listener("application/x-ndjson"), Listener("text/event-stream")]
    with caplog.at_level(logging.INFO), trio.fail_after(PATIENCE):
        async with AsyncExitStack() as opened, trio.open_nursery() as clients:

            async def submit(client: httpx.AsyncClient) -> None:
                answers.append(await client.post("/runs", json=RUN))

            with pytest.raises(StoreBroken, match="was removed"), one_broken_store():
                async with open_daemon(config, environ) as daemon:
                    client = await opened.enter_async_context(client_of(daemon))
                    for stream in streams:
                        await clients.start(stream.follow, client)
                    daemon.paths.database.unlink()
                    for _ in range(5):
                        clients.start_soon(submit, client)
                    await trio.sleep_forever()
    told = [(answer.status_code, answer.json()["type"]) for answer in answers]
    assert (500, "urn:penstock:store-broken") in told
    # Who came a moment later met a daemon that stops.
    assert set(told) <= {
        (500, "urn:penstock:store-broken"),
        (503, "urn:penstock:shutting-down"),
    }
    assert "no longer be trusted" in answers[0].json()["detail"]
    assert [stream.last_frame()["type"] for stream in streams] == ["bye", "bye"]
    assert not [record for record in caplog.records if record.exc_info]
