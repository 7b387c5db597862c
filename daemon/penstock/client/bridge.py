"""Carries MCP messages between an agent's pipe and the daemon's `/mcp`, in either protocol era.

Messages pass as they are, but that one which starts a run says where the agent works: its programs
find the environment, umask and folder of this process. What HTTP wants besides is read off them: the version, the method and the
name as headers, a session for the older protocol, and a closed stream where a pipe says "cancelled".
A session that a restart of the daemon ended is opened again without a word to the agent.
"""

from __future__ import annotations

import json
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import trio

from penstock.client.connection import ComingAnswer, Unsent, open_answer
from penstock.client.log_reader import Lost
from penstock.client.messages import (
    VERSION_HEADER,
    Message,
    Messages,
    name_caller,
    name_trace,
    read_object,
    request_key,
    routing_headers,
)
from penstock.client.requests import OnServer, Request, is_success, unheard
from penstock.words.address import Address
from penstock.words.error_status import error_of

Send = Callable[[bytes], Awaitable[None]]

#: Requests of one agent that wait for an answer at a time; more wait to be sent.
MOST_REQUESTS = 100
#: Seconds between two tries to hear what the daemon says of itself.
LISTEN_AGAIN_SECONDS = 1.0
#: Seconds for a daemon that is gone to come back, as at its restart; then the agent is told. It asks
#: again by itself, and other messages of its are not held up.
RETURN_SECONDS = 10.0
#: Seconds between two tries to reach it meanwhile.
RETURN_LOOK_SECONDS = 0.1
#: Seconds to take leave of the daemon.
GOODBYE_SECONDS = 1.0

_log = logging.getLogger("penstock.mcp")
_SESSION = "mcp-session-id"
_INTERNAL_ERROR = -32603


@asynccontextmanager
async def open_bridge(
    address: Address,
    send: Send,
    caller: Mapping[str, Any] | None = None,
    heard: OnServer = unheard,
    trace: str | None = None,
) -> AsyncIterator[Bridge]:
    """A bridge to the daemon at `address`; `send` takes each message for the agent.

    `caller` is what runs that the agent starts are given, as `client.surroundings` makes it, and `trace`
    the trace in which it was started; `heard` is told the `Server` header of each answer.
    """
    async with trio.open_nursery() as requests_nursery:
        bridge = Bridge(address, send, requests_nursery, caller, heard, trace)
        try:
            yield bridge
        finally:
            requests_nursery.cancel_scope.cancel(reason="the agent has left")
            with trio.move_on_after(GOODBYE_SECONDS, shield=True):
                await bridge.leave()


class Bridge:
    """See the module's text. Made by `open_bridge`."""

    def __init__(
        self,
        address: Address,
        send: Send,
        requests_nursery: trio.Nursery,
        caller: Mapping[str, Any] | None,
        heard: OnServer,
        trace: str | None,
    ) -> None:
        self._caller, self._heard, self._trace = caller, heard, trace
        self._address, self._send = address, send
        self._requests_nursery = requests_nursery
        self._room = trio.CapacityLimiter(MOST_REQUESTS)
        self._open: dict[str, trio.CancelScope] = {}
        self._quiet = trio.lowlevel.ParkingLot()
        # The older protocol only: what opened the session, its id, and what was agreed on.
        self._opening: Message | None = None
        self._session: str | None = None
        self._version: str | None = None
        self._opening_again = trio.Lock()
        self._listening = trio.CancelScope()

    async def take(self, message: Message) -> None:
        """Pass a message of the agent on; answers come by `send`, in any order."""
        method = message.get("method")
        if method == "initialize":
            # Nothing may overtake it: what follows needs the session.
            self._opening, self._session, self._version = message, None, None
            await self._exchange(message)
        elif method == "notifications/initialized":
            await self._exchange(message)
            self._requests_nursery.start_soon(self._listen)
        elif "id" in message and method is not None:
            await self._room.acquire_on_behalf_of(scope := trio.CancelScope())
            self._open[request_key(message["id"])] = scope
            self._requests_nursery.start_soon(self._ask, message, scope)
        elif method == "notifications/cancelled" and self._cancel(message):
            return
        else:
            await self._exchange(message)

    async def wait_quiet(self) -> None:
        """Wait until every request is answered."""
        while self._open:
            await self._quiet.park()

    async def leave(self) -> None:
        """End the session, if there is one; whether the daemon hears it does not matter."""
        if self._session is not None:
            try:
                async with self._asked("DELETE", self._headers({})):
                    return
            except Lost:
                return

    def _cancel(self, message: Message) -> bool:
        """Since 2026-07-28 a closed stream is the cancel; True if that was all there is to do."""
        if self._session is not None:
            return False
        request_id = (message.get("params") or {}).get("requestId")
        if scope := self._open.get(request_key(request_id)):
            scope.cancel(reason="the agent cancelled the request")
        return True

    async def _ask(self, message: Message, scope: trio.CancelScope) -> None:
        try:
            with scope:
                await self._exchange(message)
        finally:
            self._room.release_on_behalf_of(scope)
            if self._open.get(request_key(message["id"])) is scope:
                del self._open[request_key(message["id"])]
            self._quiet.unpark_all()

    async def _exchange(self, message: Message) -> None:
        """Post one message and send on what comes back; a failure becomes the answer."""
        session = self._session
        try:
            why = await self._post_patiently(message)
            if why is None:
                # The session has ended: with its daemon, or because it was idle for long.
                await self._open_session_again(session)
                why = await self._post(message)
                why = "the session has ended" if why is None else why
        except Lost as lost:
            why = f"no daemon answers at {self._address}: {lost}"
        if why and "id" in message and "method" in message:
            told = {"code": _INTERNAL_ERROR, "message": why}
            await self._tell({"jsonrpc": "2.0", "id": message["id"], "error": told})

    async def _post_patiently(self, message: Message) -> str | None:
        """As `_post`, while a daemon that restarts is away: what could not be sent is sent again."""
        deadline = trio.current_time() + RETURN_SECONDS
        while True:
            try:
                return await self._post(message)
            except Unsent:
                if trio.current_time() > deadline:
                    raise
            await trio.sleep(RETURN_LOOK_SECONDS)

    async def _post(self, message: Message) -> str | None:
        """Post a message: "" when it is dealt with, a sentence when not, None without a session."""
        posted = name_trace(name_caller(message, self._caller), self._trace)
        headers = self._headers(message)
        async with self._asked("POST", headers, posted) as response:
            self._heard(response.headers.get("server"))
            if response.status == 404 and self._session is not None:
                return None
            if message.get("method") == "initialize":
                self._session = response.headers.get(_SESSION)
            if response.headers.get("content-type", "").startswith("text/event-stream"):
                return await self._pass_stream(response, message)
            body = await response.read()
            answer = read_object(body)
            if "jsonrpc" in answer:
                # An error about an id that was never read has none; the agent waits for its own.
                answer["id"] = message.get("id", answer.get("id"))
                await self._answer(answer, message)
                return ""
            if is_success(response.status):
                return ""
            return str(error_of(response.status, answer))

    async def _pass_stream(self, response: ComingAnswer, message: Message) -> str:
        answered = False
        async for told in Messages(response.lines()):
            answered = answered or ("id" in told and "method" not in told)
            await self._answer(told, message)
        return "" if answered else "the daemon ended the stream without an answer"

    async def _answer(self, told: Message, asked: Message) -> None:
        result = told.get("result")
        if asked.get("method") == "initialize" and isinstance(result, dict):
            self._version = result.get("protocolVersion")
            if asked is not self._opening:
                # Our own, after a restart; the agent has had its answer.
                return
        await self._tell(told)

    async def _open_session_again(self, lost: str | None) -> None:
        async with self._opening_again:
            if self._session != lost or self._opening is None:
                return
            self._session = None
            await self._post({**self._opening})
            await self._post({"jsonrpc": "2.0", "method": "notifications/initialized"})
            self._requests_nursery.start_soon(self._listen)

    async def _listen(self) -> None:
        """Send on what the daemon says unasked, as long as this session lasts."""
        self._listening.cancel(reason="a newer session")
        self._listening = trio.CancelScope()
        with self._listening:
            await trio.lowlevel.checkpoint()
            while self._session is not None:
                headers = self._headers({}) | {"Accept": "text/event-stream"}
                try:
                    async with self._asked("GET", headers) as response:
                        if not is_success(response.status):
                            return
                        async for told in Messages(response.lines()):
                            await self._tell(told)
                except Lost as lost:
                    # The daemon has gone; the agent's next request finds out whether for good.
                    _log.debug("nothing is heard from the daemon: %s", lost)
                await trio.sleep(LISTEN_AGAIN_SECONDS)

    def _asked(
        self, method: str, headers: Mapping[str, str], body: Message | None = None
    ) -> AbstractAsyncContextManager[ComingAnswer]:
        request = Request(method, ("mcp",), body=body, besides=headers)
        return open_answer(self._address, request)

    def _headers(self, message: Message) -> dict[str, str]:
        headers = {"Accept": "application/json, text/event-stream"}
        if self._session is not None:
            headers[_SESSION] = self._session
        if self._version is not None:
            headers[VERSION_HEADER] = self._version
        return headers | routing_headers(message)

    async def _tell(self, message: Message) -> None:
        await self._send(json.dumps(message, ensure_ascii=False).encode() + b"\n")
