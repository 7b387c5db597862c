"""What the daemon and its service manager say to each other, without a library.

systemd gives a service open sockets, an address to send notices to, and the seconds within which it
wants to hear that the service is alive. Without it, nothing here does anything.
"""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Callable, Mapping, MutableMapping
from dataclasses import dataclass

log = logging.getLogger(__name__)

#: The first descriptor that systemd passes on (SD_LISTEN_FDS_START).
FIRST_DESCRIPTOR = 3
#: Meant for this process alone: a child that inherited them would speak in the daemon's name.
NAMES = (
    "LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES", "NOTIFY_SOCKET", "WATCHDOG_PID", "WATCHDOG_USEC",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Supervision:
    """What the service manager gave this process; nothing, where there is none."""

    #: Where notices go.
    address: str | None = None
    #: Seconds without a sign of life after which the manager ends us.
    watchdog_seconds: float | None = None
    #: Listening sockets that the manager opened. They stay its own and outlive us.
    sockets: tuple[int, ...] = ()


UNSUPERVISED = Supervision()


def take_supervision(environ: MutableMapping[str, str]) -> Supervision:
    """Read what the manager said, and take it out of the environment."""
    given = {name: environ.pop(name) for name in NAMES if name in environ}
    for fd in (found := read_supervision(given, os.getpid())).sockets:
        os.set_inheritable(fd, False)
    return found


def read_supervision(environ: Mapping[str, str], pid: int) -> Supervision:
    """What the manager said to the process `pid`; what it said to another, or garbled, is left."""
    count = _number(environ, "LISTEN_FDS") if _is_for(environ, "LISTEN_PID", pid) else 0
    micros = _number(environ, "WATCHDOG_USEC")
    # Unlike LISTEN_PID this one may be missing.
    if "WATCHDOG_PID" in environ and not _is_for(environ, "WATCHDOG_PID", pid):
        micros = 0
    return Supervision(
        address=environ.get("NOTIFY_SOCKET") or None,
        watchdog_seconds=micros / 1e6 or None,
        sockets=tuple(range(FIRST_DESCRIPTOR, FIRST_DESCRIPTOR + count)),
    )


def notify(address: str | None, *lines: str) -> bool:
    """Send a notice; False if nobody takes it. It never waits, since the loop calls it."""
    if not address:
        return False
    # An abstract address begins with NUL, which no environment can hold.
    target = "\0" + address[1:] if address.startswith("@") else address
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
            sock.setblocking(False)
            sock.sendto("\n".join(lines).encode(), target)
    except OSError as error:
        log.warning("the service manager cannot be told: %s", error)
        return False
    return True


#: Seconds that a start which gets on is given from its last word on: the commit of a large step, and
#: a slow disk, say nothing for as long.
START_SECONDS = 300


class Reporter:
    """Tells the manager how the daemon is: ready, alive, stopping, and one line of status."""

    def __init__(self, supervision: Supervision) -> None:
        self._address = supervision.address
        self._feeds = supervision.watchdog_seconds is not None
        self._status: Callable[[], str] = lambda: "starting"
        self._starts = True
        self._told = ""

    def starting(self, what: str) -> None:
        """What a long start is at, from any thread: it gets on, and is given time for it."""
        if self._starts:
            self._status = lambda: f"starting: {what}"
            self._tell(f"EXTEND_TIMEOUT_USEC={START_SECONDS * 10**6}")

    def ready(self, status: Callable[[], str]) -> None:
        """Every surface answers; `status` says from now on what the daemon does."""
        self._starts = False
        self._status = status
        self._tell("READY=1")

    def beat(self) -> None:
        """A sign of life, and the status if it has changed."""
        self._tell(*(["WATCHDOG=1"] if self._feeds else []))

    def stopping(self, why: str) -> None:
        """The stop has begun; the manager measures its time from here."""
        self._starts = False
        self._status = lambda: f"stopping: {why}"
        self._tell("STOPPING=1")

    def _tell(self, *lines: str) -> None:
        status = self._status()
        news = [] if status == self._told else [f"STATUS={status}"]
        if (lines or news) and notify(self._address, *lines, *news):
            self._told = status


def _is_for(environ: Mapping[str, str], name: str, pid: int) -> bool:
    return environ.get(name) == str(pid)


def _number(environ: Mapping[str, str], name: str) -> int:
    text = environ.get(name, "")
    return int(text) if text.isascii() and text.isdigit() else 0
