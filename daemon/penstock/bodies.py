"""Bodies of HTTP answers, read as far as somebody wants them and no further."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import httpx
import trio

#: Seconds to wait for the end of a body that nobody wants more of.
LONGEST_DRAIN = 0.2


async def each_piece(
    response: httpx.Response,
    on_piece: Callable[[bytes], Awaitable[bool]],
    drain: float = LONGEST_DRAIN,
) -> bool:
    """Hand over the body as it arrives until `on_piece` has enough; whether it had.

    `drain` is the seconds that the rest may take to come, unkept.
    """
    pieces = response.aiter_bytes()
    try:
        async for piece in pieces:
            if await on_piece(piece):
                break
        else:
            return False
        # A body read to its end leaves the connection fit for the next request.
        with trio.move_on_after(drain):
            async for _ in pieces:
                pass
        return True
    finally:
        # Below this iterator stand others that nobody closes. A read that is cancelled at once
        # ends them all, and leaves none to the collector.
        with trio.move_on_after(0, shield=True):
            async for _ in pieces:
                pass


async def read_bounded(
    response: httpx.Response, limit: int, drain: float = LONGEST_DRAIN
) -> bytes:
    """The first `limit` bytes of a body; more is not kept, and read only while it may `drain`."""
    body = bytearray()

    async def take(piece: bytes) -> bool:
        await trio.lowlevel.checkpoint()
        body.extend(piece[: limit - len(body)])
        return len(body) >= limit

    await each_piece(response, take, drain)
    return bytes(body)
