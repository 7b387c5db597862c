"""Events over WebSocket: `/ws` for all runs, `/ws/{run_id}` for one; a terminal is handed on."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, nullcontext
from dataclasses import replace
from urllib.parse import unquote_to_bytes

import trio
from trio_websocket import ConnectionClosed, WebSocketConnection

from penstock.log.bus import Lagged
from penstock.runs.core import Core
from penstock.runs.run_scopes import RunScope
from penstock.server.asgi import admitted_until, open_while
from penstock.server.close_codes import (
    CODE_ENDED,
    CODE_LATER,
    CODE_STOPPING,
    error_code,
    short,
)
from penstock.server.door import WebSocketHandler
from penstock.server.door_stream import DoorStream
from penstock.server.encoders import WEBSOCKET
from penstock.server.guard import Guard, RequestHead
from penstock.server.http_answer import HttpRefused
from penstock.server.judge import ScopeJudge
from penstock.server.routes import (
    STREAM,
    TERMINAL,
    event_id_of,
    overflow_of,
    parse_query,
    run_id_of,
)
from penstock.server.shutdown import Shutdown
from penstock.server.stream_writer import (
    RUN_ENDED,
    StreamEnd,
    SubscribeRequest,
    open_stream,
)
from penstock.server.terminal import (
    TerminalRequest,
    TerminalSession,
    read_terminal_request,
)
from penstock.server.ws_faults import wrap_stream
from penstock.words.api import OpenFrame, read_json
from penstock.words.error_status import row_of
from penstock.words.errors import PenstockError, Refused, Unauthorised
from penstock.words.json_meter import JsonMeter


class WebSocketSession:
    """One client that was let in; `stream` is what its connection writes to, too."""

    def __init__(
        self,
        core: Core,
        shutdown: Shutdown,
        connection: WebSocketConnection,
        stream: DoorStream,
        name: str,
    ) -> None:
        self._core = core
        self._shutdown = shutdown
        self._connection = connection
        self._stream = stream
        self._name = name

    async def wait_open(
        self, guard: Guard, request_head: RequestHead
    ) -> OpenFrame | None:
        """The client's first frame; None if it was none, or showed no token, and we hung up."""
        try:
            with trio.fail_after(self._core.config.open_timeout):
                message = await self._first_message()
            config = self._core.config
            meter = JsonMeter(
                "frame",
                most_values=config.max_body_values,
                deepest=config.max_body_depth,
            )
            meter.feed(message if isinstance(message, bytes) else message.encode())
            frame = read_json(OpenFrame, message)
            if not guard.admits(frame.token, request_head):
                raise Unauthorised
        except ConnectionClosed:
            return None
        except trio.TooSlowError:
            await self.hang_up(Unauthorised("no open frame with a token came in time"))
            return None
        except PenstockError as error:
            await self.hang_up(error)
            return None
        return frame

    async def serve(self, wanted: SubscribeRequest) -> None:
        """Send what is wanted until the run has ended, the daemon stops, or the client leaves."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._listen, nursery.cancel_scope)
            try:
                ending = await self._send_stream(wanted)
                code = _close_code(ending)
                await self._connection.aclose(code, short(ending.reason))
            except ConnectionClosed:
                # Leaving is every client's right, at any moment.
                pass
            nursery.cancel_scope.cancel(reason="the stream has ended")

    async def _send_stream(self, wanted: SubscribeRequest) -> StreamEnd:
        known = wanted.run_id is None or await self._core.reader.known(wanted.run_id)
        with open_stream(
            self._core, self._shutdown, wanted, WEBSOCKET, self._name, known=known
        ) as writer:
            while await writer.write_to(self._write):
                await self._drain()
        assert writer.ending is not None
        return writer.ending

    def _write(self, frames: bytes) -> bool:
        """Send whole frames now; if false, `_drain` is due."""
        if self._connection.closed:
            raise ConnectionClosed(self._connection.closed)
        try:
            return self._stream.send_nowait(frames)
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            raise ConnectionClosed(self._connection.closed) from None

    async def _drain(self) -> None:
        try:
            await self._stream.drain()
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            raise ConnectionClosed(self._connection.closed) from None

    async def _listen(self, scope: trio.CancelScope) -> None:
        """Notice that the client leaves; what it says after its first frame is not looked at."""
        try:
            while True:
                await self._connection.get_message()
        except ConnectionClosed:
            scope.cancel(reason="the client has left")

    async def _first_message(self) -> str | bytes:
        while True:
            message = await self._connection.get_message()
            # An empty message is legal and says nothing.
            if message:
                return message

    async def hang_up(self, error: PenstockError) -> None:
        """Close the connection, and say why."""
        with trio.move_on_after(self._core.config.close_timeout):
            await self._connection.aclose(error_code(error), short(str(error)))


def _close_code(ending: StreamEnd) -> int:
    """The close code for an end: whether whoever comes again may fare better is in it."""
    error = ending.error
    if error is None:
        return CODE_ENDED if ending is RUN_ENDED else CODE_STOPPING
    later = isinstance(error, Lagged) or row_of(error).status == 503
    return CODE_LATER if later else error_code(error)


def make_ws_handler(core: Core, guard: Guard, shutdown: Shutdown) -> WebSocketHandler:
    """What the door hands handshakes for `/ws…` to."""
    numbers, judge = itertools.count(1), ScopeJudge(core)

    async def handle(
        request_head: RequestHead, stream: DoorStream, note_known: Callable[[], None]
    ) -> None:
        try:
            wanted = admit_handshake(guard, request_head)
            await judge_stream(judge, guard.run_of(request_head), wanted)
        except PenstockError as error:
            with trio.move_on_after(core.config.close_timeout):
                await stream.turn_away(error)
            return
        async with open_connection(core, stream) as connection:
            if connection is None:
                return
            name = f"{WEBSOCKET.name}-{next(numbers)}"
            session = WebSocketSession(core, shutdown, connection, stream, name)
            shown = None
            if not guard.has_shown_token(request_head):
                opened = await session.wait_open(guard, request_head)
                if opened is None:
                    return
                shown = opened.token
                if isinstance(wanted, SubscribeRequest):
                    wanted = amended(wanted, opened)
            note_known()
            try:
                run = guard.run_of(request_head, shown)
                await judge_stream(judge, run, wanted)
            except PenstockError as error:
                await session.hang_up(error)
                return
            async with nullcontext() if run is None else open_while(run):
                if isinstance(wanted, SubscribeRequest):
                    until = admitted_until(guard, request_head, shown)
                    await session.serve(replace(wanted, until=until))
                else:
                    await TerminalSession(
                        core, shutdown, connection, stream, wanted
                    ).serve()

    return handle


async def judge_stream(
    judge: ScopeJudge, run: RunScope | None, wanted: SubscribeRequest | TerminalRequest
) -> None:
    """Forbidden unless who asks may have this stream."""
    terminal = isinstance(wanted, TerminalRequest)
    may = (TERMINAL if terminal else STREAM).for_run
    await judge.admit(run, may, wanted.run_id)


def admit_handshake(
    guard: Guard, request_head: RequestHead
) -> SubscribeRequest | TerminalRequest:
    """What a handshake asks for, once the guard has let it in; raises what refuses it."""
    refusal = guard.judge(request_head, handshake=True)
    if refusal := refusal or judge_handshake(request_head):
        raise refusal
    return read_terminal_request(request_head) or read_subscribe_request(request_head)


@asynccontextmanager
async def open_connection(
    core: Core, stream: DoorStream
) -> AsyncIterator[WebSocketConnection | None]:
    """The connection after its handshake; None if the client left in the middle of it."""
    config = core.config
    async with trio.open_nursery() as nursery:
        connection = None
        with trio.move_on_after(config.header_timeout):
            try:
                request = await wrap_stream(
                    nursery, stream, max_message_size=config.max_frame_bytes
                )
                connection = await request.accept()
            except ConnectionClosed:
                connection = None
        try:
            yield connection
        finally:
            with trio.move_on_after(config.close_timeout, shield=True):
                if connection is not None:
                    await connection.aclose()
            nursery.cancel_scope.cancel(reason="the stream has ended")


def read_subscribe_request(request_head: RequestHead) -> SubscribeRequest:
    """What the address of a handshake asks for. Refused names what does not fit."""
    query = parse_query(STREAM, request_head.query)
    run_id = None
    if request_head.path != "/ws":
        raw = request_head.path.removeprefix("/ws/")
        if "/" in raw:
            raise HttpRefused(404, "there is no stream here")
        try:
            run_id = run_id_of(unquote_to_bytes(raw).decode("utf-8"))
        except UnicodeDecodeError:
            raise Refused("run_id", "is not UTF-8 when decoded") from None
    return SubscribeRequest(
        run_id,
        query["after"] or 0,
        event_id_of(query["after_id"]),
        overflow_of(query["overflow"]),
    )


def amended(wanted: SubscribeRequest, opened: OpenFrame) -> SubscribeRequest:
    """What is wanted after the client's first frame."""
    if opened.after is not None:
        # The id belongs to its position: that of the address is not that of another one.
        wanted = replace(wanted, after=opened.after, after_id=opened.after_id)
    return replace(wanted, overflow=opened.overflow or wanted.overflow)


def judge_handshake(request_head: RequestHead) -> PenstockError | None:
    """What would make the WebSocket library fail, as an answer instead."""
    tokens = ",".join(request_head.all(b"connection")).lower().split(",")
    if "upgrade" not in {token.strip() for token in tokens}:
        return HttpRefused(400, "the Connection header does not say upgrade")
    if request_head.one(b"sec-websocket-version") != "13":
        headers = {"Sec-WebSocket-Version": "13", "Upgrade": "websocket"}
        return HttpRefused(426, "version 13 of the protocol is spoken here", headers)
    if request_head.one(b"sec-websocket-key") is None:
        return HttpRefused(400, "the Sec-WebSocket-Key header is missing")
    try:
        (request_head.one(b"host") or "").encode("latin1").decode("idna")
    except UnicodeError:
        return HttpRefused(400, "the Host header is no host")
    return None
