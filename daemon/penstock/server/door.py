"""The door: one set of listeners, two servers behind it.

It reads the first request's head and passes the connection on, that head first: `GET /ws…` to
trio-websocket, everything else to Hypercorn. Event streams need twice the throughput that a
WebSocket over ASGI reaches, and no compression that a small frame could blow up memory with.

Hypercorn's TCPServer, WorkerContext and ASGIWrapper are not public; a contract test pins what is
used of them.
"""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Any

import h11
import trio
from hypercorn.app_wrappers import ASGIWrapper
from hypercorn.config import Config as HypercornConfig
from hypercorn.events import Event, Updated
from hypercorn.trio.task_group import TaskGroup
from hypercorn.trio.tcp_server import TCPServer
from hypercorn.trio.worker_context import WorkerContext
from hypercorn.typing import ConnectionState, LifespanState
from hypercorn.utils import parse_socket_addr

from penstock.runs.run_scopes import RunScope
from penstock.server.asgi import (
    ASGI,
    KNOWN_STATE,
    PATIENT_STATE,
    RUN_STATE,
    UNIX_STATE,
)
from penstock.server.door_stream import DoorStream
from penstock.server.guard import RequestHead
from penstock.server.http1 import Handover, Http1, Parser
from penstock.server.http_answer import HttpRefused
from penstock.server.places import Places
from penstock.server.shutdown import Shutdown
from penstock.words.config import Config
from penstock.words.errors import NotAvailable, PenstockError

#: Its last argument is called once the client has shown that it may come in.
WebSocketHandler = Callable[
    [RequestHead, DoorStream, Callable[[], None]], Awaitable[None]
]

#: On behalf of which run a process asks; None: the owner's. Forbidden if nobody can tell.
RunOfPid = Callable[[int], RunScope | None]

_log = logging.getLogger("penstock.door")
_END_OF_HEAD = re.compile(rb"\r?\n\r?\n")
# A look that costs little, before a head is parsed.
_PERHAPS_WEBSOCKET = re.compile(rb"GET (?:http://[^/ ]*)?/ws", re.IGNORECASE)
_WEBSOCKET_PATH = re.compile(r"/ws(?:/.*)?")
# Bytes asked for at once while a head is read.
_CHUNK = 4096
# Seconds for a socket to close, which waits for nobody: the limit is for a fault of ours.
_CLOSE_SECONDS = 1.0


def of_no_run(_pid: int) -> None:
    """Where no run is guarded."""
    return


async def serve_door(
    listeners: Sequence[trio.SocketListener],
    *,
    app: ASGI,
    ws_handler: WebSocketHandler,
    config: Config,
    shutdown: Shutdown,
    run_of_pid: RunOfPid = of_no_run,
    task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Serve until `shutdown` ends the streams and every connection has ended, or was cut.

    Takes the listeners over and closes them. `ws_handler` gets a handshake that nobody has judged
    yet, and its connection; `run_of_pid` knows which processes ask on behalf of a run.
    """
    door = Door(app, ws_handler, config, uid=os.geteuid(), run_of_pid=run_of_pid)
    async with trio.open_nursery() as connections:
        try:
            async with trio.open_nursery() as accepting:
                serve = partial(trio.serve_listeners, handler_nursery=connections)
                await accepting.start(serve, door.receive, list(listeners))
                task_status.started()
                await shutdown.wait_not_accepting()
                accepting.cancel_scope.cancel(reason="the daemon is stopping")
            await shutdown.wait_streams_ending()
            await door.context.terminated.set()
            with trio.move_on_after(config.shutdown_servers):
                await door.places.wait_empty()
        finally:
            # Hypercorn shields its sends: only a closed socket ends one.
            door.places.cut_all()
            connections.cancel_scope.cancel(reason="the daemon is stopping")


class Door:
    """The connections that are open, and where each of them goes.

    `uid` is the only user who may come in by the Unix socket.
    """

    def __init__(
        self,
        app: ASGI,
        ws_handler: WebSocketHandler,
        config: Config,
        *,
        uid: int,
        run_of_pid: RunOfPid = of_no_run,
    ) -> None:
        self._uid, self._run_of_pid = uid, run_of_pid
        self.context = WorkerContext(None)
        self._app = ASGIWrapper(app)
        self._ws_handler = ws_handler
        self._config = config
        self._hypercorn = _hypercorn_config(config)
        self.places = Places(
            most=config.max_connections, most_strangers=config.max_strangers
        )

    async def receive(self, stream: trio.SocketStream) -> None:
        """Serve one connection to its end. Its faults are its own."""
        connection = DoorStream(stream, stall_seconds=self._config.stall_timeout)
        has_room = self.places.take(connection)
        try:
            await self._serve(connection, has_room=has_room)
        except BaseExceptionGroup as group:
            faults, others = group.split(Exception)
            if faults is not None:
                _log.error("a connection failed", exc_info=faults)
            if others is not None:
                raise others from None
        except Exception:  # noqa: BLE001
            # The boundary of one connection: whatever broke it must not end the others.
            _log.exception("a connection failed")
        finally:
            connection.cut()
            self.places.leave(connection)

    async def _serve(self, connection: DoorStream, *, has_room: bool) -> None:
        peer, within = connection.peer(), None
        if peer is not None and peer.uid != self._uid:
            return
        connection.keep_alive()
        try:
            if not has_room:
                limit = self._config.max_connections
                raise NotAvailable(f"{limit} connections are open already")
            if peer is not None:
                # At once: who has said what it wants may be gone in the next moment.
                within = self._run_of_pid(peer.pid)
            head = await self._read_head(connection)
        except PenstockError as error:
            with trio.move_on_after(self._config.close_timeout):
                await connection.turn_away(error)
            return
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            # The peer has gone, or had to make room.
            return
        if not head:
            return
        if not read_handshake(head, connection.local):
            connection.give_back(head)
            head = await self._serve_http(connection, within)
        if request_head := read_handshake(head, connection.local, within):
            connection.give_back(head)
            note_known = partial(self.places.note_known, connection)
            await self._ws_handler(request_head, connection, note_known)

    async def _serve_http(
        self, connection: DoorStream, within: RunScope | None
    ) -> bytes:
        """Serve requests, to the end (b"") or to one that wants to become a stream: that one."""
        state = LifespanState(
            {
                UNIX_STATE: connection.local is None,
                RUN_STATE: within,
                KNOWN_STATE: partial(self.places.note_known, connection),
                PATIENT_STATE: connection.patient,
            }
        )
        # Typed for TLS, but written for both: without do_handshake it takes the stream as it is.
        stream: Any = connection
        http = _HttpConnection(self._app, self._hypercorn, self.context, state, stream)
        await http
        return http.handed_over

    async def _read_head(self, connection: DoorStream) -> bytes:
        """The connection's first bytes, a whole request head among them; b"" at its end."""
        head = bytearray()
        searched = 0
        with trio.move_on_after(self._config.header_timeout) as patience:
            while not _END_OF_HEAD.search(head, max(searched - 3, 0)):
                searched = len(head)
                if searched > self._config.max_header_bytes:
                    limit = self._config.max_header_bytes
                    raise HttpRefused(
                        431, f"the request head is larger than {limit} bytes"
                    )
                data = await connection.receive_some(_CHUNK)
                if not data:
                    return b""
                head += data
        if patience.cancelled_caught:
            if not head:
                return b""
            raise HttpRefused(408, "the request head did not come in time")
        if head.startswith(b"PRI "):
            raise HttpRefused(505, "HTTP/1.1 only")
        return bytes(head)


class _HttpConnection(TCPServer):
    """Hypercorn's connection, which ends when its client has left, and answers before it ends.

    The original waits out its idle limit then, with the socket open: a client that asks nine times a
    second, each time on a connection of its own, would use up all connections. And it closes a
    connection that begins while the server stops, though its request has come already.
    """

    _left = False
    _begun = False
    #: The request by which the connection became a stream.
    handed_over = b""

    async def run(self) -> None:
        """Serve the connection. The original's protocol can become another one: this cannot."""
        try:
            sock = self.stream.socket
            client = parse_socket_addr(sock.family, sock.getpeername())
            server = parse_socket_addr(sock.family, sock.getsockname())
            async with TaskGroup() as group:
                self._task_group = group
                self.protocol = Http1(  # type: ignore[assignment]
                    self.app, self.config, self.context, group, ConnectionState(self.state),
                    False, client, server, self.protocol_send,
                )  # fmt: skip
                await self.idle_task.restart(group, self._idle_timeout)
                await self._read_data()
        except OSError:
            # The peer left before it could be asked for its address.
            pass
        finally:
            if not self.handed_over:
                with trio.move_on_after(_CLOSE_SECONDS, shield=True):
                    await self._close()

    async def _idle_timeout(self) -> None:
        if not self._begun:
            # The head of the first request is here, so this wait is ended by its answer.
            self._begun = True
            await trio.sleep(self.config.keep_alive_timeout)
        await super()._idle_timeout()

    async def _read_data(self) -> None:
        try:
            await super()._read_data()
        except Handover as handover:
            self.handed_over = handover.head
        self._left = True
        await self.idle_task.stop()

    async def protocol_send(self, event: Event) -> None:
        # The end of an answer to a client that has left must not start the limit again.
        if not (self._left and isinstance(event, Updated)):
            await super().protocol_send(event)


def read_handshake(
    head: bytes, local: tuple[str, int] | None, within: RunScope | None = None
) -> RequestHead | None:
    """The head of a WebSocket handshake for `/ws…`; None for any other request."""
    if not _PERHAPS_WEBSOCKET.match(head):
        return None
    try:
        parser = Parser(max_head_bytes=len(head))
        parser.receive_data(head)
        request = parser.next_event()
    except h11.RemoteProtocolError:
        return None
    if not isinstance(request, h11.Request):
        return None
    path, _, query = request.target.partition(b"?")
    request_head = RequestHead(
        "GET", path.decode("ascii"), query, list(request.headers), local, within
    )
    wants = (request_head.one(b"upgrade") or "").lower() == "websocket"
    return (
        request_head if wants and _WEBSOCKET_PATH.fullmatch(request_head.path) else None
    )


def _hypercorn_config(config: Config) -> HypercornConfig:
    """Hypercorn with our limits, our log, and nothing said about itself."""
    ours = HypercornConfig()
    ours.accesslog = None
    ours.errorlog = logging.getLogger("penstock.http")
    ours.include_server_header = False
    ours.h11_max_incomplete_size = config.max_header_bytes
    # Read at run time as a number of seconds, fractions included.
    ours.keep_alive_timeout = config.keep_alive_seconds
    return ours
