"""Hooks: a command, or one POST, after something was recorded.

They read the log as any client does, after the commit, so no run ever waits for one. A hook that
fails is a line in the daemon's log and nothing else; what a stop or a crash cuts off is not repeated.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from urllib.parse import urlsplit

import trio

from penstock.log.bus import Bus
from penstock.log.store import Store
from penstock.processes.feeding import sends
from penstock.processes.process import Proof
from penstock.processes.spec import Program
from penstock.runs.program import Executor
from penstock.words.config import Config, Hook
from penstock.words.events import (
    DAEMON_STREAM,
    BackpressureCleared,
    BackpressureRaised,
    BoxLost,
    ProcessStarted,
)
from penstock.words.lifecycle import ENDS
from penstock.words.recorded import Recorded

log = logging.getLogger(__name__)

#: The facts a hook may wait for, by the word its configuration has for them.
WORDS: Mapping[str, str] = {
    **ENDS,
    "ask.raised": "ask",
    "backpressure.raised": "backpressure",
    "backpressure.cleared": "backpressure",
    "box.lost": "box",
}
#: Bytes of a failed hook's output that the log quotes.
QUOTED_BYTES = 1000
#: Bytes read of the answer to a POST: more than any server says that only took something.
ANSWER_BYTES = 64 * 1024

Call = Callable[[Hook, Recorded], Awaitable[None]]
#: The box whose hooks are called for a fact; "" for any.
BoxOf = Callable[[Recorded], Awaitable[str]]
Due = tuple[Hook, Recorded]


class HookFailed(Exception):
    """The hook did not do its work."""


class Hooks:
    """Calls what the configuration wants called. `after` is the position it has seen already."""

    def __init__(
        self,
        config: Config,
        bus: Bus,
        call: Call,
        *,
        box: str = "",
        box_of: BoxOf | None = None,
    ) -> None:
        """`box_of` is given where other daemons write the log too; each calls the hooks of its own `box`."""
        self._box, self._box_of = box, box_of
        self._config = config
        self._bus = bus
        self._call = call
        self._after = bus.head
        self._dropped = 0

    async def watch(self) -> None:
        """Call hooks until cancelled; returns at once if there are none."""
        if not self._config.hooks:
            return
        send, receive = trio.open_memory_channel[Due](self._config.hook_queue)
        async with send, trio.open_nursery() as workers_nursery:
            for _ in range(self._config.hook_workers):
                workers_nursery.start_soon(self._work, receive.clone())
            receive.close()
            await self._read(send)

    async def _read(self, send: trio.MemorySendChannel[Due]) -> None:
        with self._bus.subscribe(
            None, self._after, overflow="drop_oldest", name="hooks", kind="hooks"
        ) as subscription:
            async for batch in subscription:
                for fact in batch.facts:
                    word = WORDS.get(fact.type)
                    wanted = [hook for hook in self._config.hooks if word in hook.on]
                    if wanted and await self._is_ours(fact):
                        for hook in wanted:
                            self._offer(send, (hook, fact))
                    # Where to go on if the log cannot be read for a while; none is called twice.
                    self._after = fact.position

    async def _is_ours(self, fact: Recorded) -> bool:
        return self._box_of is None or await self._box_of(fact) in ("", self._box)

    def _offer(self, send: trio.MemorySendChannel[Due], due: Due) -> None:
        try:
            send.send_nowait(due)
        except trio.WouldBlock:
            self._dropped += 1
            log.warning("hooks are too slow; %d calls were left out", self._dropped)

    async def _work(self, receive: trio.MemoryReceiveChannel[Due]) -> None:
        async with receive:
            async for hook, fact in receive:
                await self._persist(hook, fact)

    async def _persist(self, hook: Hook, fact: Recorded) -> None:
        why: str | None = None
        for _ in range(self._config.hook_tries):
            why = await self._try(hook, fact)
            if why is None:
                return
        log.warning(
            "the hook %s failed for %s of %s: %s",
            hook.argv[0] if hook.url is None else shown_address(hook.url),
            fact.type,
            fact.run_id,
            why,
            extra={"run_id": fact.run_id, "position": fact.position},
        )

    async def _try(self, hook: Hook, fact: Recorded) -> str | None:
        """Why it failed; None if it did not."""
        try:
            with trio.move_on_after(self._config.hook_seconds):
                await self._call(hook, fact)
                return None
        # Whatever a hook raises, groups included, is its own and must not end the daemon.
        except Exception as error:  # noqa: BLE001
            return str(error) or type(error).__name__
        return f"it took longer than {self._config.hook_seconds:g} s"


def box_of_fact(store: Store) -> BoxOf:
    """Whose hooks are called, on a log that several daemons write: all of them read every fact.

    Of a run, those of the box that it was submitted at, or of one that knows none, where it executes;
    while that box has no daemon, none are. Of the daemon's own facts, those of the box that says so.
    """

    async def box_of(fact: Recorded) -> str:
        if fact.run_id != DAEMON_STREAM:
            row = await store.run(fact.run_id)
            return "" if row is None else row.origin or row.host
        event = fact.event
        if isinstance(event, BoxLost):
            return event.by
        if isinstance(event, BackpressureRaised | BackpressureCleared):
            return event.box
        return ""

    return box_of


def caller(executor: Executor) -> Call:
    """Calls a hook for real: its program gets the event on stdin, its address gets it by POST."""

    async def call(hook: Hook, fact: Recorded) -> None:
        if hook.url is not None:
            await post(hook.url, fact)
        else:
            await execute(executor, hook, fact)

    return call


async def execute(executor: Executor, hook: Hook, fact: Recorded) -> None:
    """Run the hook's program, contained like a run's. HookFailed unless it exits with 0."""
    output = bytearray()

    async def keep(_stream: object, data: bytes) -> None:
        await trio.lowlevel.checkpoint()
        output.extend(data[: QUOTED_BYTES - len(output)])

    exited = await executor.start_process(
        Program(
            hook.argv,
            executor.home,
            {
                **executor.environ,
                "PENSTOCK_EVENT_TYPE": fact.type,
                "PENSTOCK_EVENT_RUN_ID": fact.run_id,
            },
        ),
        # Not the run's own id: processes of an open run are ended by it.
        run_id=f"hook.{fact.position}",
        feed=sends(fact.wire() + b"\n"),
        on_started=_ignore_start,
        on_output=keep,
        on_proof=_ignore_proof,
    )
    if exited.exit_code != 0:
        told = output.decode(errors="replace").strip()
        raise HookFailed(f"exit status {exited.exit_code}: {told}")


async def post(
    url: str, fact: Recorded, environ: Mapping[str, str] = os.environ
) -> None:
    """Send the event. HookFailed unless the answer is a success; redirects are none."""
    # Imported late: a daemon without such hooks does not need it.
    import httpx

    from penstock.http_clients import read_bounded, world_client

    headers = {
        "content-type": "application/json",
        "idempotency-key": str(fact.event_id),
        # What is packed small may be large when it is unpacked.
        "accept-encoding": "identity",
    }
    # The caller's deadline is the only one.
    async with (
        world_client(environ, None, 1) as client,
        client.stream("POST", url, content=fact.wire(), headers=headers) as answer,
    ):
        # It says nothing to us; but a server that is cut off in the middle may call that an error.
        # One that breaks off itself has taken the event all the same: the status says whether, and a
        # second try would tell it twice.
        with suppress(httpx.RequestError):
            await read_bounded(answer, ANSWER_BYTES, drain=0, raw=True)
    if not answer.is_success:
        raise HookFailed(f"status {answer.status_code}")


def shown_address(url: str) -> str:
    """Where a hook's address leads. What else stands in it, a path too, is often the secret itself."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return "with an address that cannot be read"
    rest = "/…" if parts.path.strip("/") or parts.query or parts.fragment else ""
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{rest}"


async def _ignore_start(_started: ProcessStarted) -> None:
    await trio.lowlevel.checkpoint()


def _ignore_proof(_proof: Proof) -> None:
    return None
