"""A conversation with a scripted agent over streams in memory, and who listens to it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import trio
import trio.testing

from fakes.scripted_agent import ScriptedAgent
from penstock.kinds.agent.connection import Agent, open_agent
from penstock.kinds.agent.offered import PermissionWish
from penstock.pipeline import DeferredFailure


@dataclass(eq=False)
class Heard:
    """Keeps what it hears, and answers every wish by `answer` after `seconds`; None: never."""

    answer: str | None = "once"
    seconds: float | None = 0.0
    updates: list[dict[str, Any]] = field(default_factory=list)
    wishes: list[PermissionWish] = field(default_factory=list)
    taken_back: list[tuple[Any, str]] = field(default_factory=list)
    noises: list[str] = field(default_factory=list)
    wished: trio.Event = field(default_factory=trio.Event)

    async def updated(self, update: dict[str, Any]) -> None:
        self.updates.append(update)
        # Each would take longer than all else that an update takes.
        if len(self.updates) % 100 == 1:
            await trio.lowlevel.checkpoint()

    async def permit(self, wish: PermissionWish) -> str | None:
        self.wishes.append(wish)
        self.wished.set()
        if self.seconds is None:
            await trio.sleep_forever()
        await trio.sleep(self.seconds or 0)
        return self.answer

    async def withdrawn(self, wish: PermissionWish, reason: str) -> None:
        await trio.lowlevel.checkpoint()
        self.taken_back.append((wish.id, reason))

    async def noise(self, text: str) -> None:
        await trio.lowlevel.checkpoint()
        self.noises.append(text)

    @property
    def said(self) -> str:
        """All text the agent said."""
        return "".join(
            update["content"].get("text", "")
            for update in self.updates
            if update["sessionUpdate"] == "agent_message_chunk"
        )


@asynccontextmanager
async def open_talk(
    scenario: str, listener: Any, cwd: Path = Path("/nowhere")
) -> AsyncIterator[tuple[Agent, ScriptedAgent]]:
    """The agent as its client sees it, and as it is. It is no more when the block is left."""
    to_agent, stdin = trio.testing.lockstep_stream_one_way_pair()
    stdout, from_agent = trio.testing.lockstep_stream_one_way_pair()
    scripted = ScriptedAgent(scenario, stdin, stdout, cwd)
    block, living = DeferredFailure(), trio.CancelScope(shield=True)

    async def act() -> None:
        # A cancel of whoever talks with a program does not reach it before it is told.
        with living:
            await scripted.live()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(act)
        try:
            with block:
                async with open_agent(from_agent, to_agent, listener) as agent:
                    yield agent, scripted
        finally:
            living.cancel(reason="the program is ended")
    block.reraise()


@asynccontextmanager
async def open_session(
    scenario: str, listener: Any, cwd: Path = Path("/nowhere")
) -> AsyncIterator[tuple[Agent, ScriptedAgent]]:
    """As `open_talk`, with a session opened."""
    async with open_talk(scenario, listener, cwd) as (agent, scripted):
        await agent.greet("0")
        await agent.new_session(str(cwd))
        yield agent, scripted
