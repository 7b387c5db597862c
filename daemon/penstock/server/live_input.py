"""`POST /runs/ID/stdin`: a body of any length, handed to the run's program piece by piece.

Behind the door and the guard as everything else, but beside Quart, which keeps a body whole. What a
program does not read stays in the client: no more than a few pieces lie in between.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass

import trio

from penstock.concurrency.deferred import DeferredFailure
from penstock.runs.console import ConsoleWriter
from penstock.runs.control import Control
from penstock.runs.running_program import NobodyReads
from penstock.server.asgi import (
    ASGI,
    RUN_STATE,
    Receive,
    Scope,
    Send,
    answer_early,
    answer_whole,
)
from penstock.server.http_answer import HttpAnswer, json_answer, problem_answer
from penstock.server.judge import ScopeJudge
from penstock.server.routes import ROUTES, parse_query, run_id_of
from penstock.words.api import StdinReply
from penstock.words.config import Config
from penstock.words.errors import PenstockError

#: Pieces of a body that are taken before the program is: so that the end of a short one is seen, and
#: its client's leaving.
PIECES_AHEAD = 2
#: Seconds that the end of an input may take: only a terminal that nobody reads does not take it at once.
EOF_SECONDS = 1.0
_ROUTE = next(route for route in ROUTES if route.name == "send_stdin")


@dataclass(eq=False, slots=True)
class Body:
    """A request's body as it comes."""

    receive: Receive
    #: All of it came.
    whole: bool = False
    #: The client left, before or after that.
    gone: bool = False

    async def read_into(
        self, pieces: trio.MemorySendChannel[bytes], leave: trio.CancelScope | None
    ) -> None:
        """Hand the pieces on; cancels `leave` when the client leaves."""
        async with pieces:
            while not self.whole:
                message = await self.receive()
                if message["type"] == "http.disconnect":
                    break
                if piece := message.get("body", b""):
                    await pieces.send(piece)
                self.whole = not message.get("more_body", False)
        if self.whole:
            await self.receive()
        self.gone = True
        if leave is not None:
            leave.cancel(reason="the client has left")


def make_stdin_app(control: Control, config: Config, judge: ScopeJudge) -> ASGI:
    """What answers these requests, once they are let in."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        body = Body(receive)
        try:
            await judge.admit(scope["state"][RUN_STATE], _ROUTE.for_run)
            answer = await _answer(control, scope, body)
        except PenstockError as error:
            answer = problem_answer(error)
        if body.gone:
            return
        if body.whole:
            await answer_whole(send, answer)
        else:
            await answer_early(receive, send, answer, config)

    return app


async def _answer(control: Control, scope: Scope, body: Body) -> HttpAnswer:
    run_id = run_id_of(scope["path"].split("/")[2])
    query = parse_query(_ROUTE, scope["query_string"])
    return json_answer(await _send(control, run_id, body, eof=query["eof"]))


async def _send(control: Control, run_id: str, body: Body, *, eof: bool) -> StdinReply:
    """Send the body to the run's program, once that has begun.

    With `eof` the input ends with the body, however that ends: what a client that dies has sent comes
    first, as through a pipe. Without it, what it had not got rid of yet goes with it.
    """
    coming, pieces = trio.open_memory_channel[bytes](PIECES_AHEAD)
    failed, sent, still_open = DeferredFailure(), 0, False
    async with trio.open_nursery() as nursery:
        leave = None if eof else nursery.cancel_scope
        nursery.start_soon(body.read_into, coming, leave)
        with failed:
            console = await control.wait_console(run_id)
            with console.open_writer() as writer:
                try:
                    sent = await _write(writer, pieces)
                finally:
                    # Though the client has left; a terminal that takes nothing is not waited for.
                    with trio.move_on_after(EOF_SECONDS, shield=True):
                        if eof:
                            await _end_input(writer)
                    still_open = writer.open
        nursery.cancel_scope.cancel(reason="all is said")
    failed.reraise()
    return StdinReply(run_id=run_id, bytes=sent, open=still_open)


async def _write(
    writer: ConsoleWriter, pieces: trio.MemoryReceiveChannel[bytes]
) -> int:
    """Send the pieces until there are no more or the program takes none: the bytes that it took."""
    sent = 0
    async with trio.open_nursery() as nursery:
        nursery.start_soon(_leave_when_over, writer, nursery.cancel_scope)
        with suppress(NobodyReads):
            async for piece in pieces:
                await writer.write(piece)
                sent += len(piece)
        nursery.cancel_scope.cancel(reason="all is sent")
    return sent


async def _end_input(writer: ConsoleWriter) -> None:
    with suppress(NobodyReads):
        await writer.end_input()


async def _leave_when_over(writer: ConsoleWriter, scope: trio.CancelScope) -> None:
    await writer.wait_over()
    scope.cancel(reason="the program takes nothing any more")
