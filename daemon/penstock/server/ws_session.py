"""One client of the event stream, from its first frame to the last.

    hello → events … → ready → events … → bye

Frames are put together from bytes that were encoded once. A client that takes nothing waits alone:
its cursor stands still, and it costs the daemon a number.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import trio
from pydantic import BaseModel
from trio_websocket import ConnectionClosed, WebSocketConnection

from penstock.errors import PenstockError, Unauthorised
from penstock.problems import row_of
from penstock.record.batches import Batch, Lagged, Overflow
from penstock.record.subscription import Subscription
from penstock.server.closing import Closing, last_look
from penstock.server.guard import Guard
from penstock.wire import (
    ByeFrame,
    GapFrame,
    HelloFrame,
    OpenFrame,
    ReadyFrame,
    read_json,
)

if TYPE_CHECKING:
    from penstock.runs.core import Core

#: Close codes of RFC 6455: the run has ended, the daemon stops, come again later.
CODE_ENDED, CODE_STOPPING, CODE_LAGGED = 1000, 1001, 1013
#: An error's close code is its HTTP status plus this.
FIRST_ERROR_CODE = 4000
# A close frame has room for 125 bytes, two of them for the code.
_LONGEST_REASON = 123


@dataclass(frozen=True, slots=True)
class Wish:
    """What a client wants to hear."""

    run_id: str | None
    after: int
    overflow: Overflow


@dataclass(frozen=True, slots=True)
class Bye:
    """How a stream ends: the last frame's reason, and the close code."""

    reason: str
    code: int


class Session:
    """One client that was let in."""

    def __init__(
        self, core: Core, closing: Closing, connection: WebSocketConnection, name: str
    ) -> None:
        self._core = core
        self._closing = closing
        self._connection = connection
        self._name = name

    async def wait_open(self, guard: Guard) -> OpenFrame | None:
        """The client's first frame; None if it was none, or showed no token, and we hung up."""
        try:
            with trio.fail_after(self._core.config.open_timeout):
                frame = read_json(OpenFrame, await self._first_message())
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

    async def serve(self, wish: Wish) -> None:
        """Send what is wanted until the run has ended, the daemon stops, or the client leaves."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._listen, nursery.cancel_scope)
            try:
                bye = await self._tell(wish)
                await self._send(ByeFrame(reason=bye.reason))
                await self._connection.aclose(bye.code, bye.reason)
            except ConnectionClosed:
                # Leaving is every client's right, at any moment.
                pass
            nursery.cancel_scope.cancel(reason="the stream has ended")

    async def _tell(self, wish: Wish) -> Bye:
        bus = self._core.bus
        with bus.subscribe(
            wish.run_id, wish.after, overflow=wish.overflow, name=self._name, kind="ws"
        ) as subscription:
            await self._send(hello(self._core))
            try:
                return await self._pass_on(subscription)
            except Lagged as error:
                return Bye(str(error), CODE_LAGGED)

    async def _pass_on(self, subscription: Subscription) -> Bye:
        ready = stopped = False
        while True:
            if self._closing.saying_goodbye or not (batch := subscription.take_ready()):
                # Only the wait is cut short by a stop: half a frame would break the stream.
                with self._closing.until_goodbye() as scope:
                    batch = await anext(subscription, None)
                stopped = scope.cancelled_caught
            if stopped:
                await self._send_batch(await last_look(subscription), subscription)
                return Bye("the daemon is stopping", CODE_STOPPING)
            if batch is None:
                return Bye("the run has ended", CODE_ENDED)
            await self._send_batch(batch, subscription)
            if batch.live and not ready:
                ready = True
                await self._send(ReadyFrame(head=self._core.bus.head))

    async def _send_batch(
        self, batch: Batch | None, subscription: Subscription
    ) -> None:
        for frame in frames(batch, subscription.overflow) if batch else ():
            await self._connection.send_message(frame)

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

    async def _send(self, frame: BaseModel) -> None:
        await self._connection.send_message(frame.model_dump_json())

    async def _hang_up(self, error: PenstockError) -> None:
        reason = str(error).encode()[:_LONGEST_REASON].decode(errors="ignore")
        with trio.move_on_after(self._core.config.close_timeout):
            await self._connection.aclose(
                FIRST_ERROR_CODE + row_of(error).status, reason
            )


def hello(core: Core) -> HelloFrame:
    """Which daemon this is, and how far its log reaches."""
    return HelloFrame(
        daemon=f"penstock {core.version}",
        epoch=core.epoch,
        life=core.life,
        head=core.bus.head,
        floor=core.bus.floor,
    )


def frames(batch: Batch, overflow: Overflow) -> Iterator[str]:
    """The frames that tell a batch."""
    if gap := batch.gap:
        dropped = gap.count if overflow == "drop_oldest" else None
        yield GapFrame(
            first=gap.first, last=gap.last, dropped=dropped
        ).model_dump_json()
    if batch.facts:
        yield f'{{"type":"events","events":[{batch.joined()}]}}'
