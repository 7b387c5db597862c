"""Several daemons on one private PostgreSQL, each behind a relay of its own, as boxes that can be broken."""

from __future__ import annotations

import shutil
import signal
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import trio

from penstock.client import Client, open_client
from penstock.processes.containment import send
from penstock.words.address import socket_address
from penstock.words.config import Config
from penstock_drills.box_laws import NARROW, BoxJudge, Sleep, ToldClients
from penstock_drills.keeper import AtHome
from penstock_drills.log_watch import LogWatch
from penstock_drills.private_postgres import PostgresServer, open_postgres
from penstock_drills.relay import TcpRelay, open_relay
from penstock_drills.scratch import LOOK_SECONDS, Scratch, scratch_in, start
from penstock_drills.witness import since_boot

#: Seconds of a lease: small, so that many are lost in an hour.
LEASE_SECONDS = 9.0
#: Seconds between TERM and KILL, small as the lease is.
GRACE_SECONDS = 0.5
#: Runs that a box executes at once.
SLOTS = 6
#: Seconds for a daemon to answer, to end, or to do a small run, whatever was done to it before.
PATIENCE = 90.0
#: Seconds between two looks at the log.
WATCH_SECONDS = 0.2
SCHEMA = "drilled"
#: Whether daemons of this version share a log.
SHARES = "lease_seconds" in Config.model_fields


@dataclass(eq=False, slots=True)
class DrilledBox:
    """A daemon with its folders, its relay and its process; it may be down."""

    name: str
    scratch: Scratch
    relay: TcpRelay
    settings: dict[str, str]
    process: subprocess.Popen[bytes] | None = None
    #: It may end by itself now: its lease may be over, or the server lost what it had.
    may_end: bool = False
    #: Seconds by which the clock of its next life is ahead.
    clock: int = 0

    @property
    def running(self) -> subprocess.Popen[bytes] | None:
        """Its daemon, if that has not ended."""
        alive = self.process is not None and self.process.poll() is None
        return self.process if alive else None

    def start(self) -> None:
        assert self.running is None
        self.process = start(self.scratch, clock=self.clock, **self.settings)

    def signal_daemon(self, number: signal.Signals) -> None:
        """To its daemon alone."""
        if process := self.running:
            process.send_signal(number)

    def living(self) -> list[int]:
        """The processes that have their home on this box."""
        return list(AtHome(str(self.scratch.folder)).members())

    def signal_tree(self, number: signal.Signals) -> None:
        """To all that has its home on this box: daemon, supervisors and programs."""
        home = AtHome(str(self.scratch.folder))
        for pid, start_time in home.members().items():
            send(pid, start_time, number)

    def kill(self) -> None:
        """Its daemon, and wait for that."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()

    @asynccontextmanager
    async def client(self, seconds: float = 10.0) -> AsyncIterator[Client]:
        """A client of it, which need not answer; its requests take so many seconds at most."""
        async with open_client(socket_address(self.scratch.paths.socket)) as client:
            yield replace(client, answer_seconds=seconds, patient_seconds=seconds)

    async def until_ended(self, seconds: float) -> bool:
        """Whether its daemon ended by itself within so many seconds."""
        with trio.move_on_after(seconds):
            while self.running is not None:  # noqa: ASYNC110 (of another process)
                await trio.sleep(LOOK_SECONDS)
        return self.running is None


@dataclass(eq=False, slots=True)
class BoxRig:
    """The boxes, their server, and all that was seen and told of them."""

    folder: Path
    server: PostgresServer
    #: Where servers that take its place are kept.
    servers: ExitStack
    boxes: list[DrilledBox]
    watch: LogWatch
    judge: BoxJudge = field(default_factory=BoxJudge)
    told: ToldClients = field(default_factory=ToldClients)
    broken: list[str] = field(default_factory=list)
    #: How far the file of marks was read.
    read: int = 0
    #: Since when the server may lose what it acknowledges; None: it loses nothing.
    lost_from: float | None = None

    @property
    def marks(self) -> Path:
        """Where programs of runs write that they are alive."""
        return self.folder / "marks"

    def sleep(self, box: DrilledBox) -> Sleep:
        """Put all of a box to sleep."""
        asleep = Sleep(box.name, since_boot())
        self.judge.sleeps.append(asleep)
        box.signal_tree(signal.SIGSTOP)
        # Whoever was just being started by one that was not stopped yet.
        box.signal_tree(signal.SIGSTOP)
        return asleep

    def wake(self, box: DrilledBox, asleep: Sleep) -> None:
        """All of it at once."""
        asleep.ended = since_boot()
        box.signal_tree(signal.SIGCONT)

    async def follow_log(self) -> None:
        """Read the log as it grows, and note what is over, until cancelled."""
        before = since_boot()
        while True:
            asked = since_boot()
            facts, whole = await trio.to_thread.run_sync(self.watch.read)
            seen = since_boot()
            for fact in facts:
                self.judge.note(fact.run_id, fact.type, before, seen)
            # While the server is away a run may be over, and executed anew, that is not seen to be.
            if whole:
                before = asked
            await trio.sleep(WATCH_SECONDS)

    def read_marks(self) -> None:
        """What programs wrote since the last time."""
        with self.marks.open("rb") as file:
            file.seek(self.read)
            data = file.read()
        whole = data[: data.rfind(b"\n") + 1]
        self.read += len(whole)
        self.judge.take(whole.decode().splitlines())

    def keep(self, folder: Path) -> None:
        """What the daemons and the server said, what programs wrote, and all facts, for who looks for a cause."""
        folder.mkdir(parents=True, exist_ok=True)
        shutil.copy(self.marks, folder / "marks")
        shutil.copy(self.server.folder / "log", folder / "server.log")
        for box in self.boxes:
            shutil.copy(box.scratch.log, folder / f"{box.name}.log")
        with (folder / "facts").open("w", encoding="utf-8") as file:
            file.writelines(f"{line}\n" for line in self.watch.lines())

    def forget_lost(self) -> None:
        """Once all goes on: what the server may have lost was told in vain."""
        if self.lost_from is not None:
            self.told.forget(self.lost_from)
            self.judge.forget(self.lost_from)
            self.lost_from = None


@contextmanager
def open_server(folder: Path) -> Iterator[tuple[PostgresServer, ExitStack]]:
    """The server of a drill in its folder, and the stack of those that take its place."""
    # The server's user must come to its own folder in it.
    folder.chmod(0o711)
    with ExitStack() as stack:
        yield stack.enter_context(open_postgres(folder, within=folder)), stack


@asynccontextmanager
async def open_rig(
    folder: Path, server: PostgresServer, servers: ExitStack, boxes: int
) -> AsyncIterator[BoxRig]:
    """So many boxes, none of them started; none of their processes is left when the block is left."""
    made: list[DrilledBox] = []
    async with AsyncExitStack() as stack:
        for number in range(boxes):
            relay = await stack.enter_async_context(open_relay(server.socket))
            made.append(_make_box(folder / f"box{number + 1}", relay))
        rig = BoxRig(folder, server, servers, made, LogWatch(server.url, SCHEMA))
        rig.marks.touch()
        try:
            yield rig
        finally:
            for box in made:
                box.signal_tree(signal.SIGKILL)
                box.kill()


def _make_box(folder: Path, relay: TcpRelay) -> DrilledBox:
    folder.mkdir(mode=0o700)
    wanted = {
        "store": f"postgresql://penstock@127.0.0.1:{relay.port}/penstock",
        "store_schema": SCHEMA,
        "max_concurrent": str(SLOTS),
        "kill_grace": str(GRACE_SECONDS),
        "box": folder.name,
        "lease_seconds": str(LEASE_SECONDS),
        "accept": "team",
    }
    settings = {
        f"PENSTOCK_{name.upper()}": value
        for name, value in wanted.items()
        if name in Config.model_fields
    }
    settings[f"PENSTOCK_GROUPS__{NARROW.upper()}__SLOTS"] = "1"
    return DrilledBox(folder.name, scratch_in(folder), relay, settings)
