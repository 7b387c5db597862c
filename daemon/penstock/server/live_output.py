"""`GET /runs/ID/live`: a run as it happens, for the one client that started it: what its programs print,
as it is read, and its facts. It ends with the run.

Whoever submits with `Prefer: live-output` is promised it (`"live": true` in the answer), and comes within
seconds. The body is frames (`words/live_frames`): a kind, a length, and so many bytes. Behind the door and
the guard as everything else, but beside Quart, through which each byte would go one more time.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field

import trio

from penstock.runs.core import Core
from penstock.runs.live_output import LiveOutput, LivePiece
from penstock.server.asgi import (
    ASGI,
    PATIENT_STATE,
    RUN_STATE,
    Receive,
    Scope,
    Send,
    answer_whole,
)
from penstock.server.encoders import LIVE
from penstock.server.http_answer import problem_answer
from penstock.server.judge import ScopeJudge
from penstock.server.routes import ROUTES, parse_query, run_id_of
from penstock.server.shutdown import Shutdown
from penstock.server.stream_writer import StreamWriter, SubscribeRequest, open_stream
from penstock.words.errors import PenstockError
from penstock.words.live_frames import (
    BEGUN,
    CONTENT_TYPE,
    PRINTED,
    frame_head,
)

_ROUTE = next(route for route in ROUTES if route.name == "live_output")


def make_live_app(core: Core, shutdown: Shutdown, judge: ScopeJudge) -> ASGI:
    """What answers these requests, once they are let in."""
    numbers = itertools.count(1)

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await judge.admit(scope["state"][RUN_STATE], _ROUTE.for_run)
            run_id = run_id_of(scope["path"].split("/")[2])
            parse_query(_ROUTE, scope["query_string"])
            opened = core.live_outputs.open(run_id)
            with opened as live, _patience(scope):
                request = SubscribeRequest(run_id, 0, None, "catch_up")
                name = f"live-{next(numbers)}"
                with open_stream(core, shutdown, request, LIVE, name) as facts:
                    await _Answer(send, live).serve(receive, facts)
        except PenstockError as error:
            await answer_whole(send, problem_answer(error))

    return app


def _patience(scope: Scope) -> AbstractContextManager[None]:
    """While this is open, a client that takes nothing is waited for, as a pipe's reader is."""
    patience = scope["state"].get(PATIENT_STATE)
    return nullcontext() if patience is None else patience()


@dataclass(eq=False, slots=True)
class _Answer:
    """The answer to one client, which may leave at any moment."""

    send: Send
    live: LiveOutput
    _gone: bool = False
    _turn: trio.Lock = field(default_factory=trio.Lock)

    async def serve(self, receive: Receive, facts: StreamWriter) -> None:
        """Send what is printed and what happens until the run or the daemon ends, or the client leaves."""
        headers = [
            (b"content-type", CONTENT_TYPE.encode()),
            (b"cache-control", b"no-store"),
            (b"x-accel-buffering", b"no"),
            (b"x-content-type-options", b"nosniff"),
        ]
        start = {"type": "http.response.start", "status": 200, "headers": headers}
        await self.send(start)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._heed, receive, nursery.cancel_scope)
            nursery.start_soon(self._show)
            async for chunk in facts:
                await self._write(chunk)
            nursery.cancel_scope.cancel(reason="all is said")
        if not self._gone:
            end = {"type": "http.response.body", "body": b"", "more_body": False}
            await self.send(end)

    async def _heed(self, receive: Receive, scope: trio.CancelScope) -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        self._gone = True
        scope.cancel(reason="the client has left")

    async def _show(self) -> None:
        while True:
            await self.live.wait_news()
            await self._write(b"")

    async def _write(self, told: bytes) -> None:
        """Send what was printed before this was told, and then this."""
        async with self._turn:
            body = b"".join([*_frames(self.live.take()), told])
            if body:
                chunk = {"type": "http.response.body", "body": body, "more_body": True}
                await self.send(chunk)


def _frames(pieces: Iterable[LivePiece]) -> Iterable[bytes]:
    """The frames of what was read, in parts; what stands together goes in one."""
    for kind, group in itertools.groupby(pieces, _kind):
        parts = [data for _stream, data in filter(None, group)]
        yield frame_head(kind, sum(map(len, parts)))
        yield from parts


def _kind(piece: LivePiece) -> int:
    return BEGUN if piece is None else PRINTED[piece[0]]
