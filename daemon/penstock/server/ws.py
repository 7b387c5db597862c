"""Events over WebSocket: `/ws` for all runs, `/ws/{run_id}` for one. Here: who gets in, to hear what."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import TYPE_CHECKING
from urllib.parse import unquote_to_bytes

import trio
from trio_websocket import ConnectionClosed, WebSocketConnection, wrap_server_stream

from penstock.server.answer import HttpRefused
from penstock.server.closing import Closing
from penstock.server.door import WebSocketHandler
from penstock.server.door_stream import DoorStream
from penstock.server.guard import Guard, Knock
from penstock.server.routes import STREAM, overflow_of, parse_query, run_id_of
from penstock.server.ws_session import Session, Wish
from penstock.words.api import OpenFrame
from penstock.words.errors import PenstockError, Refused

if TYPE_CHECKING:
    from penstock.runs.core import Core


def make_ws_handler(core: Core, guard: Guard, closing: Closing) -> WebSocketHandler:
    """What the door hands handshakes for `/ws…` to."""
    numbers = itertools.count(1)

    async def handle(knock: Knock, stream: DoorStream) -> None:
        try:
            if refusal := guard.judge(knock, handshake=True) or judge_handshake(knock):
                raise refusal
            wish = read_wish(knock)
        except PenstockError as error:
            with trio.move_on_after(core.config.close_timeout):
                await stream.turn_away(error)
            return
        async with open_connection(core, stream) as connection:
            if connection is None:
                return
            name = f"ws-{next(numbers)}"
            session = Session(core, closing, connection, stream, name)
            if not guard.has_shown_token(knock):
                opened = await session.wait_open(guard)
                if opened is None:
                    return
                wish = amended(wish, opened)
            await session.serve(wish)

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


def read_wish(knock: Knock) -> Wish:
    """What the address of a handshake asks for. Refused names what does not fit."""
    query = parse_query(STREAM, knock.query)
    run_id = None
    if knock.path != "/ws":
        raw = knock.path.removeprefix("/ws/")
        if "/" in raw:
            raise HttpRefused(404, "there is no stream here")
        try:
            run_id = run_id_of(unquote_to_bytes(raw).decode("utf-8"))
        except UnicodeDecodeError:
            raise Refused("run_id", "is not UTF-8 when decoded") from None
    return Wish(run_id, query["after"] or 0, overflow_of(query["overflow"]))


def amended(wish: Wish, opened: OpenFrame) -> Wish:
    """The wish after the client's first frame."""
    return replace(
        wish,
        after=wish.after if opened.after is None else opened.after,
        overflow=opened.overflow or wish.overflow,
    )


def judge_handshake(knock: Knock) -> PenstockError | None:
    """What would make the WebSocket library fail, told as an answer instead."""
    tokens = ",".join(knock.all(b"connection")).lower().split(",")
    if "upgrade" not in {token.strip() for token in tokens}:
        return HttpRefused(400, "the Connection header does not say upgrade")
    if knock.one(b"sec-websocket-version") != "13":
        headers = {"Sec-WebSocket-Version": "13", "Upgrade": "websocket"}
        return HttpRefused(426, "version 13 of the protocol is spoken here", headers)
    if knock.one(b"sec-websocket-key") is None:
        return HttpRefused(400, "the Sec-WebSocket-Key header is missing")
    try:
        (knock.one(b"host") or "").encode("latin1").decode("idna")
    except UnicodeError:
        return HttpRefused(400, "the Host header is no host")
    return None
