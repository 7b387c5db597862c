"""PT-05: what becomes of a terminal whose connection was lost."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import trio
import trio.testing

from penstock.cli.raw_terminal import AGAIN_SECONDS, Attachment, Parted, _attach_again
from penstock.words.address import Address
from penstock.words.errors import (
    Conflict,
    NotAvailable,
    PenstockError,
    RunNotFound,
    Terminal,
)

LOST = Parted("lost", "the connection broke", begun=True)
NO_DAEMON = Parted("lost", "no daemon answers")
TAKEN = Conflict("somebody else is sending to this run; one at a time")


class Attempt(Attachment):
    """One that comes to this."""

    def __init__(self, outcome: Parted | PenstockError, *, begun: bool = False) -> None:
        self._outcome = outcome
        self._begun = trio.Event()
        if begun:
            self._begun.set()

    async def follow(self, address: Address, run_id: str) -> Parted:
        await trio.lowlevel.checkpoint()
        if isinstance(self._outcome, PenstockError):
            raise self._outcome
        return self._outcome


async def again(*attempts: Attempt) -> Parted:
    """What comes of these attempts, the last of them without end."""
    rest = list(attempts)

    def make(*, again: bool) -> Attachment:
        assert again
        return rest.pop(0) if len(rest) > 1 else rest[0]

    attach: Callable[..., Attachment] = make
    return await _attach_again(Address("http://127.0.0.1:1"), "r", LOST, attach)


async def test_it_is_given_up_after_a_while_and_the_last_reason_is_told(
    autojump_clock: trio.testing.MockClock, capsys: pytest.CaptureFixture[str]
) -> None:
    """PT-05: in one line, however many attempts there were."""
    parted = await again(Attempt(NO_DAEMON))
    assert (parted.how, parted.why, parted.begun) == ("lost", NO_DAEMON.why, False)
    assert AGAIN_SECONDS <= trio.current_time() <= AGAIN_SECONDS + 5
    told = capsys.readouterr().err.splitlines()
    assert told == ["penstock: the connection broke; connecting again"]


async def test_a_daemon_that_has_not_noticed_the_loss_yet_is_asked_again(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """PT-05: it is we who type there; if it stays so, it is told."""
    detached = Parted("detached", begun=True)
    soon = [Attempt(NO_DAEMON), Attempt(TAKEN), Attempt(TAKEN), Attempt(detached)]
    assert await again(*soon) == detached
    with pytest.raises(Conflict, match="somebody else"):
        await again(Attempt(TAKEN))


async def test_another_loss_is_another_matter(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """PT-05: it has its own time."""
    assert await again(Attempt(NO_DAEMON), Attempt(LOST)) == LOST


@pytest.mark.parametrize(
    "error", [RunNotFound("there is no run 'r'"), NotAvailable("the program has read nothing")]
)  # fmt: skip
async def test_what_will_not_change_is_told_at_once(
    autojump_clock: trio.testing.MockClock, error: PenstockError
) -> None:
    """PT-05: the run is gone, or was attached to and let us go."""
    with pytest.raises(type(error)):
        await again(Attempt(error, begun=True), Attempt(LOST))


async def test_a_run_that_ended_meanwhile_has_ended(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """PT-05: how, is told as of any that we were attached to."""
    ended = Attempt(Terminal("the run 'r' has ended", run_id="r"))
    assert (await again(ended)).how == "ended"
