"""What is done to boxes and their server: each row of the table of `docs/boxes.md`."""

from __future__ import annotations

import signal
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory

import trio

from penstock_drills.box_rig import (
    LEASE_SECONDS,
    PATIENCE,
    SHARES,
    BoxRig,
    DrilledBox,
)
from penstock_drills.scratch import LOOK_SECONDS, scratch_in, start

#: Seconds beyond its lease for which a box is away in vain.
BEYOND_SECONDS = 5.0
#: Seconds in which a daemon whose lease is over ends, once it can.
FENCED_SECONDS = 25.0
#: Seconds in which the processes of a killed daemon must be gone: TERM, grace, KILL.
GONE_SECONDS = 10.0
#: Seconds that the clock of a box is off.
CLOCK_SECONDS = 3600
#: Answers to COMMIT that are lost in a row: a renewal that is not answered does not count, so more of them
#: are as long as a lease this short.
MOST_LOST = 2

BoxFault = Callable[[BoxRig, DrilledBox, Random], Awaitable[None]]


def _short(rng: Random) -> float:
    """Seconds that no lease notices: it is renewed at every quarter, and a third of it is kept back."""
    return rng.uniform(0.1, LEASE_SECONDS / 6)


def _long(rng: Random) -> float:
    """Seconds after which any lease is over."""
    return LEASE_SECONDS + rng.uniform(2, BEYOND_SECONDS)


async def _kill(rig: BoxRig, box: DrilledBox, rng: Random) -> None:
    """Its processes are gone at once; others have its runs when its lease is over."""
    box.kill()
    with trio.move_on_after(GONE_SECONDS):
        while box.living():  # noqa: ASYNC110 (of other processes)
            await trio.sleep(LOOK_SECONDS)
    if left := box.living():
        rig.broken.append(
            f"processes end with their daemon: {left} of {box.name} are alive"
        )
    await trio.sleep(_long(rng) if SHARES else _short(rng))


async def _kill_and_start(_rig: BoxRig, box: DrilledBox, rng: Random) -> None:
    """It need not wait for its own lease."""
    box.kill()
    await trio.sleep(rng.uniform(0, 0.5))
    box.start()


async def _lose_box(_rig: BoxRig, box: DrilledBox, rng: Random) -> None:
    """Daemon, supervisors and programs at once."""
    box.signal_tree(signal.SIGKILL)
    box.kill()
    await trio.sleep(rng.choice((_short, _long))(rng))


async def _stop_in_order(rig: BoxRig, box: DrilledBox, rng: Random) -> None:
    box.signal_daemon(signal.SIGTERM)
    if not await box.until_ended(PATIENCE):
        rig.broken.append(
            f"nobody hangs: {box.name} does not stop: {box.scratch.tail()}"
        )
        box.kill()
    await trio.sleep(_short(rng))


async def _freeze_shortly(_rig: BoxRig, box: DrilledBox, rng: Random) -> None:
    box.signal_daemon(signal.SIGSTOP)
    await trio.sleep(_short(rng))
    box.signal_daemon(signal.SIGCONT)


async def _freeze(rig: BoxRig, box: DrilledBox, rng: Random) -> None:
    """Its daemon alone: its supervisors end its runs before another box has them."""
    box.may_end = SHARES
    box.signal_daemon(signal.SIGSTOP)
    await trio.sleep(_long(rng))
    box.signal_daemon(signal.SIGCONT)
    await _check_fenced(rig, box, "was frozen")


async def _freeze_within(rig: BoxRig, box: DrilledBox, rng: Random) -> None:
    """While it has the turn that every box waits for: the server gives it back."""
    box.may_end = True
    frozen = trio.Event()

    def freeze() -> None:
        box.signal_daemon(signal.SIGSTOP)
        frozen.set()

    box.relay.within = freeze
    with trio.move_on_after(LEASE_SECONDS):
        await frozen.wait()
        await trio.sleep(rng.choice((_short, _long))(rng))
    box.relay.within = None
    box.signal_daemon(signal.SIGCONT)


async def _sleep_shortly(rig: BoxRig, box: DrilledBox, rng: Random) -> None:
    asleep = rig.sleep(box)
    await trio.sleep(_short(rng))
    rig.wake(box, asleep)


async def _sleep(rig: BoxRig, box: DrilledBox, rng: Random) -> None:
    """All of it, for longer than its lease; once awake nothing of it goes on."""
    box.may_end = SHARES
    asleep = rig.sleep(box)
    await trio.sleep(_long(rng))
    rig.wake(box, asleep)
    await _check_fenced(rig, box, "was asleep")


async def _cut_shortly(_rig: BoxRig, box: DrilledBox, rng: Random) -> None:
    box.relay.mode = "hole"
    await trio.sleep(_short(rng))
    box.relay.mode = "up"


async def _partition(rig: BoxRig, box: DrilledBox, rng: Random) -> None:
    box.may_end = SHARES
    box.relay.mode = "hole"
    await trio.sleep(_long(rng))
    await _check_fenced(rig, box, "was cut off")
    box.relay.mode = "up"


async def _refuse(_rig: BoxRig, box: DrilledBox, rng: Random) -> None:
    box.relay.refuse()
    await trio.sleep(_short(rng))
    box.relay.mode = "up"


async def _reset(_rig: BoxRig, box: DrilledBox, rng: Random) -> None:
    for _ in range(rng.randint(1, 4)):
        box.relay.reset()
        await trio.sleep(rng.uniform(0, 0.5))


async def _delay(_rig: BoxRig, box: DrilledBox, rng: Random) -> None:
    box.relay.delay = rng.uniform(0.005, 0.05)
    await trio.sleep(rng.uniform(1, LEASE_SECONDS))
    box.relay.delay = 0.0


async def _lose_answers(rig: BoxRig, box: DrilledBox, rng: Random) -> None:
    """What was committed is committed, once; the daemon asks."""
    before, wanted = box.relay.lost, rng.randint(1, MOST_LOST)
    box.relay.lose = wanted
    with trio.move_on_after(LEASE_SECONDS):
        while box.relay.lose:  # noqa: ASYNC110 (the relay counts)
            await trio.sleep(LOOK_SECONDS)
    box.relay.lose = 0
    if box.relay.lost == before and box.running is not None and not box.may_end:
        rig.broken.append(f"the drill: no answer to {box.name} was lost")


async def _start_second(rig: BoxRig, box: DrilledBox, _rng: Random) -> None:
    """Of its name, with a state folder of its own: refused in a sentence."""
    if box.running is None:
        return
    with TemporaryDirectory(prefix="second", dir=box.scratch.folder) as name:
        elsewhere = scratch_in(Path(name))
        second = start(elsewhere, clock=box.clock, **box.settings)
        try:
            with trio.move_on_after(PATIENCE):
                while second.poll() is None:  # noqa: ASYNC110 (of another process)
                    await trio.sleep(LOOK_SECONDS)
            if box.running is not None and second.poll() in {None, 0}:
                rig.broken.append(
                    f"two daemons, one name: the second {box.name} is not refused: {elsewhere.tail()}"
                )
        finally:
            second.kill()
            second.wait()


async def _set_clock(rig: BoxRig, box: DrilledBox, rng: Random) -> None:
    """Its next life has a clock that is an hour ahead, or behind, or right again."""
    await _stop_in_order(rig, box, rng)
    off = rng.choice((CLOCK_SECONDS, -CLOCK_SECONDS))
    box.clock = 0 if box.clock else off


async def _check_fenced(rig: BoxRig, box: DrilledBox, what: str) -> None:
    if SHARES and not await box.until_ended(FENCED_SECONDS):
        rig.broken.append(
            f"a fenced daemon ends: {box.name} {what} for longer than its lease, and goes on"
        )


BOX_FAULTS: Mapping[str, BoxFault] = {
    "kill -9": _kill,
    "kill -9, started at once": _kill_and_start,
    "box lost": _lose_box,
    "stopped in order": _stop_in_order,
    "frozen shortly": _freeze_shortly,
    "frozen within a transaction": _freeze_within,
    "asleep shortly": _sleep_shortly,
    "cut off shortly": _cut_shortly,
    "refused": _refuse,
    "reset": _reset,
    "delayed": _delay,
    "answers to COMMIT lost": _lose_answers,
    "second of its name": _start_second,
    "clock an hour off": _set_clock,
    "frozen": _freeze,
    "asleep": _sleep,
    "partitioned": _partition,
}
