"""The program that owns the process tree of one run.

It is a small process of its own so that the tree ends even when the daemon is killed: its argument is
the number of a socket to the daemon, and anything there is the word to end: a byte, or end-of-file, because
the daemon closed its side or died. The daemon cannot be the subreaper itself: orphans of different runs would mix.

The daemon sends eight bytes of length and a marshalled table (`argv`, `cwd`, `env`, `method`,
`cgroup`, `tasks`, `marker`, `epoch`, `grace`, `umask`,
`terminal`, `testimonies`); the answers are lines of JSON with a `type`: `started` or `failed`, `exited`, and last `ended`.
It says `HEARD` to that one; a daemon that died without has left its proof to a file, see `testimony`.

With a `terminal`, its rows and columns, the program gets one that it controls, in a session of its own
as every program has; `started` brings the terminal's master, of which nobody else keeps a copy. So it
hangs up when the daemon dies. The slave stays open here: a program that closes its streams for a while
is not the end of its output.
"""

from __future__ import annotations

import errno
import marshal
import os
import select
import signal
import sys
import time

from penstock.processes.containment import boot_id, choose, read_stat
from penstock.processes.termination import LOOK_SECONDS, terminate
from penstock.processes.testimony import keep_proof

#: Every signal that a program can ignore or handle.
CATCHABLE = signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}
#: What a supervisor and its template are woken by.
HEEDED = (signal.SIGCHLD, signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
#: What the daemon says: the word to end, and that it has the last answer.
END, HEARD = b"e", b"h"
#: Processes listed by number; a fork bomb's list would fill the socket.
MOST_LISTED = 256


class Supervisor:
    """One run's tree from its first process to the proof that none is left."""

    def __init__(self, control: int, spec: dict[str, object]) -> None:
        self.control = control
        self.spec = spec
        self.tree = choose(spec)
        self.main = self.start_time = 0
        self.master = self.slave = -1
        self.exited = False
        self.told = False
        self.childless = False
        self.held = b""
        self.poll = select.poll()
        self.poll.register(control, select.POLLIN)
        self.wake, write_end = os.pipe()
        for fd in (self.wake, write_end):
            os.set_blocking(fd, False)
        signal.set_wakeup_fd(write_end, warn_on_full_buffer=False)
        self.poll.register(self.wake, select.POLLIN)
        # Those that came before are heard now.
        signal.pthread_sigmask(signal.SIG_UNBLOCK, HEEDED)

    def run(self) -> None:
        """Start the main process, wait for its end or the word to end, and end the tree."""
        if not self.start():
            return
        while not self.exited and not self.told:
            self.turn(None)
        seen, left, over = terminate(self, float(str(self.spec["grace"])))
        self.tree.close()
        # That nothing is seen is no proof; that no child is left to wait for is one.
        proven = self.tree.proves and over
        said = self.say(
            f'"ended","pids":{sorted(seen)[:MOST_LISTED]},'
            f'"left":{sorted(left)[:MOST_LISTED]},"proven":{str(proven).lower()}'
        )
        folder = str(self.spec["testimonies"])
        if proven and folder and not (said and self.wait_heard()):
            keep_proof(folder, boot_id(), self.main, self.start_time)

    def wait_heard(self) -> bool:
        """Whether the daemon has heard the last word; it may die with the word unread."""
        try:
            while word := os.read(self.control, 16):
                if HEARD in word:
                    return True
        except OSError:
            # A reset: so the kernel says that something was left unread.
            return False
        return False

    def start(self) -> bool:
        """Start the program, contained; False, and said so, when that cannot be."""
        try:
            self.open_terminal()
        except OSError as error:
            self.fail("terminal", error.errno)
            return False
        if not self.fork():
            return False
        # Only the tree may hold the ends of its pipes, or its output would never end.
        nothing = os.open("/dev/null", os.O_RDWR)
        for fd in (0, 1, 2):
            os.dup2(nothing, fd)
        # A process that has exited already is a zombie and still has its start time.
        self.start_time = stat.start_time if (stat := read_stat(self.main)) else 0
        self.say(
            f'"started","pid":{self.main},"start_time":{self.start_time},"method":"{self.tree.method}"',
            self.master,
        )
        return True

    def fork(self) -> bool:
        """Fork, contain and execute; False, and said so, when that cannot be.

        Not by posix_spawn, which took 1 ms less: glibc's has the signals 32 and 33 ignored in the
        program, as no shell does.
        """
        errors, errors_end = os.pipe()
        gate, gate_end = os.pipe()
        try:
            self.main = os.fork()
        except OSError as error:
            # The limit on processes is reached, here as well as for the daemon.
            self.fail("fork", error.errno)
            return False
        if not self.main:
            os.close(gate_end)
            execute(self.spec, gate, errors_end, self.slave)
        os.close(errors_end)
        os.close(gate)
        self.contain()
        os.write(gate_end, b"1")
        os.close(gate_end)
        problem = os.read(errors, 64)
        os.close(errors)
        if problem:
            stage, _, number = problem.decode().partition(" ")
            os.waitpid(self.main, 0)
            self.fail(stage, int(number))
            return False
        return True

    def open_terminal(self) -> None:
        """Make the program's terminal, if it is to have one."""
        if size := self.spec["terminal"]:
            from penstock.processes.pseudoterminal import WindowSize, open_terminal

            self.master, self.slave = open_terminal(WindowSize(*size))  # type: ignore[misc]

    def fail(self, stage: str, number: int | None) -> None:
        """Say that nothing was started, and leave nothing."""
        self.say(f'"failed","stage":"{stage}","errno":{number or 0}')
        self.tree.close()

    def contain(self) -> None:
        """Put the child, which waits at the gate, where it cannot leave."""
        try:
            self.tree.enter(self.main)
        except OSError:
            self.tree.close()
            self.tree = choose({**self.spec, "method": "subreaper"})
            self.tree.enter(self.main)

    def turn(self, seconds: float | None) -> None:
        """Wait for a signal, a word or the time; then reap."""
        for fd, _ in self.poll.poll(
            None if seconds is None else max(0, seconds) * 1000
        ):
            if fd == self.wake:
                self.told |= signal.SIGTERM in os.read(self.wake, 4096)
                continue
            # The word to end, end-of-file, or a reset, which an unread answer makes of it.
            self.told = True
            self.poll.unregister(self.control)
        self.reap()

    def reap(self) -> None:
        """Take the dead. Without a subreaper the main one stays, so that its session's id stays ours."""
        while True:
            try:
                dead = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            except ChildProcessError:
                self.childless = True
                return
            if dead is None:
                return
            if dead.si_pid == self.main and not self.exited:
                self.note_exit(dead.si_status, by_signal=dead.si_code != os.CLD_EXITED)
            if not self.tree.proves:
                return
            os.waitpid(dead.si_pid, 0)

    def note_exit(self, status: int, *, by_signal: bool) -> None:
        self.exited = True
        code, number = ("null", str(status)) if by_signal else (str(status), "null")
        left = 0 if self.told else len(self.tree.members())
        self.say(
            f'"exited","exit_code":{code},"signal":{number},"leftover":{left}',
            # The end follows at once, and both are heard in one.
            hold=not left and not self.told,
        )

    def members(self) -> dict[int, int]:
        return self.tree.members()

    def kill(self) -> None:
        self.tree.kill()

    def wait_empty(self, until: float) -> bool:
        """Whether the tree was empty at some moment before `until`."""
        self.reap()
        while not self.tree.empty(self.childless):
            if (remaining := until - time.monotonic()) <= 0:
                return False
            self.turn(min(remaining, LOOK_SECONDS))
        return True

    def say(self, text: str, master: int = -1, *, hold: bool = False) -> bool:
        """One line to the daemon, with its end of a terminal; False when it is dead and hears nothing.

        `hold`: it goes with the next one.
        """
        line = b'%s{"type":%s}\n' % (self.held, text.encode())
        self.held = line if hold else b""
        if hold:
            return True
        try:
            if master < 0:
                os.write(self.control, line)
            else:
                from penstock.processes.pseudoterminal import hand_over

                hand_over(self.control, line, master)
        except OSError:
            self.told = True
            return False
        return True


def execute(spec: dict[str, object], gate: int, errors: int, terminal: int) -> None:
    """In the child: wait at the gate, then become the program; never returns."""
    stage = "fork"
    try:
        os.read(gate, 1)
        os.setsid()
        if terminal >= 0:
            from penstock.processes.pseudoterminal import take_terminal

            stage = "terminal"
            take_terminal(terminal)
        signal.set_wakeup_fd(-1)
        for number in CATCHABLE:
            # What the daemon ignores is none of the program's business.
            signal.signal(number, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_SETMASK, ())
        if (umask := spec["umask"]) is not None:
            os.umask(umask)  # type: ignore[arg-type]
        stage = "cwd"
        os.chdir(spec["cwd"])  # type: ignore[arg-type]
        stage = "argv"
        argv: list[bytes] = spec["argv"]  # type: ignore[assignment]
        become(argv, spec["env"])  # type: ignore[arg-type]
    except OSError as error:
        os.write(errors, f"{stage} {error.errno}".encode())
    finally:
        os._exit(127)


def become(argv: list[bytes], env: dict[bytes, bytes]) -> None:
    """Execute as the C library's execvp does: what has no format of its own is a script of the shell's.

    Returns never. OSError if it cannot be executed.
    """
    name = argv[0]
    if not name:  # of which Python would tell no errno
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))
    folders = env.get(b"PATH", os.fsencode(os.defpath)).split(b":")
    paths = [name] if b"/" in name else [os.path.join(f, name) for f in folders]
    refused: OSError | None = None
    for path in paths:
        try:
            os.execve(path, argv, env)
        except (FileNotFoundError, NotADirectoryError) as error:
            missing = error
        except OSError as error:
            if error.errno == errno.ENOEXEC:
                os.execve(b"/bin/sh", [b"sh", path, *argv[1:]], env)
            refused = refused or error
    raise refused or missing


def read_spec(control: int) -> dict[str, object]:
    """The table the daemon sends; EOFError when it died before."""

    def exactly(size: int) -> bytes:
        parts = bytearray()
        while len(parts) < size:
            part = os.read(control, size - len(parts))
            if not part:
                raise EOFError
            parts += part
        return bytes(parts)

    spec = marshal.loads(exactly(int.from_bytes(exactly(8), "big")))
    assert isinstance(spec, dict)
    return spec


def heed_signals() -> None:
    """Have the signals that matter here heard by whoever sets a descriptor to be woken by, and unblocks them."""
    signal.pthread_sigmask(signal.SIG_BLOCK, HEEDED)
    for number in HEEDED:
        signal.signal(number, lambda *_: None)


def serve(control: int) -> None:
    """Serve one run on this socket to the daemon; signals are heeded already."""
    try:
        spec = read_spec(control)
    except EOFError:
        return
    Supervisor(control, spec).run()


def main() -> None:
    """Serve one run on the socket whose number is the first argument."""
    control = int(sys.argv[1])
    os.set_inheritable(control, False)
    heed_signals()
    serve(control)


if __name__ == "__main__":
    main()
