"""`/ws/{run_id}/terminal`: a run's terminal, live and beside the log, for one who types and many who watch.

Binary frames are what it shows, and from the one who types what is typed. Text frames are JSON:
`{"screen": text}` first, and after each `{"lost": bytes}`; `{"ended": reason}` last, or
`{"problem": …}`; `{"resize": [rows, columns]}` from the one who types.
"""

from __future__ import annotations

import json
import re
import select
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote_to_bytes

import trio
from trio_websocket import ConnectionClosed, WebSocketConnection

from penstock.concurrency.deferred import DeferredFailure
from penstock.processes.pseudoterminal import WindowSize
from penstock.runs.console import Console, ConsoleWatch, ConsoleWriter
from penstock.runs.core import Core
from penstock.runs.running_program import NobodyReads
from penstock.server.close_codes import CODE_ENDED, CODE_STOPPING, error_code, short
from penstock.server.door_stream import DoorStream
from penstock.server.guard import RequestHead
from penstock.server.recorded_terminal import look_on
from penstock.server.routes import TERMINAL, parse_query, run_id_of
from penstock.server.shutdown import Shutdown
from penstock.words.api import TerminalFrame, problem_of, read_json
from penstock.words.errors import Conflict, NotAvailable, PenstockError, Refused
from penstock.words.terminal_inputs import gets_terminal

#: Frames that are taken of the client before its program takes what is typed.
FRAMES_AHEAD = 64
#: Seconds between two looks whether a client has left to whose program nothing can be sent.
LOOK_SECONDS = 1.0
#: Bytes of a frame: a client reads it whole.
FRAME_BYTES = 64 * 1024
_PATH = re.compile(r"/ws/([^/]+)/terminal")
ENDED, STOPPING = "the program has ended", "the daemon is stopping"


@dataclass(frozen=True, slots=True)
class TerminalRequest:
    """What a handshake asks for; `size` is the client's own, if it said one."""

    run_id: str
    watch: bool
    size: WindowSize | None


def read_terminal_request(request_head: RequestHead) -> TerminalRequest | None:
    """What the address asks for; None if it is no terminal's. Refused names what does not fit."""
    found = _PATH.fullmatch(request_head.path)
    if found is None:
        return None
    query = parse_query(TERMINAL, request_head.query)
    try:
        run_id = run_id_of(unquote_to_bytes(found[1]).decode("utf-8"))
    except UnicodeDecodeError:
        raise Refused("run_id", "is not UTF-8 when decoded") from None
    rows, cols = query["rows"], query["cols"]
    size = None if rows is None and cols is None else WindowSize(rows or 0, cols or 0)
    return TerminalRequest(run_id, query["watch"], size)


class TerminalSession:
    """One client that was let in, attached to a run's terminal."""

    def __init__(
        self,
        core: Core,
        shutdown: Shutdown,
        connection: WebSocketConnection,
        stream: DoorStream,
        wanted: TerminalRequest,
    ) -> None:
        self._core, self._shutdown = core, shutdown
        self._connection, self._stream = connection, stream
        self._wanted = wanted
        self._size = wanted.size
        self._writer: ConsoleWriter | None = None
        self._refusal: PenstockError | None = None
        self._left = False

    async def serve(self) -> None:
        """Attach once the program has begun, until it ends, the daemon stops, or the client leaves."""
        failed, ending = DeferredFailure(), STOPPING
        typed, pieces = trio.open_memory_channel[bytes](FRAMES_AHEAD)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._hear, typed, nursery.cancel_scope)
            with failed:
                console = None
                with self._shutdown.until_streams_end() as scope:
                    console = await self._find_console()
                if console is not None:
                    ending = await self._attach(console, pieces)
                elif not scope.cancelled_caught:
                    ending = await self._look_on()
            nursery.cancel_scope.cancel(reason="all is said")
        if self._left or isinstance(failed.error, ConnectionClosed):
            return
        if failed.error is not None and not isinstance(failed.error, PenstockError):
            failed.reraise()
        error = self._refusal or failed.error
        with trio.move_on_after(self._core.config.close_timeout):
            await self._part(
                ending, error if isinstance(error, PenstockError) else None
            )

    async def _part(self, ending: str, error: PenstockError | None) -> None:
        try:
            if error is None:
                code = CODE_ENDED if ending == ENDED else CODE_STOPPING
                await self._tell(ended=ending)
                await self._connection.aclose(code, short(ending))
            else:
                _status, problem = problem_of(error)
                await self._tell(problem=problem.model_dump(mode="json"))
                await self._connection.aclose(error_code(error), short(str(error)))
        except ConnectionClosed:
            # Leaving is every client's right, at any moment.
            return

    async def _find_console(self) -> Console | None:
        """Its console, once that is there; None of a terminal on another box, of which the log tells who watches."""
        run_id = self._wanted.run_id
        try:
            return await self._core.control.wait_console(run_id)
        except Conflict as error:
            if "box" not in error.facts or not self._wanted.watch:
                raise
            elsewhere = error
        if not gets_terminal((await self._core.reader.view(run_id)).inputs):
            raise elsewhere
        return None

    async def _look_on(self) -> str:
        """Send what the log tells of the terminal; why there is no more."""
        await self._tell(screen="")
        run_id = self._wanted.run_id
        ended = await look_on(self._core, self._shutdown, run_id, self._send)
        return ENDED if ended else STOPPING

    async def _send(self, data: bytes) -> None:
        for start in range(0, len(data), FRAME_BYTES):
            await self._connection.send_message(data[start : start + FRAME_BYTES])

    async def _attach(
        self, console: Console, pieces: trio.MemoryReceiveChannel[bytes]
    ) -> str:
        console.check_terminal()
        failed, ending = DeferredFailure(), STOPPING
        with ExitStack() as held:
            if not self._wanted.watch:
                self._writer = held.enter_context(console.open_writer())
                if self._size is not None:
                    self._writer.resize(self._size)
            watch = held.enter_context(console.open_watch(first=not self._wanted.watch))
            async with trio.open_nursery() as nursery:
                nursery.start_soon(_write, self._writer, pieces)
                with failed:
                    ending = await self._show(console, watch)
                nursery.cancel_scope.cancel(reason="nothing more is shown")
        failed.reraise()
        return ending

    async def _show(self, console: Console, watch: ConsoleWatch) -> str:
        """Send what the terminal shows; why there is no more."""
        if watch.whole:
            await self._tell(screen="")
        else:
            await self._show_screen(console, watch)
        while True:
            with self._shutdown.until_streams_end() as scope:
                try:
                    shown = await watch.receive()
                except trio.EndOfChannel:
                    return ENDED
            if scope.cancelled_caught:
                return STOPPING
            if shown.lost:
                await self._tell(lost=shown.lost + len(shown.data))
                await self._show_screen(console, watch)
                continue
            await self._send(shown.data)

    async def _show_screen(self, console: Console, watch: ConsoleWatch) -> None:
        assert console.screen is not None
        # At one moment: what waits is on the screen, and what comes is not.
        watch.forget()
        await self._tell(screen=await console.screen.take())

    async def _tell(self, **members: Any) -> None:
        await self._connection.send_message(json.dumps(members))

    async def _hear(
        self, typed: trio.MemorySendChannel[bytes], scope: trio.CancelScope
    ) -> None:
        """Take what the client says, no faster than the program does, until it leaves."""
        try:
            async with typed:
                while not self._left:
                    message = await self._connection.get_message()
                    if isinstance(message, str):
                        self._obey(read_json(TerminalFrame, message))
                    elif not self._wanted.watch:
                        await self._pass_on(message, typed)
        except ConnectionClosed:
            self._left = True
        except PenstockError as error:
            self._refusal = error
        scope.cancel(reason="the client has left")

    def _obey(self, frame: TerminalFrame) -> None:
        """A size of one who only watches changes nothing."""
        if frame.resize is None:
            return
        self._size = WindowSize(*frame.resize)
        if self._writer is not None and self._writer.open:
            self._writer.resize(self._size)

    async def _pass_on(
        self, message: bytes, typed: trio.MemorySendChannel[bytes]
    ) -> None:
        """Hand on what was typed. NotAvailable if nothing is read for as long as a client may stall.

        A client that left over TCP meanwhile cannot be told from one that waits.
        """
        seconds = self._core.config.stall_timeout
        with trio.move_on_after(seconds) as patience:
            while not self._left:
                with trio.move_on_after(LOOK_SECONDS):
                    await typed.send(message)
                    return
                # Nothing is read of it meanwhile, so nobody else notices.
                self._left = _has_left(self._stream)
        if patience.cancelled_caught:
            raise NotAvailable(
                f"the program has read nothing of what was typed for {seconds:g} s"
            )


async def _write(
    writer: ConsoleWriter | None, pieces: trio.MemoryReceiveChannel[bytes]
) -> None:
    async for piece in pieces:
        if writer is not None:
            try:
                await writer.write(piece)
            except NobodyReads:
                return


def _has_left(stream: DoorStream) -> bool:
    """Whether the peer sends nothing any more, though what it sent is not read yet."""
    if stream.socket.fileno() < 0:
        return True
    look = select.poll()
    look.register(stream.socket.fileno(), select.POLLRDHUP)
    return bool(look.poll(0))
