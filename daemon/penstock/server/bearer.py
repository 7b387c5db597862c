"""The bearer token's file: made whole and private, or not at all."""

from __future__ import annotations

import contextlib
import os
import secrets
from pathlib import Path

from penstock.words.address import read_token
from penstock.words.errors import StartRefused, Unauthorised

#: Bytes of randomness: 256 bits cannot be guessed.
TOKEN_BYTES = 32


def ensure_token(path: Path) -> str:
    """The token in the file, made if there is none; blocking.

    The file is linked into place complete, so no reader ever sees half of it, and of two daemons
    that start at once one wins and both read the same. StartRefused if it cannot be written, or if
    others may read it.
    """
    try:
        if token := read_token(path):
            return token
        _write(path, new_token(), replace=path.exists())
        return read_token(path) or ""
    except Unauthorised as error:
        raise StartRefused(str(error)) from None


def rotate_token(path: Path) -> str:
    """Put a new token in place of the old one and return it; blocking. StartRefused as above."""
    token = new_token()
    _write(path, token, replace=True)
    return token


def new_token() -> str:
    """A token nobody has seen."""
    return secrets.token_urlsafe(TOKEN_BYTES)


def _write(path: Path, token: str, *, replace: bool) -> None:
    beside = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        # The mode is given at creation: between open and chmod anybody could have opened it too.
        handle = os.open(
            beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600
        )
        try:
            os.write(handle, token.encode("ascii") + b"\n")
            os.fsync(handle)
        finally:
            os.close(handle)
        if replace:
            os.replace(beside, path)
        else:
            with contextlib.suppress(FileExistsError):
                os.link(beside, path)
    except OSError as error:
        raise StartRefused(
            f"the token file {path} cannot be written: {error}"
        ) from None
    finally:
        beside.unlink(missing_ok=True)
