"""Ports for what the tests start."""

from __future__ import annotations

import socket
from collections.abc import Iterator


def free_ports(worker: int = 0, workers: int = 1) -> Iterator[int]:
    """Ports that nobody listens on now; none twice, nor in two workers of one session.

    Linux chooses odd ones alone as long as there are any, so it is not the last bit that tells whose a
    port is. One that takes a lost worker's place has a number beyond theirs, and may share the ports of one of
    them: then it is only by chance that a port that is free is not chosen by both.
    """
    given: set[int] = set()
    while True:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port: int = probe.getsockname()[1]
        if port // 2 % workers == worker % workers and port not in given:
            given.add(port)
            yield port
