"""A scripted daemon beside a command that runs in the test's own thread."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import trio

from fakes.scripted_daemon import ScriptedDaemon, open_scripted_daemon

#: Seconds for it to start and to stop; both are instant.
PATIENCE = 10.0


@contextmanager
def scripted_daemon(socket: Path) -> Iterator[ScriptedDaemon]:
    """A scripted daemon on a Unix socket, in a thread of its own."""
    started: queue.Queue[
        tuple[ScriptedDaemon, trio.lowlevel.TrioToken, trio.CancelScope]
    ]
    started = queue.Queue()

    async def main() -> None:
        with trio.CancelScope() as scope:
            async with open_scripted_daemon(socket) as daemon:
                started.put((daemon, trio.lowlevel.current_trio_token(), scope))
                await trio.sleep_forever()

    socket.parent.mkdir(parents=True, exist_ok=True)
    thread = threading.Thread(target=trio.run, args=[main], daemon=True)
    thread.start()
    daemon, token, scope = started.get(timeout=PATIENCE)
    try:
        yield daemon
    finally:
        token.run_sync_soon(scope.cancel)
        thread.join(PATIENCE)
        assert not thread.is_alive()
