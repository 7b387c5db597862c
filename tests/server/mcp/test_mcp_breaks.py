"""RS-01: an MCP server that breaks is its own trouble."""

from __future__ import annotations

import logging
from typing import Any

import pytest
import trio

from fakes.cores import open_fake_core, request, wait_ended
from penstock.server.mcp.lazy import open_mcp
from penstock.server.shutdown import Shutdown


async def test_an_mcp_server_that_breaks_ends_nobody_else(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """RS-01: who asks is told to come again, and the runs go on."""

    def broken(*_parts: Any) -> Any:
        raise RuntimeError("a broken library")

    answers: list[dict[str, Any]] = []

    async def send(message: Any) -> None:
        await trio.lowlevel.checkpoint()
        answers.append(message)

    async def receive() -> Any:
        await trio.sleep_forever()

    with trio.fail_after(60):
        async with open_fake_core() as core:
            mcp = open_mcp(core, Shutdown(), base="http://localhost", build=broken)
            async with mcp as ask:
                await ask({"type": "http", "method": "POST"}, receive, send)
                assert answers[0]["status"] == 503
                await core.submitter.submit(request(run_id="a"))
                await wait_ended(core, "a")
    told = [r for r in caplog.records if r.levelno == logging.ERROR]
    assert "serving MCP failed" in told[0].getMessage()
