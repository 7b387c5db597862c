"""Why a run waits, told on stderr once it has waited for a second, and again when the reason changes."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, Protocol, TypeVar

import trio

from penstock.cli.notes import WAITING_STATES, RunNotes
from penstock.cli.output import say
from penstock.concurrency.deferred import DeferredFailure
from penstock.words.errors import PenstockError

T = TypeVar("T")

#: Seconds of waiting of which nobody needs to be told.
TOLD_AFTER_SECONDS = 1.0
#: Seconds between two questions to the daemon, doubled up to this: reasons change without a fact of
#: the run, and a thousand commands may wait at a time.
LONGEST_PAUSE_SECONDS = 16.0
#: Children asked about below one another; a tree of runs is hardly deeper.
MOST_BELOW = 8


class Explains(Protocol):
    """Whom a person could ask `penstock why`: a daemon."""

    def why(self, run_id: str) -> Awaitable[dict[str, Any]]: ...


@asynccontextmanager
async def open_telling(
    client: Explains | None, notes: RunNotes, *, quiet: bool, prefix: str = ""
) -> AsyncIterator[None]:
    """Tell why the run waits while this is open; nothing where nobody can be asked."""
    if client is None or quiet:
        yield
        return
    failed = DeferredFailure()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(_tell, client, notes, prefix)
        with failed:
            yield
        nursery.cancel_scope.cancel(reason="nobody waits any more")
    # As itself, and in no group: whose output finds no room is told by its type.
    failed.reraise()


async def tell_submitting(submit: Callable[[], Awaitable[T]], *, quiet: bool) -> T:
    """The answer to a submit, which may wait for room in the queue."""

    async def tell() -> None:
        await trio.sleep(TOLD_AFTER_SECONDS)
        say("not queued yet: waits for room in the queue")

    failed, answers = DeferredFailure(), list[T]()
    async with trio.open_nursery() as nursery:
        if not quiet:
            nursery.start_soon(tell)
        with failed:
            answers.append(await submit())
        nursery.cancel_scope.cancel(reason="it was answered")
    failed.reraise()
    return answers[0]


async def _tell(client: Explains, notes: RunNotes, prefix: str) -> None:
    told = ""
    while True:
        pause = TOLD_AFTER_SECONDS
        while notes.waits:
            moved = notes.moved
            with trio.move_on_after(pause) as waited:
                await moved.wait()
            if not waited.cancelled_caught:
                pause = TOLD_AFTER_SECONDS
                continue
            pause = min(2 * pause, LONGEST_PAUSE_SECONDS)
            why = await _ask(client, notes.run_id)
            if notes.waits and why not in {"", told}:
                told = why
                say(f"{prefix}{why}")
        await notes.moved.wait()


async def _ask(client: Explains, run_id: str) -> str:
    """Why the run waits, or the child it waits for; "" if it does not, or nobody can tell now."""
    asked = run_id
    try:
        for _ in range(MOST_BELOW):
            told = await client.why(asked)
            child = _child_of(told)
            if child is None:
                break
            asked = child
    except PenstockError:
        # Whoever follows the run meets the same, and says it.
        return ""
    if told["state"] not in WAITING_STATES:
        return ""
    return reason_line(told, child=asked != run_id)


def reason_line(told: dict[str, Any], *, child: bool = False) -> str:
    """`queued: the queue is paused (lunch)`."""
    reasons = (reason["text"] for reason in told["reasons"])
    causes = "; ".join(text[:1].lower() + text[1:].rstrip(".") for text in reasons)
    whose = f"its child {told['run_id']} is " if child else ""
    return f"{whose}{told['state']}: {causes}"


def _child_of(told: dict[str, Any]) -> str | None:
    waits_for = (r["runs"] for r in told["reasons"] if r["code"] == "child")
    return next((runs[0] for runs in waits_for if runs), None)
