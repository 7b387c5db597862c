"""A conversation with an agent's program: who reads, who writes, and who waits for what.

All of them live under a shield of their own, which ends when the block is left. Else the cancel of a
run would silence the reader before the agent has answered that it ended its turn.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import trio

from penstock.kinds.agent.failures import AgentGone, AgentRefused, AgentUnfit
from penstock.kinds.agent.messages import AgentAnswer, Noise
from penstock.kinds.agent.offered import (
    AgentSession,
    ChoiceName,
    Greeting,
    PermissionWish,
    mapping,
    read_greeting,
    read_options,
    read_session,
    text_of,
)
from penstock.kinds.agent.protocol import (
    VERSION,
    AgentProtocol,
    AgentReply,
    Happening,
    Update,
    Withdrawal,
)
from penstock.kinds.agent.turns import (
    AgentListener,
    AgentParting,
    TurnEnd,
    read_turn_end,
)
from penstock.pipeline import DeferredFailure

#: Seconds an agent has to end its turn after session/cancel. What remains of the five in which a
#: cancel is to be proven is TERM's, KILL's and the report's.
CANCEL_SECONDS = 1.0
#: Lines that wait for an agent which does not read; one that reads leaves none.
OUTGOING_LINES = 256
#: Seconds in which one that reads no more may still say why.
LAST_WORDS_SECONDS = 1.0
#: Bytes taken at once.
_PIECE = 64 * 1024

_TAKEN_BACK = "the agent took it back"
_METHODS_OF_THEIR_OWN: Mapping[ChoiceName, tuple[str, str]] = {
    "mode": ("session/set_mode", "modeId"),
    "model": ("session/set_model", "modelId"),
}


@dataclass(eq=False, slots=True)
class _Call:
    method: str
    answered: trio.Event = field(default_factory=trio.Event)
    answer: AgentAnswer | None = None


@dataclass(eq=False, slots=True)
class _OpenWish:
    scope: trio.CancelScope
    reason: str = ""


class Agent:
    """The agent, as long as the block of `open_agent` lasts.

    Whatever waits for an answer raises AgentRefused for an error and AgentGone once none will come.
    """

    def __init__(self, listener: AgentListener) -> None:
        self._listener = listener
        self._protocol = AgentProtocol()
        self._outgoing, self._lines = trio.open_memory_channel[bytes](OUTGOING_LINES)
        self._calls: dict[int, _Call] = {}
        self._wishes: dict[int | str, _OpenWish] = {}
        self._over = trio.Event()
        self._why_over = ""
        #: What a listener raised: nothing more is heard.
        self.failure = DeferredFailure()
        #: Ends the block in which the agent is used.
        self.using = trio.CancelScope()
        #: Trio's time of the last message that came.
        self.heard_at = trio.current_time()
        #: How the last turn that was cancelled from outside ended.
        self.parting: AgentParting | None = None
        self.session: AgentSession | None = None

    async def greet(self, version: str) -> Greeting:
        """Say who asks. AgentUnfit if the agent speaks another version of the protocol."""
        params = {
            "protocolVersion": VERSION,
            "clientCapabilities": {
                "fs": {"readTextFile": False, "writeTextFile": False},
                "terminal": False,
            },
            "clientInfo": {"name": "penstock", "title": "Penstock", "version": version},
        }
        result = await self._call("initialize", params)
        if self._protocol.broken:
            raise AgentUnfit(self._protocol.broken)
        return read_greeting(result)

    async def new_session(
        self, cwd: str, mcp_servers: Sequence[Mapping[str, Any]] = ()
    ) -> AgentSession:
        """Begin a conversation."""
        return await self._open("session/new", {}, cwd, mcp_servers)

    async def resume_session(
        self, session: str, cwd: str, mcp_servers: Sequence[Mapping[str, Any]] = ()
    ) -> AgentSession:
        """Take a conversation up again."""
        known = {"sessionId": session}
        return await self._open("session/resume", known, cwd, mcp_servers)

    async def load_session(
        self, session: str, cwd: str, mcp_servers: Sequence[Mapping[str, Any]] = ()
    ) -> AgentSession:
        """Take a conversation up again; the agent tells its past, which is not heard."""
        known = {"sessionId": session}
        return await self._open("session/load", known, cwd, mcp_servers)

    async def choose(self, name: ChoiceName, value: str) -> None:
        """Set the session's mode or model. AgentUnfit if it is not offered, or was not taken."""
        choice = self._session.choices.get(name)
        if choice is None:
            raise AgentUnfit(f"the agent lets nobody choose its {name}")
        # Lists of models are cut short; whether there is another, the agent says.
        if name == "mode" and choice.offered and value not in choice.offered:
            offered = ", ".join(choice.offered)
            raise AgentUnfit(f"the agent has no {name} {value!r}; it has {offered}")
        params: dict[str, Any] = {"sessionId": self._session.id}
        if choice.option:
            params |= {"configId": choice.option, "value": value}
            result = await self._call("session/set_config_option", params)
            told = read_options(mapping(result)).get(name)
            taken = told.current if told is not None else value
        else:
            method, key = _METHODS_OF_THEIR_OWN[name]
            await self._call(method, {**params, key: value})
            taken = value
        self.session = self._session.with_current(name, taken)
        if taken != value:
            raise AgentUnfit(f"the agent stays with {name} {taken!r}, not {value!r}")

    async def prompt(self, text: str, *, patience: float = CANCEL_SECONDS) -> TurnEnd:
        """Have the agent take a turn.

        A cancel from outside asks it to end the turn, waits `patience` seconds for that at most, and
        goes on; `parting` says how it went.
        """
        content = [{"type": "text", "text": text}]
        params = {"sessionId": self._session.id, "prompt": content}
        number, call = self._begin("session/prompt", params)
        try:
            await call.answered.wait()
        finally:
            # Not `except Cancelled`: out of a nursery it comes in a group.
            if not call.answered.is_set():
                with trio.move_on_after(patience, shield=True):
                    await self._part(call)
            self._calls.pop(number, None)
        return read_turn_end(self._result(call))

    def cancel_turn_nowait(self) -> None:
        """Ask the agent to end its turn; whoever waits for the turn goes on waiting."""
        if line := self._protocol.cancel_turn():
            self._send_nowait(line)
            for wish in self._wishes.values():
                _drop(wish, "the turn was cancelled")

    async def _part(self, call: _Call) -> None:
        began = trio.current_time()
        self.parting = None
        self.cancel_turn_nowait()
        try:
            await call.answered.wait()
        finally:
            stop_reason = None
            if call.answer is not None and call.answer.fault is None:
                stop_reason = read_turn_end(call.answer.result).stop_reason
            self.parting = AgentParting(trio.current_time() - began, stop_reason)

    # -- asking

    @property
    def _session(self) -> AgentSession:
        if self.session is None:
            raise RuntimeError("no session was opened")
        return self.session

    async def _open(
        self,
        method: str,
        known: dict[str, Any],
        cwd: str,
        mcp_servers: Sequence[Mapping[str, Any]],
    ) -> AgentSession:
        params = {**known, "cwd": cwd, "mcpServers": list(mcp_servers)}
        result = await self._call(method, params)
        self.session = read_session(self._protocol.session or "", result)
        return self.session

    async def _call(self, method: str, params: Mapping[str, Any]) -> Any:
        number, call = self._begin(method, params)
        try:
            await call.answered.wait()
        finally:
            self._calls.pop(number, None)
        return self._result(call)

    def _begin(self, method: str, params: Mapping[str, Any]) -> tuple[int, _Call]:
        if self._over.is_set():
            raise AgentGone(self._why_over)
        number, line = self._protocol.ask(method, params)
        self._calls[number] = call = _Call(method)
        self._send_nowait(line)
        return number, call

    def _result(self, call: _Call) -> Any:
        if call.answer is None:
            raise AgentGone(self._why_over)
        if call.answer.fault is not None:
            raise AgentRefused(call.method, call.answer.fault)
        return call.answer.result

    def _send_nowait(self, line: bytes) -> None:
        try:
            self._outgoing.send_nowait(line)
        except trio.WouldBlock:
            self._end("the agent does not read what it is told")
        except trio.BrokenResourceError:
            # Nobody writes any more; the reader learns why.
            pass

    # -- the tasks

    async def talk(
        self, stdout: trio.abc.ReceiveStream, stdin: trio.abc.SendStream
    ) -> None:
        """Hear the agent until it is over, and answer what it asks."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._write, stdin)
            nursery.start_soon(self._hear, stdout, nursery)

    async def _hear(
        self, stdout: trio.abc.ReceiveStream, nursery: trio.Nursery
    ) -> None:
        with self.failure:
            await self._read(stdout, nursery)
        self._end("what the agent said could not be taken")

    async def _write(self, stdin: trio.abc.SendStream) -> None:
        with self._lines:
            try:
                async for line in self._lines:
                    await stdin.send_all(line)
            except (trio.BrokenResourceError, trio.ClosedResourceError):
                pass
        with trio.move_on_after(LAST_WORDS_SECONDS):
            await self._over.wait()
        self._end("the agent does not read any more")

    async def _read(
        self, stdout: trio.abc.ReceiveStream, nursery: trio.Nursery
    ) -> None:
        try:
            while data := await stdout.receive_some(_PIECE):
                for happening in self._protocol.receive(bytes(data)):
                    await self._take(happening, nursery)
                if self._protocol.broken:
                    break
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            pass
        self._end(self._protocol.broken or "the agent has ended")

    def _end(self, why: str) -> None:
        """Nothing more is heard: whoever waits is told."""
        self._why_over = self._why_over or why
        self._over.set()
        for call in self._calls.values():
            call.answered.set()
        if self.failure.error is not None:
            self.using.cancel(reason="what the agent said could not be taken")

    async def _take(self, happening: Happening, nursery: trio.Nursery) -> None:
        if isinstance(happening, Noise):
            await self._listener.noise(happening.text)
            return
        self.heard_at = trio.current_time()
        if isinstance(happening, AgentAnswer):
            self._take_answer(happening)
        elif isinstance(happening, Update):
            self._look_at(happening.update)
            if not happening.past:
                await self._listener.updated(happening.update)
        elif isinstance(happening, AgentReply):
            self._send_nowait(happening.line)
        elif isinstance(happening, Withdrawal):
            if (wish := self._wishes.get(happening.id)) is not None:
                _drop(wish, _TAKEN_BACK)
        else:
            self._wishes[happening.id] = wish = _OpenWish(trio.CancelScope())
            nursery.start_soon(self._serve, happening, wish)

    def _take_answer(self, answer: AgentAnswer) -> None:
        if (call := self._calls.get(answer.number)) is not None:
            call.answer = answer
            call.answered.set()

    def _look_at(self, update: Mapping[str, Any]) -> None:
        """Keep what is chosen up to date."""
        if self.session is None:
            return
        if update.get("sessionUpdate") == "current_mode_update":
            mode = text_of(update.get("currentModeId"))
            self.session = self.session.with_current("mode", mode)
        elif update.get("sessionUpdate") == "config_option_update":
            for name, choice in read_options(update).items():
                self.session = self.session.with_current(name, choice.current)

    async def _serve(self, wish: PermissionWish, open_wish: _OpenWish) -> None:
        """Have a wish answered."""
        option: str | None = None
        with self.failure:
            with open_wish.scope:
                option = await self._listener.permit(wish)
            self._wishes.pop(wish.id, None)
            dropped = open_wish.scope.cancelled_caught
            if dropped and open_wish.reason == _TAKEN_BACK:
                self._send_nowait(self._protocol.give_up_wish(wish.id))
            else:
                self._send_nowait(self._protocol.answer_wish(wish.id, option))
            if dropped:
                await self._listener.withdrawn(wish, open_wish.reason)
        if self.failure.error is not None:
            self._end("what the agent asked could not be answered")


def _drop(wish: _OpenWish, reason: str) -> None:
    wish.reason = wish.reason or reason
    wish.scope.cancel(reason=reason)


@asynccontextmanager
async def open_agent(
    stdout: trio.abc.ReceiveStream,
    stdin: trio.abc.SendStream,
    listener: AgentListener,
) -> AsyncIterator[Agent]:
    """Talk with the agent whose program has these two ends, and which goes on to run.

    A cancel reaches the block first, and the agent is heard until the block is left.
    """
    agent = Agent(listener)
    block = DeferredFailure()
    talking = trio.CancelScope(shield=True)

    async def talk() -> None:
        with talking:
            await agent.talk(stdout, stdin)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(talk)
        try:
            with agent.using, block:
                yield agent
        finally:
            talking.cancel(reason="the conversation is over")
    agent.failure.reraise()
    block.reraise()
