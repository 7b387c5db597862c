"""PT-05: programs on a terminal of their own, with harmless ones and the real clock."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import pytest
import trio

from fakes.living import living
from penstock.processes import forking, launching
from penstock.processes import process as tree
from penstock.processes.containment import read_stat
from penstock.processes.detection import Containment
from penstock.processes.feeding import ProgramInput
from penstock.processes.forking import open_launcher
from penstock.processes.launching import Launcher, launch_executed
from penstock.processes.liveness import living_since
from penstock.processes.process import Proof, run_process
from penstock.processes.pseudoterminal import WindowSize
from penstock.processes.spec import Program
from penstock.words.errors import NoProcess
from penstock.words.events import ProcessExited, ProcessStarted

pytestmark = pytest.mark.processes

PATH = {"PATH": "/usr/local/bin:/usr/bin:/bin", "TERM": "dumb"}
METHODS = ["subreaper", "session"]


#: What belongs to the program.
AROUND = ("cwd", "env", "umask", "terminal", "one_stream")


class Screen:
    """A program on a terminal: what it shows, and a hand on its keys."""

    def __init__(self, launcher: Launcher = launch_executed) -> None:
        self.launcher = launcher
        self.shown = b""
        self.starts: list[ProcessStarted] = []
        self.proofs: list[Proof] = []
        self._keys: ProgramInput | None = None
        self._news = trio.Event()

    async def run(self, *argv: str, **changes: Any) -> ProcessExited:
        named: dict[str, Any] = {
            "run_id": f"terminal-of-test-{os.getpid()}",
            "cwd": Path("/"),
            "env": PATH,
            "containment": Containment("subreaper"),
            "grace": 0.5,
            "launcher": self.launcher,
            "terminal": WindowSize(),
            "feed": self._feed,
            "on_started": self._on_started,
            "on_output": self._on_output,
            "on_proof": self.proofs.append,
            **changes,
        }
        around = {name: named.pop(name) for name in AROUND if name in named}
        return await run_process(Program(argv, **around), **named)

    @property
    def keys(self) -> ProgramInput:
        """Where to type; there once the program has shown something."""
        assert self._keys is not None
        return self._keys

    async def wait_shown(self, text: bytes) -> None:
        """Until the program has shown this."""
        while text not in self.shown:
            self._news = trio.Event()
            await self._news.wait()

    async def _feed(self, keys: ProgramInput) -> None:
        self._keys = keys
        await trio.sleep_forever()

    async def _on_started(self, started: ProcessStarted) -> None:
        await trio.lowlevel.checkpoint()
        self.starts.append(started)

    async def _on_output(
        self, stream: Literal["stdout", "stderr"], data: bytes
    ) -> None:
        await trio.lowlevel.checkpoint()
        assert not data or stream == "stdout", "a terminal has one stream"
        self.shown += data
        self._news.set()


@pytest.fixture(params=["forked", "executed"])
async def screen(request: pytest.FixtureRequest) -> AsyncIterator[Screen]:
    """Both ways in which a supervisor comes to be keep every promise."""
    async with open_launcher() as launcher:
        forked = request.param == "forked"
        yield Screen(launcher if forked else launch_executed)


@contextmanager
def deadline() -> Iterator[None]:
    """Every wait of this file ends."""
    with trio.fail_after(30):
        yield


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(
    ("size", "told"), [((50, 100), b"50 100"), ((0, 0), b"24 80"), ((0, 9), b"24 9")]
)
async def test_a_program_controls_a_terminal_of_this_size(
    screen: Screen, size: tuple[int, int], told: bytes, method: Any
) -> None:
    """PT-05: one that is 0 in a direction is as large as terminals are."""
    script = "test -t 0 && test -t 1 && test -t 2 && stty size < /dev/tty"
    with deadline():
        exited = await screen.run(
            "sh", "-c", script,
            terminal=WindowSize(*size), containment=Containment(method),
        )  # fmt: skip
    assert (exited.exit_code, screen.shown) == (0, told + b"\r\n")


async def test_a_new_size_is_told_to_the_program(screen: Screen) -> None:
    """PT-05"""
    script = "trap 'stty size; exit 3' WINCH; echo up; while :; do sleep 0.05; done"
    with deadline():
        async with trio.open_nursery() as nursery:
            nursery.start_soon(screen.run, "sh", "-c", script)
            await screen.wait_shown(b"up")
            screen.keys.resize(WindowSize(33, 44))
    assert screen.shown == b"up\r\n33 44\r\n"


async def test_what_is_typed_reaches_the_program_and_is_echoed(screen: Screen) -> None:
    """PT-05: the echo is the terminal's; Ctrl-D at the beginning of a line is the end of file."""
    with deadline():
        async with trio.open_nursery() as nursery:
            nursery.start_soon(screen.run, "sh", "-c", "echo up; cat; echo end")
            await screen.wait_shown(b"up")
            await screen.keys.send_all(b"word\n")
            await screen.wait_shown(b"word\r\nword\r\n")
            await screen.keys.send_eof()
    assert screen.shown == b"up\r\nword\r\nword\r\nend\r\n"


async def test_ctrl_c_goes_to_the_program(screen: Screen) -> None:
    """PT-05: the terminal is the one that it controls."""
    exits: list[ProcessExited] = []

    async def run() -> None:
        exits.append(await screen.run("sh", "-c", "echo up; exec sleep 1000"))

    with deadline():
        async with trio.open_nursery() as nursery:
            nursery.start_soon(run)
            await screen.wait_shown(b"up")
            await screen.keys.send_all(b"\x03")
    assert exits[0].signal == 2


async def test_the_supervisor_has_no_terminal_and_another_session(
    screen: Screen,
) -> None:
    """PT-05 SY-03: what hangs up there must not end who proves the end."""
    with deadline():
        async with trio.open_nursery() as nursery:
            nursery.start_soon(screen.run, "sh", "-c", "echo up; read word")
            await screen.wait_shown(b"up")
            main = read_stat(screen.starts[0].pid)
            assert main is not None
            supervisor = read_stat(main.parent)
            assert supervisor is not None
            stat = await trio.Path(f"/proc/{main.parent}/stat").read_text()
            await screen.keys.send_all(b"\n")
    assert main.session == screen.starts[0].pid
    assert supervisor.session == main.parent
    assert stat.rpartition(")")[2].split()[4] == "0", "its controlling terminal"


async def test_no_descriptor_of_ours_is_inherited(screen: Screen) -> None:
    with deadline():
        await screen.run("ls", "/proc/self/fd")
    # The fourth is that of the listing itself.
    assert screen.shown.split() == [b"0", b"1", b"2", b"3"]


async def test_a_program_that_closes_its_streams_and_goes_on_is_heard(
    screen: Screen,
) -> None:
    """PT-05: between, nobody but the supervisor holds the terminal open."""
    script = "exec </dev/null >/dev/null 2>&1; sleep 0.3; echo back > /dev/tty"
    with deadline():
        await screen.run("sh", "-c", script)
    assert screen.shown == b"back\r\n"


async def test_much_that_is_shown_comes_whole(screen: Screen) -> None:
    """PT-05: the last of it too, which the kernel hands on after the program has ended."""
    with deadline():
        await screen.run("seq", "50000")
    assert screen.shown.split() == [b"%d" % n for n in range(1, 50001)]


async def test_a_program_that_never_reads_makes_who_types_wait(screen: Screen) -> None:
    """PT-05"""
    with deadline():
        async with trio.open_nursery() as nursery:
            nursery.start_soon(
                screen.run, "sh", "-c", "stty raw -echo; echo up; sleep 1000"
            )
            await screen.wait_shown(b"up")
            with trio.move_on_after(0.5) as patience:
                await screen.keys.send_all(bytes(1_000_000))
            assert patience.cancelled_caught
            nursery.cancel_scope.cancel(reason="enough")
    assert screen.proofs[0].survivors == ()


@pytest.mark.parametrize("method", METHODS)
async def test_a_cancel_ends_a_shell_with_jobs_and_proves_it(
    screen: Screen, method: Any
) -> None:
    """PT-05 CN-06: an interactive shell ignores TERM, and its jobs have groups of their own."""
    with deadline(), trio.CancelScope() as scope:
        async with trio.open_nursery() as nursery:

            @nursery.start_soon
            async def _() -> None:
                await screen.run(
                    "bash", "--norc", "-i",
                    env={**PATH, "PS1": "ready> "}, containment=Containment(method),
                )  # fmt: skip

            await screen.wait_shown(b"ready> ")
            jobs = b"sleep 1000 & setsid sleep 1000 & sleep 1000 &\n"
            await screen.keys.send_all(jobs + b"echo $((6*7))\n")
            await screen.wait_shown(b"42\r\n")
            scope.cancel(reason="test")
    [proof] = screen.proofs
    assert len(proof.pids) >= 4
    assert living(proof.pids) == {}
    assert (proof.survivors == ()) == (method == "subreaper")


async def test_a_lost_supervisor_is_told_as_unknown_and_its_session_is_ended(
    screen: Screen,
) -> None:
    """PT-05 CN-06 SY-03: what is left is found by its run, as at a boot, and not by a session."""
    script = "trap '' HUP; sleep 1000 & setsid sleep 1000 & echo up $!; wait"
    with deadline():
        async with trio.open_nursery() as nursery:
            nursery.start_soon(screen.run, "sh", "-c", script)
            await screen.wait_shown(b"\r\n")
            main = read_stat(screen.starts[0].pid)
            assert main is not None
            os.kill(main.parent, signal.SIGKILL)
    [proof] = screen.proofs
    assert proof.survivors == "unknown"
    assert len(proof.pids) == 3
    assert int(screen.shown.split()[1]) in proof.pids
    assert living(proof.pids) == {}


@pytest.mark.parametrize("terminal", [WindowSize(), None], ids=["tty", "pipes"])
async def test_a_session_is_the_programs_own_and_not_that_of_its_supervisor(
    screen: Screen, terminal: WindowSize | None
) -> None:
    """PT-05 SY-03: who has forgotten its run is still found by the session that it was born in."""
    forgetful = "trap '' HUP; env -i sh -c 'echo up $$ end; exec sleep 1000' & wait"
    with deadline(), trio.CancelScope() as scope:
        async with trio.open_nursery() as nursery:

            @nursery.start_soon
            async def _() -> None:
                await screen.run(
                    "sh", "-c", forgetful,
                    containment=Containment("session"), terminal=terminal,
                )  # fmt: skip

            await screen.wait_shown(b"end")
            scope.cancel(reason="test")
    pid = int(screen.shown.split()[1])
    assert living_since(pid) is None
    assert pid in screen.proofs[0].pids


async def test_last_words_after_term_are_kept(screen: Screen) -> None:
    """PT-05 DS-03"""
    script = "trap 'echo bye; exit 1' TERM; echo up; sleep 1000 & wait"
    with deadline(), trio.CancelScope() as scope:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(screen.run, "sh", "-c", script)
            await screen.wait_shown(b"up")
            scope.cancel(reason="test")
    assert screen.shown == b"up\r\nbye\r\n"


async def test_a_program_that_is_not_there_is_refused_with_a_terminal_too(
    screen: Screen,
) -> None:
    with deadline(), pytest.raises(Exception, match="cannot be executed"):
        await screen.run("no-such-program-anywhere")
    assert not screen.shown


async def test_a_terminal_that_cannot_be_had_fails_in_a_sentence(
    screen: Screen, monkeypatch: pytest.MonkeyPatch
) -> None:
    """PT-05 RS-01: the machine has no more of them."""
    refuse = "import os\ndef refuse(): raise OSError(28, '')\nos.openpty = refuse\n"
    for module in (launching, forking):
        monkeypatch.setattr(module, "LAUNCH", refuse + module.LAUNCH)
    with deadline(), pytest.raises(NoProcess, match="no terminal could be made for"):
        await screen.run("true")
    assert screen.proofs[0].survivors == ()
    assert not screen.shown


async def test_a_program_without_a_terminal_imports_nothing_for_one(
    screen: Screen,
) -> None:
    """PT-05: every run waits for the supervisor's start."""
    code = "import sys, penstock.processes.supervisor; print('fcntl' in sys.modules, 'socket' in sys.modules)"
    path = str(Path(tree.__file__).parents[2])
    with deadline():
        await screen.run(
            sys.executable, "-I", "-S", "-c", f"import sys; sys.path.append({path!r}); {code}"
        )  # fmt: skip
    assert screen.shown == b"False False\r\n"
