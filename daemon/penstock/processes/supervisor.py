"""The program that owns the process tree of one run.

It is a small process of its own so that the tree ends even when the daemon is killed: its argument is
the number of a socket to the daemon, and anything there is the word to end: a byte, or end-of-file, because
the daemon closed its side or died. The daemon cannot be the subreaper itself: orphans of different runs would mix.

The daemon sends eight bytes of length and a marshalled table (`argv`, `cwd`, `env`, `method`,
`cgroup`, `tasks`, `marker`, `epoch`, `grace`, `umask`,
`terminal`, `testimonies`, `lease`); the answers are lines of JSON with a `type`: `started` or `failed`, `exited`, and last `ended`.
It says `HEARD` to that one; a daemon that died without has left its proof to a file, see `testimony`.

With a `terminal`, its rows and columns, the program gets one that it controls, in a session of its own
as every program has; `started` brings the terminal's master, of which nobody else keeps a copy. So it
hangs up when the daemon dies. The slave stays open here: a program that closes its streams for a while
is not the end of its output.

With a `lease`, a file and its margin in seconds, the tree ends as well when the deadline in that file
passes, whatever has become of the daemon: see `lease_deadline`.
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
from penstock.processes.lease_deadline import LeaseDeadline
from penstock.processes.termination import LOOK_SECONDS, Terminable, terminate
from penstock.processes.testimony import keep_proof

try:
    from _posixsubprocess import fork_exec
except ImportError:  # it is Python's own, and promised to nobody
    fork_exec = None  # type: ignore[assignment]

#: Every signal that a program can ignore or handle.
CATCHABLE = signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}
#: Ignored by Python, so that a write to who is gone is an error.
PYTHONS_OWN = frozenset({signal.SIGPIPE, signal.SIGXFSZ})
#: What a supervisor and its template are woken by.
HEEDED = (signal.SIGCHLD, signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
#: What the daemon says: the word to end, and that it has the last answer.
END, HEARD = b"e", b"h"
#: Processes listed by number; a fork bomb's list would fill the socket.
MOST_LISTED = 256


class Supervisor(Terminable):
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
        self.lease: LeaseDeadline | None = None
        #: It is the lease that ends the tree, and nobody else.
        self.by_lease = self.lease_over = False
        self.killing = False
        self.poll = select.poll()
        self.poll.register(control, select.POLLIN)
        self.wake, write_end = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
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
            f'"ended","pids":{sorted(seen)[:MOST_LISTED]},"left":{sorted(left)[:MOST_LISTED]},'
            f'"proven":{str(proven).lower()},"by_lease":{str(self.by_lease).lower()}'
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
        stage = "lease"
        try:
            self.open_lease()
            stage = "terminal"
            self.open_terminal()
        except OSError as error:
            self.fail(stage, error.errno)
            return False
        if not self.begin():
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

    def begin(self) -> bool:
        """Make the main process, contained; False, and said so, when that cannot be."""
        # A terminal and a cgroup need a child of our own, which does something before it executes.
        if self.slave < 0 and self.tree.method != "cgroup":
            self.main = spawn(self.spec)
            if self.main:
                self.contain()
                return True
        # What cannot be executed fails here, and the step and errno of it are known.
        return self.fork()

    def fork(self) -> bool:
        """Fork, contain and execute; False, and said so, when that cannot be."""
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

    def open_lease(self) -> None:
        """Live by the daemon's lease, if it has one. OSError where that cannot be, or is over."""
        if lease := self.spec["lease"]:
            self.lease = LeaseDeadline(*lease)  # type: ignore[misc]
            if self.lease.passed():
                raise OSError(errno.ETIME, os.strerror(errno.ETIME))
            if self.lease.alarm >= 0:
                self.poll.register(self.lease.alarm, select.POLLIN)

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
        """Wait for a signal, a word, the lease's end or the time; then reap."""
        lease = self.lease
        if lease is not None:
            seconds = lease.bounded(seconds)
        for fd, _ in self.poll.poll(
            None if seconds is None else max(0, seconds) * 1000
        ):
            if fd == self.wake:
                self.told |= signal.SIGTERM in os.read(self.wake, 4096)
                continue
            if fd != self.control:
                continue
            # The word to end, end-of-file, or a reset, which an unread answer makes of it.
            self.told = True
            self.poll.unregister(self.control)
        if lease is not None:
            self.heed(lease)
        self.reap()

    def heed(self, lease: LeaseDeadline) -> None:
        """Look at every turn: somebody who wakes us all the time must not keep us from it."""
        if not lease.passed():
            return
        self.by_lease |= not self.told and not self.exited
        self.told = True
        if lease.alarm >= 0 and not self.lease_over:
            self.poll.unregister(lease.alarm)
        self.lease_over = True

    def reap(self) -> None:
        """Take the dead, then tell the main one's end, if it is among them.

        Without a subreaper the main one stays, so that its session's id stays ours.
        """
        main = None
        while True:
            try:
                dead = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            except ChildProcessError:
                self.childless = True
                break
            if dead is None:
                break
            if dead.si_pid == self.main and not self.exited:
                main = dead
            if not self.tree.proves:
                break
            os.waitpid(dead.si_pid, 0)
        if main is not None:
            self.note_exit(main.si_status, by_signal=main.si_code != os.CLD_EXITED)

    def note_exit(self, status: int, *, by_signal: bool) -> None:
        self.exited = True
        code, number = ("null", str(status)) if by_signal else (str(status), "null")
        left = 0 if self.told else len(self.members())
        self.say(
            f'"exited","exit_code":{code},"signal":{number},"leftover":{left}',
            # The end follows at once, and both are heard in one.
            hold=not left and not self.told,
        )

    def members(self) -> dict[int, int]:
        # A proof of there being none spares the look.
        if self.childless and self.tree.proves and self.tree.empty(self.childless):
            return {}
        return self.tree.members()

    def kill(self) -> None:
        self.killing = True
        self.tree.kill()

    def wait_empty(self, until: float) -> bool:
        """Whether the tree was empty at some moment before `until`, or before the lease takes its grace."""
        self.reap()
        while not self.tree.empty(self.childless):
            remaining = until - time.monotonic()
            if self.lease is not None and not self.killing:
                remaining = min(remaining, self.lease.grace_left())
            if remaining <= 0:
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


def spawn(spec: dict[str, object]) -> int:
    """The pid of a child that has become the program; 0 if there is none, and nothing was executed.

    By vfork, which spares the copies of all pages that a forked child and then its parent touch: a third
    of what a run costs besides its program. Of Python only subprocess has it. Not by posix_spawn: glibc's
    has the signals 32 and 33 ignored in the program, as no shell does.
    """
    argv, env, cwd, umask = spec["argv"], spec["env"], spec["cwd"], spec["umask"]
    assert isinstance(argv, list)
    assert isinstance(env, dict)
    assert isinstance(cwd, bytes)
    for path in paths_of(argv[0], env):
        if os.access(os.path.join(cwd, path), os.X_OK):
            break
    else:
        return 0
    errors, errors_end = os.pipe()
    try:
        main = fork_exec(
            argv, (path,), False, (),
            cwd,  # type: ignore[arg-type]  # bytes will do
            [b"%s=%s" % pair for pair in env.items()],
            -1, -1, -1, -1, -1, -1, errors, errors_end, True, True, -1, None, None, None,
            -1 if umask is None else umask,  # type: ignore[arg-type]
            None,  # type: ignore[arg-type]  # nothing of ours is done in it
            True,
        )  # fmt: skip
    except (OSError, TypeError):
        # No process is to be had, or this Python has none, or one that takes other arguments.
        os.close(errors)
        return 0
    finally:
        os.close(errors_end)
    failed = os.read(errors, 1)
    os.close(errors)
    if failed:
        os.waitpid(main, 0)
        return 0
    return main


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
    refused: OSError | None = None
    for path in paths_of(name, env):
        try:
            os.execve(path, argv, env)
        except (FileNotFoundError, NotADirectoryError) as error:
            missing = error
        except OSError as error:
            if error.errno == errno.ENOEXEC:
                os.execve(b"/bin/sh", [b"sh", path, *argv[1:]], env)
            refused = refused or error
    raise refused or missing


def paths_of(name: bytes, env: dict[bytes, bytes]) -> list[bytes]:
    """Where a program of this name may be, in order, as seen from the folder that it begins in."""
    if b"/" in name:
        return [name]
    folders = env.get(b"PATH", os.fsencode(os.defpath)).split(b":")
    return [os.path.join(folder, name) for folder in folders]


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
    """Have the signals that matter here heard by whoever sets a descriptor to be woken by, and unblocks them.

    What the daemon ignores or blocks is none of the programs' business, so it is not ours either; Python
    itself keeps the program from what Python ignores.
    """
    signal.pthread_sigmask(signal.SIG_SETMASK, HEEDED)
    for number in CATCHABLE - PYTHONS_OWN:
        if signal.getsignal(number) == signal.SIG_IGN:
            signal.signal(number, signal.SIG_DFL)
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
