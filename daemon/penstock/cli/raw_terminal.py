"""Being attached to a run's terminal: what it shows is shown here, and what is typed here is typed there."""

from __future__ import annotations

import signal
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from functools import partial
from typing import Literal

import trio

from penstock.cli.interrupts import heeded
from penstock.cli.output import say
from penstock.cli.own_terminal import OwnTerminal, open_own_terminal, own_size
from penstock.client.log_reader import FIRST_DELAY, LONGEST_DELAY, Backoff, Lost
from penstock.client.remote_terminal import (
    AttachedTerminal,
    Missed,
    Over,
    Screen,
    open_terminal,
)
from penstock.concurrency.deferred import DeferredFailure
from penstock.words.address import Address
from penstock.words.detach_keys import DetachKeys
from penstock.words.errors import Conflict, NotAvailable, Terminal

#: Seconds after which the first of the keys that detach is the program's: nobody types slower.
HOLD_SECONDS = 1.0
#: Seconds without a connection after which a terminal is given up: a daemon that restarts is back
#: sooner, and whoever waits at a dead terminal can attach anew.
AGAIN_SECONDS = 15.0
#: Signals after which we are still attached.
PASSING = (signal.SIGWINCH, signal.SIGTSTP, signal.SIGCONT)
#: Leaves a terminal that is only watched: Ctrl-C.
INTERRUPT = b"\x03"


@dataclass(frozen=True, slots=True)
class Parted:
    """How it came that we are attached no more."""

    #: `signal`: one came, and `number` says which; `gone`: our own terminal did.
    how: Literal["ended", "detached", "signal", "lost", "gone"]
    why: str = ""
    number: int = 0
    #: Whether the program had begun, as far as we saw.
    begun: bool = False


class Attachment:
    """Our terminal and a run's, until they part.

    `stays`: why this cannot be left, if it cannot. `again`: they have been parted before.
    """

    def __init__(
        self,
        terminal: OwnTerminal,
        *,
        keys: bytes,
        watch: bool,
        stays: str = "",
        again: bool = False,
    ) -> None:
        self._terminal = terminal
        self._keys_bytes, self._watch, self._stays = keys, watch, stays
        self._again = again
        self._begun = trio.Event()
        self._parted: Parted | None = None

    async def follow(self, address: Address, run_id: str) -> Parted:
        """Be attached until it ends, is left, or is lost. Raises what the daemon refuses."""
        rows, cols = own_size()
        failed = DeferredFailure()
        with (
            trio.open_signal_receiver(*heeded(), signal.SIGQUIT, *PASSING) as signals,
            failed,
        ):
            async with open_terminal(
                address, run_id, watch=self._watch, rows=rows, cols=cols
            ) as remote:
                async with trio.open_nursery() as nursery:
                    scope = nursery.cancel_scope
                    nursery.start_soon(self._heed, signals, remote, scope)
                    nursery.start_soon(self._type, remote, scope)
                    with failed:
                        await self._show(remote)
                    scope.cancel(reason="parted")
        parted = self._parted or self._failed(failed.error)
        self._terminal.give_back(leaves=parted is not None)
        if parted is None:
            failed.reraise()
        return parted or self._made("ended")

    def _failed(self, error: Exception | None) -> Parted | None:
        """What of it is no failure of the run's or the daemon's."""
        if isinstance(error, Lost):
            return self._made("lost", str(error))
        return self._made("gone") if isinstance(error, OSError) else None

    @property
    def begun(self) -> bool:
        """Whether we were attached to a program."""
        return self._begun.is_set()

    async def _show(self, remote: AttachedTerminal) -> None:
        while True:
            seen = await remote.receive()
            match seen:
                case bytes():
                    await self._terminal.write(seen)
                case Screen(text):
                    if not self.begun:
                        self._terminal.take(anew=self._again)
                        self._begun.set()
                    await self._terminal.write(text.encode())
                case Missed():
                    # The screen that follows says more than a number in the middle of it.
                    continue
                case Over(reason):
                    if reason != "the program has ended":
                        self._parted = self._made("lost", reason)
                    return

    async def _type(self, remote: AttachedTerminal, scope: trio.CancelScope) -> None:
        await self._begun.wait()
        keys = DetachKeys(self._keys_bytes)
        try:
            while True:
                data = b""
                with trio.CancelScope() as late:
                    if keys.pending:
                        late.deadline = trio.current_time() + HOLD_SECONDS
                    data = await self._terminal.read()
                if late.cancelled_caught:
                    typed = keys.give_up()
                elif not data:
                    self._part("gone", scope)
                    return
                else:
                    typed = keys.feed(data)
                if typed and not self._watch:
                    await remote.send(typed)
                if keys.typed or (self._watch and INTERRUPT in typed):
                    if not self._stays:
                        self._part("detached", scope)
                        return
                    keys = DetachKeys(self._keys_bytes)
                    await self._terminal.write(
                        f"\r\npenstock: {self._stays}\r\n".encode()
                    )
        except Lost:
            # Whoever shows hears it too, after the last that there is to show.
            return
        except OSError:
            self._part("gone", scope)

    async def _heed(
        self,
        signals: AsyncIterator[int],
        remote: AttachedTerminal,
        scope: trio.CancelScope,
    ) -> None:
        async for number in signals:
            if number not in PASSING:
                self._parted = Parted("signal", number=number, begun=self.begun)
                scope.cancel(reason="a signal")
                return
            if number == signal.SIGTSTP:
                self._terminal.stop()
            if number != signal.SIGWINCH and self.begun:
                self._terminal.take()
            if not self._watch:
                try:
                    await remote.resize(*own_size())
                except Lost:
                    return

    def _part(self, how: Literal["detached", "gone"], scope: trio.CancelScope) -> None:
        self._parted = self._made(how)
        scope.cancel(reason=how)

    def _made(
        self, how: Literal["ended", "detached", "lost", "gone"], why: str = ""
    ) -> Parted:
        return Parted(how, why, begun=self.begun)


async def attach_to(
    address: Address, run_id: str, *, keys: bytes, watch: bool = False, stays: str = ""
) -> Parted:
    """Attach to a run's terminal, once that is there, until we part.

    A connection that is lost after that is made again, for as long as a daemon may take to come back.
    """
    with open_own_terminal() as terminal:
        make = partial(Attachment, terminal, keys=keys, watch=watch, stays=stays)
        parted = await make().follow(address, run_id)
        # What cannot be left lives with the daemon in this command: nothing comes back.
        while parted.how == "lost" and parted.begun and not stays:
            parted = await _attach_again(address, run_id, parted, make)
        return parted


async def _attach_again(
    address: Address, run_id: str, lost: Parted, make: Callable[..., Attachment]
) -> Parted:
    """As `attach_to`, after a loss; not `begun` if no attempt succeeded.

    To a daemon that has not noticed the loss yet, it is still we who type there.
    """
    say(f"{lost.why}; connecting again")
    backoff = Backoff(FIRST_DELAY, LONGEST_DELAY, AGAIN_SECONDS, seen=True)
    parted, refused = lost, None
    while (delay := backoff.delay(trio.current_time())) is not None:
        await trio.sleep(delay)
        attachment, refused = make(again=True), None
        try:
            parted = await attachment.follow(address, run_id)
        except Terminal:
            return Parted("ended", begun=True)
        except (Conflict, NotAvailable) as error:
            if attachment.begun:
                raise
            refused = error
            continue
        if parted.how != "lost" or parted.begun:
            return parted
    if refused is not None:
        raise refused
    return Parted("lost", parted.why)
