"""A run's terminal, from afar: what it shows, and what is typed."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from urllib.parse import urlencode

import trio
from pydantic_core import from_json
from trio_websocket import ConnectionClosed, WebSocketConnection

from penstock.client.log_reader import Lost, first_message, why_closed
from penstock.client.websocket import open_connection
from penstock.words.address import Address
from penstock.words.error_status import error_of


@dataclass(frozen=True, slots=True)
class Screen:
    """What the terminal shows by now, as text that draws it; empty if all of it follows."""

    text: str


@dataclass(frozen=True, slots=True)
class Missed:
    """Bytes that were dropped, because they were not read in time; a screen follows."""

    count: int


@dataclass(frozen=True, slots=True)
class Over:
    """Nothing follows, and why."""

    reason: str


Seen = Screen | Missed | Over | bytes


class AttachedTerminal:
    """One connection to a run's terminal."""

    def __init__(self, connection: WebSocketConnection) -> None:
        self._connection = connection

    async def receive(self) -> Seen:
        """The next thing: bytes are what was shown. Lost, or the daemon's own error."""
        try:
            message = await self._connection.get_message()
        except ConnectionClosed as closed:
            reason = closed.reason
            code = None if reason is None else reason.code
            said = "" if reason is None else reason.reason or ""
            raise why_closed(code, said) from None
        if isinstance(message, bytes):
            return message
        return _read(from_json(message))

    async def send(self, data: bytes) -> None:
        """Type it; waits while the program does not read. Lost once nobody is there."""
        await self._send(data)

    async def resize(self, rows: int, cols: int) -> None:
        """Give the run's terminal the size of ours."""
        await self._send(json.dumps({"resize": [rows, cols]}))

    async def _send(self, message: str | bytes) -> None:
        try:
            await self._connection.send_message(message)
        except (ConnectionClosed, trio.BrokenResourceError, trio.ClosedResourceError):
            raise Lost("the connection broke") from None


@asynccontextmanager
async def open_terminal(
    address: Address, run_id: str, *, watch: bool, rows: int, cols: int
) -> AsyncIterator[AttachedTerminal]:
    """Attached to the run's terminal, as the one who types, or with `watch` as one who does not.

    Lost if no connection can be made; what the daemon refuses is raised by `receive`.
    """
    query = {"watch": 1} if watch else {"rows": rows, "cols": cols}
    url = f"{address.websocket_url(run_id)}/terminal?{urlencode(query)}"
    opening = first_message(address, {})
    async with open_connection(address, url, opening) as connection:
        yield AttachedTerminal(connection)


def _read(frame: object) -> Seen:
    match frame:
        case {"screen": str(text)}:
            return Screen(text)
        case {"lost": int(count)}:
            return Missed(count)
        case {"ended": str(reason)}:
            return Over(reason)
        case {"problem": {"status": int(status)} as problem}:
            raise error_of(status, problem)
        case _:
            raise Lost("the daemon says what this client does not know")
