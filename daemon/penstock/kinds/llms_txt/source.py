"""Where a source tree may come from, and getting it onto this machine.

Whatever else is named is refused before anything runs.
"""

from __future__ import annotations

import os
import re
import shutil
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from urllib.parse import SplitResult, urlsplit

import trio

from penstock.kinds.git import SHALLOW_CLONE, Transport, run_git
from penstock.kinds.llms_txt.source_tree import SourceTree, list_tree
from penstock.pipeline import NotAvailable, Run, SourceUnusable, run_in_thread

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

# What unpacked archives have behind their name.
_VERSION = re.compile(r"(?<=.)[-_]v?\d{1,9}(\.[\w+~]{1,40}){1,9}$")

_LIST = ("ls-files", "-z", "--cached", "--others", "--exclude-standard")


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
        return _VERSION.sub("", last) or "source"


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


async def fetch_tree(run: Run, source: Source, max_files: int) -> SourceTree:
    """The tree of `source`, cloned into the run's workspace when it is a git address.

    SourceUnusable says what is wrong with the source, NotAvailable that git is missing.
    """
    root = source.where
    has_git = await run_in_thread(shutil.which, "git") is not None
    if source.transport is not None:
        if not has_git:
            raise NotAvailable(
                "git is not installed, so a git address cannot be fetched"
            )
        root = str(await _clone(run, source))
    elif not await run_in_thread(os.path.isdir, root):
        raise SourceUnusable(f"{root} is not a folder of this machine")
    has_git = has_git and await run_in_thread(_is_in_git_tree, root)
    listed = await _names_from_git(run, root) if has_git else None
    tree = await run_in_thread(_list_names, root, listed, max_files)
    if not tree.files:
        raise SourceUnusable(f"{source.where} has no files to describe")
    return tree


def _is_in_git_tree(root: str) -> bool:
    folder = Path(root).resolve()
    return any((parent / ".git").exists() for parent in (folder, *folder.parents))


def _list_names(root: str, listed: bytes | None, max_files: int) -> SourceTree:
    names = None
    if listed is not None:
        names = [os.fsdecode(name) for name in listed.split(b"\0") if name]
    return list_tree(root, names, max_files, trio.from_thread.check_cancelled)


async def _clone(run: Run, source: Source) -> Path:
    workspace: Path = await run.workspace()
    folder = workspace / "tree"
    # What an interrupted execution left is not whole.
    await run_in_thread(_remove, folder)
    await run.progress("fetch")
    words = (*SHALLOW_CLONE, "--", source.where, str(folder))
    ended = await run_git(run, *words, transport=source.transport)
    if ended.exit_code != 0:
        why = (
            f"signal {ended.signal}"
            if ended.exit_code is None
            else f"status {ended.exit_code}"
        )
        raise SourceUnusable(
            f"git could not clone {source.where} ({why}); its own words are in the run's log"
        )
    return folder


def _remove(folder: Path) -> None:
    if folder.is_dir():
        shutil.rmtree(folder)


async def _names_from_git(run: Run, root: str) -> bytes | None:
    """The names git tracks or would track, each with NUL; None when this is no git tree, or too many."""
    words = ("-C", root, *_LIST)
    try:
        ended = await run_git(run, *words, transport=None, capture=True)
    except NotAvailable:
        # Found on the PATH and yet not there, as a shim may be: then the folder is walked.
        return None
    listed = ended.stdout
    # What was captured is bounded: a list that does not end with an end is not whole, and a walk
    # finds all. A folder that git knows nothing of, inside a tree it ignores, is walked as well.
    if ended.exit_code != 0 or not listed.endswith(b"\0"):
        return None
    return listed
