"""The program from which supervisors are forked, so that none has to start a Python of its own.

It has one thread and imports what a supervisor needs before the first is asked for. The daemon is at the
other end of the socket whose number is the first argument; a request is a byte for each stream that the
supervisor is given (its number), and comes with the supervisor's own socket and then those streams. The
answer is the pid, with the supervisor's handle, or what the system said against it, as a negative number.
End-of-file is the word to end, as for a supervisor; those that were forked go on without their template.

Standard library only. What it inherited at its start (limits, nice value, cgroup) is what supervisors
inherit; nothing of a run is in its environment.
"""

from __future__ import annotations

import errno
import gc
import os
import select
import signal
import socket
import sys

# Imported for those supervisors that make a terminal: they import nothing more.
import penstock.processes.pseudoterminal  # noqa: F401
from penstock.processes.containment import find_prctl
from penstock.processes.lease_deadline import find_timer_calls
from penstock.processes.supervisor import HEEDED, heed_signals, serve

#: Said once, before the first answer: it is ready to fork.
READY = b"r"
#: Bytes of an answer: a pid, or an errno with a minus.
ANSWER_BYTES = 4
#: Bytes of a descriptor that comes by a socket.
FD_BYTES = 4
#: Of each supervisor: its socket, and at most three streams.
MOST_STREAMS = 3


class Template:
    """Forks a supervisor for each request, and reaps them.

    It has its own word to end, and does not by a signal: it must be there for what a daemon still starts
    while it stops.
    """

    def __init__(self, requests: socket.socket) -> None:
        self._requests = requests
        self._poll = select.poll()
        self._poll.register(requests, select.POLLIN)
        self._wake, self._wake_end = os.pipe()
        for fd in (self._wake, self._wake_end):
            os.set_blocking(fd, False)
        self._poll.register(self._wake, select.POLLIN)
        heed_signals()
        signal.set_wakeup_fd(self._wake_end, warn_on_full_buffer=False)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, HEEDED)

    def run(self) -> None:
        """Answer until the daemon closed its end, or died."""
        try:
            self._requests.sendall(READY)
            while True:
                for fd, _ in self._poll.poll():
                    if fd == self._wake:
                        os.read(self._wake, 4096)
                        _reap()
                    elif not self._answer():
                        return
        except ConnectionError:
            # The daemon was killed with an answer unread.
            return

    def _answer(self) -> bool:
        """Take one request; False when there will be no more."""
        streams, brought, _flags, _address = self._requests.recvmsg(
            MOST_STREAMS,
            socket.CMSG_SPACE((1 + MOST_STREAMS) * FD_BYTES),
            socket.MSG_CMSG_CLOEXEC,
        )
        if not streams:
            return False
        fds = [
            int.from_bytes(content[at : at + FD_BYTES], sys.byteorder)
            for _level, _kind, content in brought
            for at in range(0, len(content), FD_BYTES)
        ]
        handle = -1
        try:
            pid, handle = self._fork(streams, fds)
            answer = pid.to_bytes(ANSWER_BYTES, "big", signed=True)
            socket.send_fds(self._requests, [answer], [handle])
        except ConnectionError:
            raise
        except OSError as error:
            number = error.errno or errno.EIO
            self._requests.sendall((-number).to_bytes(ANSWER_BYTES, "big", signed=True))
        finally:
            # Whoever kept a copy would keep the daemon from hearing that a supervisor or its output ended.
            for fd in [*fds, *([handle] if handle >= 0 else ())]:
                os.close(fd)
        return True

    def _fork(self, streams: bytes, fds: list[int]) -> tuple[int, int]:
        """A supervisor's pid and handle; the handle is had before anybody could reap the pid."""
        if len(fds) != 1 + len(streams):
            raise OSError(errno.EMFILE, "descriptors were lost on the way")
        # In a supervisor until it has its own descriptor to be woken by.
        signal.pthread_sigmask(signal.SIG_BLOCK, HEEDED)
        try:
            pid = os.fork()
            if not pid:
                self._become_supervisor(streams, fds)
        finally:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, HEEDED)
        try:
            return pid, os.pidfd_open(pid)
        except OSError:
            # Not reaped yet, so that nobody else can have its pid.
            os.kill(pid, signal.SIGKILL)
            raise

    def _become_supervisor(self, streams: bytes, fds: list[int]) -> None:
        """In the child: what an executed supervisor starts with; never returns."""
        status = 1
        try:
            os.setsid()
            # The handlers stay: a supervisor has the same, and setting them again costs a tenth of all.
            signal.set_wakeup_fd(-1)
            self._requests.close()
            os.close(self._wake)
            os.close(self._wake_end)
            control, *ends = fds
            for stream, fd in zip(streams, ends, strict=True):
                os.dup2(fd, stream)
            for fd in ends:
                os.close(fd)
            serve(control)
            status = 0
        except BaseException:
            sys.excepthook(*sys.exc_info())
            raise
        finally:
            os._exit(status)


def _reap() -> None:
    """Take the dead."""
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            continue
    except ChildProcessError:
        return


def main() -> None:
    """Serve one daemon on the socket whose number is the first argument."""
    with socket.socket(fileno=int(sys.argv[1])) as requests:
        requests.set_inheritable(False)
        # Found once for all who adopt orphans, and who live by a lease.
        find_prctl()
        find_timer_calls()
        # What is here stays as it is in every supervisor, on the same pages.
        gc.collect()
        gc.freeze()
        Template(requests).run()


if __name__ == "__main__":
    main()
