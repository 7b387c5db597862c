"""Where a source tree may come from; everything else is refused before anything runs."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import PurePosixPath
from urllib.parse import SplitResult, urlsplit

from penstock.kinds.git import Transport

#: Characters in a path or an address; Linux allows no longer path.
LONGEST_SOURCE = 4096

_WANTED = (
    "an absolute path, or a git address by https://, ssh://, git@host:path or file://"
)

# A host or user that begins with `-` would reach ssh as an option.
_HOST = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?|\[[0-9A-Fa-f:.]+\]")
_USER = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]*")
_SCP_LIKE = re.compile(
    r"(?P<user>[^@:/]+)@(?P<host>[^@:/]+):(?P<path>[^:].*)", re.DOTALL
)


@dataclass(frozen=True, slots=True)
class Source:
    """A tree to read: at `where` on this machine, or to be cloned from there."""

    where: str
    #: How git fetches it; None: it is a folder of this machine.
    transport: Transport | None = None

    @property
    def name(self) -> str:
        """What the tree is called when it does not say so itself."""
        last = re.split(r"[/:]", self.where.rstrip("/"))[-1].removesuffix(".git")
        return last or "source"


def parse_source(text: str) -> Source:
    """The source that `text` names; ValueError says why it is refused."""
    if not text or len(text) > LONGEST_SOURCE:
        raise ValueError(f"must have 1 to {LONGEST_SOURCE} characters")
    if text.startswith("-"):
        raise ValueError(f"must not begin with '-'; expected {_WANTED}")
    if text.startswith("/"):
        return Source(check_absolute(text))
    if any(ord(c) <= 0x20 or ord(c) == 0x7F for c in text):
        raise ValueError("an address must not contain spaces or control characters")
    if "://" in text:
        return _parse_url(text)
    if match := _SCP_LIKE.fullmatch(text):
        _check_host(match["host"], match["user"])
        _check_remote_path(match["path"])
        return Source(text, "ssh")
    raise ValueError(f"expected {_WANTED}")


def check_absolute(text: str) -> str:
    """`text` if it is an absolute path of this machine; ValueError says what is wrong."""
    if "\0" in text:
        raise ValueError("must not contain NUL")
    if not PurePosixPath(text).is_absolute():
        raise ValueError("must be an absolute path")
    return text


def _parse_url(text: str) -> Source:
    url = urlsplit(text)
    if url.scheme == "file":
        if url.netloc not in {"", "localhost"} or not url.path.startswith("/"):
            raise ValueError("a file:// address names an absolute path of this machine")
        return Source(text, "file")
    if url.scheme not in {"https", "ssh"}:
        raise ValueError(
            f"the transport {url.scheme!r} is not allowed; expected {_WANTED}"
        )
    _check_port(url)
    _check_host(url.hostname or "", url.username)
    _check_remote_path(url.path.lstrip("/"))
    # Inputs are recorded and shown, so an address must carry no secret.
    if url.password is not None or (url.scheme == "https" and url.username is not None):
        raise ValueError(
            "an address must not carry a user name or password: it is recorded"
        )
    return Source(text, "https" if url.scheme == "https" else "ssh")


def _check_port(url: SplitResult) -> None:
    try:
        _ = url.port
    except ValueError:
        raise ValueError(
            "the port of the address is not a number up to 65535"
        ) from None


def _check_host(host: str, user: str | None) -> None:
    if not (_HOST.fullmatch(host) or _HOST.fullmatch(f"[{host}]")):
        raise ValueError("the address has no valid host name")
    if user is not None and not _USER.fullmatch(user):
        raise ValueError("the address has no valid user name")


def _check_remote_path(path: str) -> None:
    if not path or path.startswith("-"):
        raise ValueError("the address names no repository")
