"""A machine that refuses calls of its kernel, as a sandbox does: for a process of a test's own, and its children."""

from __future__ import annotations

import ctypes
import os
import struct

#: Numbers of calls by machine.
CALLS = {
    "x86_64": {"clock_nanosleep": 230, "nanosleep": 35, "timerfd_settime": 286},
    "aarch64": {"clock_nanosleep": 115, "nanosleep": 101, "timerfd_settime": 86},
}
# Of <linux/prctl.h>, <linux/seccomp.h> and <linux/filter.h>.
_NO_NEW_PRIVILEGES, _SECCOMP, _BY_FILTER = 38, 22, 2
_LOAD_NUMBER, _IF_EQUAL, _RETURN = 0x20, 0x15, 0x06
_ALLOWED, _FAILS = 0x7FFF0000, 0x00050000


class _Filter(ctypes.Structure):
    _fields_ = (("count", ctypes.c_ushort), ("code", ctypes.c_char_p))


def refuse_calls(*names: str, error: int) -> None:
    """From now on each of these fails with this errno. There is no way back. OSError if that cannot be."""
    steps = [(_LOAD_NUMBER, 0, 0, 0)]
    for name in names:
        steps.append((_IF_EQUAL, 0, 1, CALLS[os.uname().machine][name]))
        steps.append((_RETURN, 0, 0, _FAILS | error))
    steps.append((_RETURN, 0, 0, _ALLOWED))
    code = b"".join(struct.pack("HBBI", *step) for step in steps)
    library = ctypes.CDLL(None, use_errno=True)
    given = _Filter(len(steps), code)
    if library.prctl(_NO_NEW_PRIVILEGES, 1, 0, 0, 0) or library.prctl(
        _SECCOMP, _BY_FILTER, ctypes.byref(given)
    ):
        raise OSError(ctypes.get_errno(), "calls cannot be refused here")
