"""Agents started for a moment, to see whether they answer and let their user in. None is asked anything."""

from __future__ import annotations

import os
import signal
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any

import trio

from penstock import __version__
from penstock.cli.agents_here import AgentHere
from penstock.kinds.agent.connection import open_agent
from penstock.kinds.agent.failures import AgentRefused
from penstock.kinds.agent.offered import PermissionWish
from penstock.kinds.agent.presets import AgentPreset
from penstock.words.errors import PenstockError

#: Seconds from the start of an agent to its first session: the slowest takes a quarter of them.
MOST_SECONDS = 60.0


async def shake_hands(
    found: Sequence[AgentHere],
    known: Mapping[str, AgentPreset],
    environ: Mapping[str, str],
) -> list[AgentHere]:
    """The same with what ails those that nothing is known to ail; each is started as it is `known`."""
    said: dict[str, str] = {}

    async def one(name: str) -> None:
        said[name] = await _shake_hands(known[name], environ)

    async with trio.open_nursery() as nursery:
        for agent in found:
            if not agent.trouble:
                nursery.start_soon(one, agent.name)
    return [replace(a, trouble=a.trouble or said[a.name]) for a in found]


async def _shake_hands(preset: AgentPreset, environ: Mapping[str, str]) -> str:
    # What it left at work elsewhere may write there still: that is no fault of the check.
    with tempfile.TemporaryDirectory(
        prefix="penstock-", ignore_cleanup_errors=True
    ) as folder:
        try:
            process = await trio.lowlevel.open_process(
                list(preset.command),
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                cwd=folder, env={**environ, **preset.env}, start_new_session=True,
            )  # fmt: skip
        except OSError as error:
            return f"does not start: {error.strerror}"
        try:
            with trio.move_on_after(MOST_SECONDS):
                return await _converse(process, folder, preset)
            return f"says nothing for {MOST_SECONDS:g} s"
        finally:
            _end(process)
            with trio.CancelScope(shield=True):
                await process.wait()


async def _converse(process: trio.Process, folder: str, preset: AgentPreset) -> str:
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        async with open_agent(process.stdout, process.stdin, Unheard()) as agent:
            await agent.greet(__version__)
            await agent.new_session(folder, ())
    except AgentRefused as error:
        if error.needs_login:
            login = f": `{preset.login}`" if preset.login else ""
            return f"not logged in{login}"
        return str(error)
    except PenstockError as error:
        return str(error)
    return ""


def _end(process: trio.Process) -> None:
    """End it, and what it started and did not put elsewhere."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)


class Unheard:
    """Listens to an agent that was asked nothing."""

    async def updated(self, update: dict[str, Any]) -> None:
        """See `Listener`."""
        await trio.lowlevel.checkpoint()

    async def permit(self, wish: PermissionWish) -> str | None:
        """See `Listener`: nothing is allowed."""
        await trio.lowlevel.checkpoint()
        return None

    async def withdrawn(self, wish: PermissionWish, reason: str) -> None:
        """See `Listener`."""
        await trio.lowlevel.checkpoint()

    async def noise(self, text: str) -> None:
        """See `Listener`."""
        await trio.lowlevel.checkpoint()
