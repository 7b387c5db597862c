"""A real daemon in a process of its own."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

#: Seconds a daemon may take to answer: a cold start on a loaded box.
START_SECONDS = 60.0
#: Seconds a daemon may take to stop; its own bounds add up to less.
STOP_SECONDS = 60.0
#: Seconds a verb may take that waits for nothing: it starts a Python first.
VERB_SECONDS = 60.0
#: The command line, in a process of its own.
PENSTOCK = (sys.executable, "-m", "penstock.cli.main")


@dataclass
class RealDaemon:
    """`penstock serve` in a process of its own; `environ` is what its clients need too."""

    process: subprocess.Popen[bytes]
    port: int
    environ: Mapping[str, str]
    log: Path
    stopped: list[int] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Send it a signal and see it gone; its exit code."""
        if not self.stopped:
            self.process.send_signal(number)
            try:
                self.stopped.append(self.process.wait(STOP_SECONDS))
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait(STOP_SECONDS)
                raise AssertionError(
                    f"the daemon did not stop:\n{self.log.read_text()}"
                ) from None
        return self.stopped[0]


def wait_until_answering(daemon: RealDaemon) -> None:
    """Until it answers on its port, or has ended, or took too long."""
    give_up = time.monotonic() + START_SECONDS
    while time.monotonic() < give_up and daemon.process.poll() is None:
        try:
            with socket.create_connection(("127.0.0.1", daemon.port), 1) as connection:
                connection.settimeout(5)
                connection.sendall(
                    f"GET /health HTTP/1.1\r\nHost: 127.0.0.1:{daemon.port}\r\n\r\n".encode()
                )
                if connection.recv(12).startswith(b"HTTP/1.1"):
                    return
        except OSError:
            time.sleep(0.05)
    raise AssertionError(f"the daemon did not start:\n{daemon.log.read_text()}")


def penstock(daemon: RealDaemon, *words: str) -> subprocess.CompletedProcess[str]:
    """A verb of the command line at this daemon, in its home."""
    return subprocess.run(
        [*PENSTOCK, *words],
        cwd=daemon.environ["HOME"],
        env=daemon.environ,
        capture_output=True,
        text=True,
        timeout=VERB_SECONDS,
    )
