"""An echo behind the daemon's own door, for WebSocket conformance suites: `websocket_echo.py PORT`.

See docs/conformance.md for how a suite is run against it, and with what result.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import partial
from typing import Any

import trio
from trio_websocket import ConnectionClosed, wrap_server_stream

from penstock.server.door import serve_door
from penstock.server.door_stream import DoorStream
from penstock.server.guard import RequestHead
from penstock.server.listeners import open_tcp
from penstock.server.shutdown import Shutdown
from penstock.words.config import MIB, Config

#: The largest message of the suites; the daemon itself takes frames of 64 KiB.
LARGEST_MESSAGE = 64 * MIB


async def echo(
    _knock: RequestHead, stream: DoorStream, _note_known: Callable[[], None]
) -> None:
    """Send back what comes, until the client leaves."""
    async with trio.open_nursery() as nursery:
        request = await wrap_server_stream(
            nursery, stream, max_message_size=LARGEST_MESSAGE
        )
        connection = await request.accept()
        try:
            while True:
                await connection.send_message(await connection.get_message())
        except ConnectionClosed:
            pass
        nursery.cancel_scope.cancel(reason="the client has left")


async def nothing(_scope: Any, _receive: Any, _send: Any) -> None:
    """There is no HTTP here."""
    await trio.lowlevel.checkpoint()


async def main(port: int) -> None:
    """Serve until interrupted."""
    serve = partial(
        serve_door,
        await open_tcp("127.0.0.1", port),
        app=nothing,
        ws_handler=echo,
        config=Config(),
        shutdown=Shutdown(),
    )
    await serve()


if __name__ == "__main__":
    trio.run(main, int(sys.argv[1]))
