"""The connection to the daemon's stream on asyncio: made, and made again as the reader of the log says."""

from __future__ import annotations

import asyncio
import json
import random
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

from websockets.asyncio.client import ClientConnection, connect, unix_connect
from websockets.exceptions import ConnectionClosed, InvalidStatus, WebSocketException

from penstock.client.log_reader import (
    LARGEST_FRAME_BYTES,
    Backoff,
    LogReader,
    first_message,
    greeted,
    why_closed,
    why_refused,
)
from penstock.words.address import Address
from penstock.words.errors import (
    DaemonUnreachable,
    Forbidden,
    PenstockError,
    Unauthorised,
)
from penstock_tui.state import DashboardState

#: Seconds before the connection is tried again: the first time, and at most.
FIRST_DELAY = 0.2
LONGEST_DELAY = 5.0
#: Seconds a daemon may take to answer the handshake, and without a word on a quiet stream.
OPEN_TIMEOUT = 5.0
PING_SECONDS = 10.0
#: Quitting never waits longer for a daemon that does not say goodbye.
CLOSE_TIMEOUT = 0.2
#: Facts before the head that are fetched at the start, so that the tail is not empty.
TAIL_AT_START = 300
#: A position no log reaches: the greeting is all that comes.
NOTHING = 2**53
#: What is said where trying again is of no use.
REFUSED = "the daemon refuses our token; set PENSTOCK_TOKEN"
#: The screen gets its turn after this many frames, even if they never run dry.
FRAMES_PER_TURN = 16


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
        # A dashboard waits for its daemon as long as somebody looks at it.
        self.reader = LogReader(Backoff(FIRST_DELAY, LONGEST_DELAY, limit=None))

    async def run(self) -> None:
        """Connect, follow, and connect again; ends only by being cancelled."""
        while True:
            refused = False
            try:
                address = self._find()
                # Not by the model's: of a log whose list was cut off it knows the epoch, and we no place.
                if not self.reader.cursor.epoch or self.reader.step == "reopen":
                    await self._begin(address)
                await self._follow(address)
                if self.reader.step == "reopen":
                    continue
                problem = self._model.problem or "the daemon closed the connection"
            except PenstockError as error:
                problem, refused = explain_refusal(error)
            except (OSError, WebSocketException, TimeoutError, EOFError) as error:
                said = told_by_daemon(error)
                if said is not None and self.reader.refused(said):
                    continue
                problem, refused = explain(error)
            self._model.lose(problem, refused=refused)
            lost = self.reader.lost(problem, asyncio.get_running_loop().time())
            await asyncio.sleep(lost.delay * random.uniform(0.5, 1.0))

    async def _begin(self, address: Address) -> None:
        """Learn where the log stands, then list its runs, then follow from a little before.

        A fact recorded between the two is in both; the model drops it the second time.
        """
        async with open_connection(address, {"after": NOTHING}) as socket:
            greeting = greeted(json.loads(await socket.recv()))
        if self._model.epoch not in ("", greeting.epoch):
            self._model.forget()
        self._model.greet(greeting)
        await self._list_runs()
        start = max(greeting.floor - 1, greeting.head - TAIL_AT_START, 0)
        self._model.position = start
        self.reader.begin(greeting.epoch, start)

    async def _follow(self, address: Address) -> None:
        """Feed the model from one connection, until that is lost or serves no more."""
        model, reader, frames = self._model, self.reader, 0
        reader.connecting()
        async with open_connection(address, reader.place) as socket:
            missed = model.missed
            async for message in socket:
                for heard in reader.feed(json.loads(message)):
                    model.feed(heard, datetime.now(UTC))
                if reader.step == "reopen":
                    return
                frames += 1
                if frames % FRAMES_PER_TURN == 0:
                    await asyncio.sleep(0)
                if model.missed != missed:
                    missed = model.missed
                    await self._list_runs()


@asynccontextmanager
async def open_connection(
    address: Address, place: Mapping[str, object]
) -> AsyncIterator[ClientConnection]:
    """The stream of all runs from a reader's place on; its socket is gone when the block ends."""
    options: dict[str, Any] = {
        "additional_headers": address.authorization(),
        "compression": None,
        "max_size": LARGEST_FRAME_BYTES,
        "open_timeout": OPEN_TIMEOUT,
        "close_timeout": CLOSE_TIMEOUT,
        "ping_interval": PING_SECONDS,
        "ping_timeout": PING_SECONDS,
    }
    url = address.websocket_url(None, **place)
    if address.socket is not None:
        opening = unix_connect(str(address.socket), uri=url, **options)
    else:
        # A proxy of the environment is for the world, not for a daemon on this box.
        opening = connect(url, proxy=None, **options)
    async with opening as socket:
        if (first := first_message(address, place)) is not None:
            await socket.send(first)
        try:
            yield socket
        finally:
            # Under a flood a goodbye would wait behind everything that is still to be read.
            socket.transport.abort()


def told_by_daemon(error: BaseException) -> PenstockError | None:
    """What the daemon said when it turned us away, or closed; None if it said nothing."""
    if isinstance(error, InvalidStatus):
        return why_refused(error.response.status_code, error.response.body)
    if isinstance(error, ConnectionClosed) and error.rcvd is not None:
        said = why_closed(error.rcvd.code, error.rcvd.reason)
        return said if isinstance(said, PenstockError) else None
    return None


def explain(error: BaseException) -> tuple[str, bool]:
    """A sentence for the top bar, and whether trying again without a change is useless."""
    if isinstance(error, InvalidStatus):
        response = error.response
        return explain_refusal(why_refused(response.status_code, response.body))
    if isinstance(error, ConnectionClosed):
        code = error.rcvd.code if error.rcvd is not None else None
        why = why_closed(code)
        if isinstance(why, Unauthorised):
            return explain_refusal(why)
        return "the connection was cut", False
    if isinstance(error, ssl.SSLError):
        return f"TLS: {error.reason or error}", False
    if isinstance(error, TimeoutError):
        return "the daemon does not answer", False
    return (DaemonUnreachable.__doc__ or "").split(";")[0], False


def explain_refusal(error: PenstockError) -> tuple[str, bool]:
    """The same of an error that the daemon told, which knows best what it does not like."""
    if isinstance(error, Unauthorised):
        return REFUSED, True
    return str(error), isinstance(error, Forbidden)
