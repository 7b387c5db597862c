"""The way to the MCP server, which is imported when the first request comes.

Its import takes seconds and tens of MiB: a daemon that no agent talks to does without, and one that
starts answers everybody else at once.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

import trio

from penstock.concurrency.enduring import endure
from penstock.concurrency.late import import_late
from penstock.runs.core import Core
from penstock.server.asgi import ASGI, Receive, Scope, Send
from penstock.server.http_answer import problem_answer
from penstock.server.mcp.lasting import LastingSessions
from penstock.server.shutdown import Shutdown
from penstock.words.errors import NotAvailable

if TYPE_CHECKING:
    from mcp.server.lowlevel import Server
    from mcp.server.streamable_http_manager import StreamableHTTPSessionManager

    from penstock.server.mcp.subscriptions import Subscriptions

#: Makes the server of a core; it can be given, so that others are served by the same stack.
Build = Callable[[Core, Shutdown, "Subscriptions", str], "Server[Any]"]

#: Takes the name of a tool and how a call of it ended.
Called = Callable[[str, str], None]


def call_uncounted(_tool: str, _outcome: str) -> None:
    """For a server that nobody asks for numbers."""


@asynccontextmanager
async def open_mcp(
    core: Core,
    shutdown: Shutdown,
    *,
    base: str,
    build: Build | None = None,
    called: Called = call_uncounted,
) -> AsyncIterator[ASGI]:
    """The application behind `/mcp`; leave the block when the servers have closed.

    `called` is told of each call of a tool, and of how it ended.
    """
    async with trio.open_nursery() as nursery:
        lazy = LazyMcp(core, shutdown, base, build, called)
        # It has nothing to say before the first request.
        nursery.start_soon(endure, "serving MCP", lazy.serve)
        yield lazy.receive
        nursery.cancel_scope.cancel(reason="the servers have closed")


class LazyMcp:
    """Requests wait here until the server is there; see `open_mcp`."""

    def __init__(
        self,
        core: Core,
        shutdown: Shutdown,
        base: str,
        build: Build | None,
        called: Called,
    ) -> None:
        self._core, self._shutdown, self._base = core, shutdown, base
        self._build, self._called = build, called
        self._wanted = trio.Event()
        self._ready = trio.Event()
        self._manager: StreamableHTTPSessionManager | None = None
        most = core.config.max_mcp_sessions
        self._sessions = LastingSessions(self._ask_manager, most)
        self._posts = 0
        self._quiet = trio.lowlevel.ParkingLot()

    async def serve(self) -> None:
        """Serve from the first request to the stop, and until what was asked is answered."""
        await self._wanted.wait()
        try:
            await self._serve()
        finally:
            # Whatever is wrong with an installed library, who waits is answered.
            self._manager = None
            self._ready.set()

    async def _serve(self) -> None:
        module = await import_late("penstock.server.mcp.surface")
        build = self._build or partial(module.build_server, called=self._called)
        async with module.open_subscriptions(
            self._core, self._shutdown
        ) as subscriptions:
            server = build(self._core, self._shutdown, subscriptions, self._base)
            manager = module.build_manager(server, self._core.config)
            async with manager.run():
                self._manager = manager
                self._ready.set()
                await self._shutdown.wait_streams_ending()
                # Every call that waited has its result by now; it is on its way out.
                with trio.move_on_after(self._core.config.shutdown_servers / 2):
                    await self._wait_quiet()
                self._manager = None

    async def receive(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one admitted request, the first ones after a wait."""
        self._wanted.set()
        with trio.move_on_after(self._core.config.mcp_start_seconds):
            await self._ready.wait()
        if self._manager is None:
            await _refuse(send, NotAvailable("MCP is not served now"))
            return
        with self._counted(scope["method"]):
            await self._sessions.receive(scope, receive, send)

    async def _ask_manager(self, scope: Scope, receive: Receive, send: Send) -> None:
        # Its types are those of Starlette, which are wider and narrower than ours.
        manager: Any = self._manager
        if manager is None:
            # The stop came while a session was opened again.
            await _refuse(send, NotAvailable("MCP is not served now"))
            return
        await manager.handle_request(scope, receive, send)

    @contextmanager
    def _counted(self, method: str) -> Iterator[None]:
        """Calls are POSTs; a GET is a stream of an older client, and ends with its session."""
        calls = int(method == "POST")
        self._posts += calls
        try:
            yield
        finally:
            self._posts -= calls
            if not self._posts:
                self._quiet.unpark_all()

    async def _wait_quiet(self) -> None:
        while self._posts:
            await self._quiet.park()


async def _refuse(send: Send, error: NotAvailable) -> None:
    answer = problem_answer(error)
    headers = [(k.encode(), v.encode()) for k, v in answer.all_headers().items()]
    start = {"type": "http.response.start", "status": answer.status, "headers": headers}
    await send(start)
    await send({"type": "http.response.body", "body": answer.body, "more_body": False})
