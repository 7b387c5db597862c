"""Events over WebSocket: `/ws` for all runs, `/ws/{run_id}` for one."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING
from urllib.parse import unquote_to_bytes
from uuid import UUID

import trio
from trio_websocket import ConnectionClosed, WebSocketConnection, wrap_server_stream

from penstock.log.bus import Lagged, Overflow, Subscription
from penstock.server.answer import HttpRefused
from penstock.server.door import WebSocketHandler
from penstock.server.door_stream import DoorStream
from penstock.server.frames import batch_frames, hello, model_frame
from penstock.server.guard import Guard, RequestHead
from penstock.server.json_meter import JsonMeter
from penstock.server.routes import (
    STREAM,
    event_id_of,
    overflow_of,
    parse_query,
    run_id_of,
)
from penstock.server.shutdown import Shutdown, last_look
from penstock.words.api import ByeFrame, OpenFrame, ReadyFrame, read_json
from penstock.words.errors import PenstockError, Refused, Unauthorised
from penstock.words.problems import detail_of, row_of

if TYPE_CHECKING:
    from penstock.runs.core import Core


#: Close codes of RFC 6455: the run has ended, the daemon stops, come again later.
CODE_ENDED, CODE_STOPPING, CODE_LATER = 1000, 1001, 1013
#: An error's close code is its HTTP status plus this.
FIRST_ERROR_CODE = 4000
# A close frame has room for 125 bytes, two of them for the code.
_LONGEST_REASON = 123


@dataclass(frozen=True, slots=True)
class SubscribeRequest:
    """What a client wants to hear."""

    run_id: str | None
    after: int
    #: The fact that it had at `after`, if it knows.
    after_id: UUID | None
    overflow: Overflow


@dataclass(frozen=True, slots=True)
class Bye:
    """How a stream ends: the last frame's reason, and the close code."""

    reason: str
    code: int


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
        self._closing = shutdown
        self._connection = connection
        self._stream = stream
        self._name = name
        self._ready = False

    async def wait_open(self, guard: Guard) -> OpenFrame | None:
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
            if not guard.admits(frame.token):
                raise Unauthorised
        except ConnectionClosed:
            return None
        except trio.TooSlowError:
            await self._hang_up(Unauthorised("no open frame with a token came in time"))
            return None
        except PenstockError as error:
            await self._hang_up(error)
            return None
        return frame

    async def serve(self, wanted: SubscribeRequest) -> None:
        """Send what is wanted until the run has ended, the daemon stops, or the client leaves."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._listen, nursery.cancel_scope)
            try:
                bye = await self._tell(wanted)
                await self._send(model_frame(ByeFrame(reason=bye.reason)))
                await self._connection.aclose(bye.code, _short(bye.reason))
            except ConnectionClosed:
                # Leaving is every client's right, at any moment.
                pass
            nursery.cancel_scope.cancel(reason="the stream has ended")

    async def _tell(self, wanted: SubscribeRequest) -> Bye:
        bus = self._core.bus
        with bus.subscribe(
            wanted.run_id,
            wanted.after,
            after_id=wanted.after_id,
            overflow=wanted.overflow,
            name=self._name,
            kind="ws",
        ) as subscription:
            await self._send(model_frame(hello(self._core)))
            try:
                return await self._pass_on(subscription)
            except PenstockError as error:
                return Bye(detail_of(error), _code_of(error))

    async def _pass_on(self, subscription: Subscription) -> Bye:
        while True:
            with self._closing.until_streams_end() as scope:
                if await self._pass_on_at_once(subscription):
                    return Bye("the run has ended", CODE_ENDED)
            if scope.cancelled_caught:
                if batch := await last_look(subscription):
                    await self._send(batch_frames(batch, subscription.overflow))
                return Bye("the daemon is stopping", CODE_STOPPING)
            await self._drain()

    async def _pass_on_at_once(self, subscription: Subscription) -> bool:
        """Write batches until the stream ends (true), or the client does not take one (false).

        There is no checkpoint but in the wait for a batch, so a cancel loses no batch and cuts no
        frame; and there always is one in it, so a client that catches up lets others run.
        """
        async for batch in subscription:
            frames = batch_frames(batch, subscription.overflow)
            if batch.live and not self._ready:
                self._ready = True
                frames += model_frame(ReadyFrame(head=self._core.bus.head))
            if frames and not self._write(frames):
                return False
        return True

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

    async def _send(self, frames: bytes) -> None:
        self._write(frames)
        # A wait for those before, too, and a checkpoint in any case.
        await self._drain()

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

    async def _hang_up(self, error: PenstockError) -> None:
        with trio.move_on_after(self._core.config.close_timeout):
            await self._connection.aclose(
                FIRST_ERROR_CODE + row_of(error).status, _short(str(error))
            )


def _code_of(error: PenstockError) -> int:
    """The close code for what ended a stream: whoever comes again may fare better, or will not."""
    status = row_of(error).status
    later = isinstance(error, Lagged) or status == 503
    return CODE_LATER if later else FIRST_ERROR_CODE + status


def _short(reason: str) -> str:
    """As much of a reason as a close frame takes."""
    return reason.encode()[:_LONGEST_REASON].decode(errors="ignore")


def make_ws_handler(core: Core, guard: Guard, shutdown: Shutdown) -> WebSocketHandler:
    """What the door hands handshakes for `/ws…` to."""
    numbers = itertools.count(1)

    async def handle(
        request_head: RequestHead, stream: DoorStream, note_known: Callable[[], None]
    ) -> None:
        try:
            if refusal := guard.judge(request_head, handshake=True) or judge_handshake(
                request_head
            ):
                raise refusal
            wanted = read_subscribe_request(request_head)
        except PenstockError as error:
            with trio.move_on_after(core.config.close_timeout):
                await stream.turn_away(error)
            return
        async with open_connection(core, stream) as connection:
            if connection is None:
                return
            name = f"ws-{next(numbers)}"
            session = WebSocketSession(core, shutdown, connection, stream, name)
            if not guard.has_shown_token(request_head):
                opened = await session.wait_open(guard)
                if opened is None:
                    return
                wanted = amended(wanted, opened)
            note_known()
            await session.serve(wanted)

    return handle


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
                request = await wrap_server_stream(
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
    """The wish after the client's first frame."""
    if opened.after is not None:
        # The id belongs to its position: that of the address is not that of another one.
        wanted = replace(wanted, after=opened.after, after_id=opened.after_id)
    return replace(wanted, overflow=opened.overflow or wanted.overflow)


def judge_handshake(request_head: RequestHead) -> PenstockError | None:
    """What would make the WebSocket library fail, told as an answer instead."""
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
