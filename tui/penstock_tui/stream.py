"""The connection to the daemon's stream: made, resumed by position, and made again."""

from __future__ import annotations

import asyncio
import json
import random
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

from websockets.asyncio.client import ClientConnection, connect, unix_connect
from websockets.exceptions import ConnectionClosed, InvalidStatus, WebSocketException

from penstock.words.address import Address
from penstock.words.errors import DaemonUnreachable, PenstockError, Unauthorised
from penstock_tui.model import DashboardState

#: Seconds before the connection is tried again: the first time, and at most.
FIRST_DELAY = 0.2
LONGEST_DELAY = 5.0
#: Seconds a daemon may take to answer the handshake, and without a word on a quiet stream.
OPEN_TIMEOUT = 5.0
PING_SECONDS = 10.0
#: Quitting never waits longer for a daemon that does not say goodbye.
CLOSE_TIMEOUT = 0.2
#: A frame of one event of the largest size is accepted.
LARGEST_FRAME = 16 * 1024 * 1024
#: Facts before the head that are fetched at the start, so that the tail is not empty.
TAIL_AT_START = 300
#: A position no log reaches: the greeting is all that comes.
NOTHING = 2**53
#: The screen gets its turn after this many frames, even if they never run dry.
FRAMES_PER_TURN = 16

_UNAUTHORISED = 4401


class OtherLog(Exception):
    """The daemon has another log than the one we followed, or ours was put back."""


class LiveStream:
    """Feeds a model for as long as `run` runs."""

    def __init__(
        self,
        find: Callable[[], Address],
        model: DashboardState,
        list_runs: Callable[[], Awaitable[None]],
    ) -> None:
        self._find = find
        self._model = model
        #: Seeds the model with the runs there are now.
        self._list_runs = list_runs

    async def run(self) -> None:
        """Connect, follow, and connect again; ends only by being cancelled."""
        delay = FIRST_DELAY
        while True:
            refused = False
            try:
                address = self._find()
                if not self._model.epoch:
                    await self._begin(address)
                await self._follow(address)
                problem = self._model.problem or "the daemon closed the connection"
                delay = FIRST_DELAY
            except OtherLog:
                continue
            except PenstockError as error:
                problem, refused = str(error), isinstance(error, Unauthorised)
            except (OSError, WebSocketException, TimeoutError, EOFError) as error:
                if self._model.phase == "live":
                    delay = FIRST_DELAY
                problem, refused = explain(error)
            self._model.lose(problem, refused=refused)
            await asyncio.sleep(delay * random.uniform(0.5, 1.0))
            delay = min(LONGEST_DELAY, delay * 2)

    async def _begin(self, address: Address) -> None:
        """Learn where the log stands, then list its runs, then follow from a little before.

        A fact recorded between the two is in both; the model drops it the second time.
        """
        async with open_connection(address, NOTHING) as socket:
            greeting = await receive_greeting(socket)
        self._model.feed(greeting, datetime.now(UTC))
        await self._list_runs()
        start = max(greeting["floor"] - 1, greeting["head"] - TAIL_AT_START, 0)
        self._model.position, self._model.event_id = start, ""

    async def _follow(self, address: Address) -> None:
        model, epoch = self._model, self._model.epoch
        async with open_connection(address, model.position, model.event_id) as socket:
            greeting = await receive_greeting(socket)
            if greeting["epoch"] != epoch or greeting["head"] < model.position:
                model.forget()
                raise OtherLog
            model.feed(greeting, datetime.now(UTC))
            model.phase = "catching up"
            missed = model.missed
            frames = 0
            async for message in socket:
                frame = json.loads(message)
                if frame.get("type") == "gap" and frame.get("put_back"):
                    model.forget()
                    raise OtherLog
                model.feed(frame, datetime.now(UTC))
                frames += 1
                if frames % FRAMES_PER_TURN == 0:
                    await asyncio.sleep(0)
                if model.missed != missed:
                    missed = model.missed
                    await self._list_runs()


@asynccontextmanager
async def open_connection(
    address: Address, after: int, after_id: str = ""
) -> AsyncIterator[ClientConnection]:
    """The stream of all runs after a position; its socket is gone when the block ends.

    `after_id` is the fact at that position, if it is known.
    """
    headers = {"Authorization": f"Bearer {address.token}"} if address.token else {}
    options: dict[str, Any] = {
        "additional_headers": headers,
        "compression": None,
        "max_size": LARGEST_FRAME,
        "open_timeout": OPEN_TIMEOUT,
        "close_timeout": CLOSE_TIMEOUT,
        "ping_interval": PING_SECONDS,
        "ping_timeout": PING_SECONDS,
    }
    place: dict[str, Any] = {"after": after}
    if after_id:
        place["after_id"] = after_id
    url = address.websocket_url(**place)
    if address.socket is not None:
        opening = unix_connect(str(address.socket), uri=url, **options)
    else:
        # A proxy of the environment is for the world, not for a daemon on this box.
        opening = connect(url, proxy=None, **options)
    async with opening as socket:
        if not address.token:
            await socket.send(json.dumps({"type": "open", "token": None, **place}))
        try:
            yield socket
        finally:
            # Under a flood a goodbye would wait behind everything that is still to be read.
            socket.transport.abort()


async def receive_greeting(socket: ClientConnection) -> dict[str, Any]:
    """The first frame. DaemonUnreachable if it is none: a daemon that stops says goodbye instead."""
    greeting = json.loads(await socket.recv())
    if not isinstance(greeting, dict) or greeting.get("type") != "hello":
        raise DaemonUnreachable("the daemon does not greet; it may be stopping")
    return greeting


def explain(error: BaseException) -> tuple[str, bool]:
    """A sentence for the top bar, and whether trying again without a change is useless."""
    if isinstance(error, InvalidStatus):
        status = error.response.status_code
        if status in (401, 403):
            return "the daemon refuses our token; set PENSTOCK_TOKEN", True
        return f"the daemon answered {status}", False
    if isinstance(error, ConnectionClosed):
        if error.rcvd is not None and error.rcvd.code == _UNAUTHORISED:
            return "the daemon refuses our token; set PENSTOCK_TOKEN", True
        return "the connection was cut", False
    if isinstance(error, ssl.SSLError):
        return f"TLS: {error.reason or error}", False
    if isinstance(error, TimeoutError):
        return "the daemon does not answer", False
    return (DaemonUnreachable.__doc__ or "").split(";")[0], False
