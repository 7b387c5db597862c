"""What a submit sends of the place it is made in: this process's environment, umask and folder."""

from __future__ import annotations

import base64
import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from penstock.words.address import Address, is_loopback
from penstock.words.surroundings import pack_environ
from penstock.words.trace_context import TRACEPARENT, read_traceparent

# What Python sets before our first line where the locale is C (PEP 538): no shell has said it.
_COERCED = "LC_CTYPE"


def with_caller(
    request: Mapping[str, Any], environ: Mapping[str, str], address: Address
) -> dict[str, Any]:
    """The body of `POST /runs` with what its programs are to find around them."""
    caller, trace = caller_of(environ, address), trace_of(environ)
    return {
        **request,
        **({} if caller is None else {"caller": caller}),
        **({} if trace is None else {"traceparent": trace}),
    }


def trace_of(environ: Mapping[str, str]) -> str | None:
    """Where this process is in somebody's trace; None where nobody said, or no traceparent."""
    trace = environ.get(TRACEPARENT, "")
    return None if read_traceparent(trace) is None else trace


def caller_of(environ: Mapping[str, str], address: Address) -> dict[str, Any] | None:
    """The `caller` of a submit. None for the daemon of another box.

    Paths of this one mean nothing there, and what is secret here has no business there. How much of
    it programs get is the daemon's setting `env`.
    """
    if address.socket is None and not is_loopback(
        urlsplit(address.base).hostname or ""
    ):
        return None
    packed = pack_environ(shell_environ(environ))
    caller: dict[str, Any] = {"environ": base64.b64encode(packed).decode()}
    if (umask := _umask()) is not None:
        caller["umask"] = umask
    # Whose folder was removed has none to give.
    with suppress(FileNotFoundError):
        caller["cwd"] = os.getcwd()
    return caller


def shell_environ(environ: Mapping[str, str]) -> dict[str, str]:
    """The environment of this process as it was started, without what Python itself has added."""
    given = dict(environ)
    if _COERCED in given and not _was_started_with(_COERCED):
        del given[_COERCED]
    return given


def _was_started_with(name: str) -> bool:
    try:
        pieces = Path("/proc/self/environ").read_bytes().split(b"\0")
    except OSError:
        return True
    return any(piece.startswith(name.encode() + b"=") for piece in pieces)


def _umask() -> int | None:
    """Read, and not set and set back: other threads make files meanwhile."""
    try:
        status = Path("/proc/self/status").read_text()
    except OSError:
        return None
    for line in status.splitlines():
        if line.startswith("Umask:"):
            return int(line.split()[1], 8)
    return None
