"""A daemon of its own for a drill: its own folders, port and socket, in a process that can be killed."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path

import trio

from penstock.client import Client, open_client
from penstock.words.address import Paths, find_paths, socket_address
from penstock.words.errors import DaemonUnreachable, PenstockError

#: The keeper, without all that a Python of this installation would load first.
_KEEP = (
    f"import sys; sys.path.append({str(Path(__file__).parents[1])!r}); "
    "from penstock_drills.keeper import main; main(sys.argv[1])"
)
#: Seconds that a daemon may take to answer: a cold start on a loaded box.
START_SECONDS = 60.0
#: Seconds between two looks whether it does.
LOOK_SECONDS = 0.05


@dataclass(frozen=True, slots=True)
class Scratch:
    """The folders of a drill's daemon, and its environment."""

    folder: Path
    environ: Mapping[str, str]

    @property
    def paths(self) -> Paths:
        return find_paths(self.environ)

    @property
    def log(self) -> Path:
        """What the daemon said, in all its lives."""
        return self.folder / "daemon.log"

    def tail(self) -> str:
        """The end of what it said."""
        return self.log.read_text(encoding="utf-8", errors="replace")[-2000:]


@contextmanager
def open_scratch() -> Iterator[Scratch]:
    """New folders, removed at the end; nothing of the caller's daemon is seen or touched."""
    with tempfile.TemporaryDirectory(prefix="penstock-drill-") as name:
        folder = Path(name)
        with open_keeper(folder):
            yield scratch_in(folder)


def scratch_in(folder: Path) -> Scratch:
    """A daemon's folders in this one, which is there; they are for who made it to remove."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("PENSTOCK_", "XDG_", "LISTEN_", "NOTIFY_"))
        and name
        not in {
            "STATE_DIRECTORY",
            "RUNTIME_DIRECTORY",
            "CACHE_DIRECTORY",
            "WATCHDOG_USEC",
        }
    }
    environ = {**kept, "HOME": str(folder), "PENSTOCK_PORT": str(_free_port())}
    for part in ("CONFIG", "STATE", "DATA", "CACHE"):
        environ[f"XDG_{part}_HOME"] = str(folder / part.lower())
    (folder / "run").mkdir(mode=0o700)
    environ["XDG_RUNTIME_DIR"] = str(folder / "run")
    return Scratch(folder, environ)


@contextmanager
def open_keeper(folder: Path) -> Iterator[None]:
    """Should this process be killed in here, what has its home in the folder is killed too.

    The folder is removed then.
    """
    words = [sys.executable, "-I", "-S", "-c", _KEEP, str(folder)]
    process = subprocess.Popen(
        words,
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        start_new_session=True,
        # Without a home: the keeper of whoever started this drill would end this one with it, and
        # nobody what it is there for.
        env={k: v for k, v in os.environ.items() if k == "LD_LIBRARY_PATH"},
    )
    try:
        yield
    finally:
        # From here on the folder is removed by whoever made it.
        process.kill()
        process.communicate()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


def start(
    scratch: Scratch, *, clock: int = 0, **settings: str
) -> subprocess.Popen[bytes]:
    """Start the daemon with these variables besides; whoever calls ends it.

    Its `clock` is so many seconds ahead.
    """
    off = ["penstock_drills.made_up_clock", str(clock)]
    command = off if clock else ["penstock.cli.main"]
    argv = [sys.executable, "-m", *command, "serve"]
    environ = {**scratch.environ, **settings}
    with scratch.log.open("ab") as log:
        return subprocess.Popen(
            argv, env=environ, stdout=log, stderr=log, cwd=scratch.folder
        )


@contextmanager
def started(scratch: Scratch) -> Iterator[subprocess.Popen[bytes]]:
    """The daemon, in a process that is gone at the end."""
    process = start(scratch)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


@asynccontextmanager
async def connected(
    scratch: Scratch, process: subprocess.Popen[bytes]
) -> AsyncIterator[Client]:
    """A client of the daemon, once it answers. DaemonUnreachable when it does not in time."""
    with trio.move_on_after(START_SECONDS):
        await _until_answering(scratch, process)
    if process.poll() is not None:
        raise DaemonUnreachable(f"the drill's daemon has ended:\n{scratch.tail()}")
    async with open_client(socket_address(scratch.paths.socket)) as client:
        yield client


async def _until_answering(scratch: Scratch, process: subprocess.Popen[bytes]) -> None:
    while process.poll() is None:
        try:
            async with open_client(socket_address(scratch.paths.socket)) as client:
                await client.health()
        except PenstockError:
            await trio.sleep(LOOK_SECONDS)
        else:
            return
