"""Where a run executes, and where a run is found again."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from penstock.cli.archives import check_new, find_log, one_form
from penstock.cli.session import Session
from penstock.client.requests import Request, not_there
from penstock.client.sync import SyncClient
from penstock.haste import in_haste
from penstock.words.address import Address, socket_address
from penstock.words.errors import DaemonUnreachable
from penstock.words.holder import Holder, read_holder

if TYPE_CHECKING:
    from penstock.concurrency.beside import Beside
    from penstock.service.embedded import EmbeddedDaemon

#: Seconds in which an embedded daemon has surely begun to answer, or has ended.
PASSING_SECONDS = 10.0
#: Seconds between two looks at it.
LOOK_SECONDS = 0.05


@contextmanager
def open_daemon_for(session: Session, request: dict[str, Any]) -> Iterator[SyncClient]:
    """The running daemon; without one, an embedded one for as long as this is open.

    DaemonUnreachable if the user named a daemon and it does not answer. The embedded daemon is
    named after the run, so the request gets its run id here. An id that an embedded log has is that
    run: its daemon is asked, if it lives; else Conflict while there is a daemon, since what is left
    in that log would go on beside its queue.
    """
    address = running(session)
    wanted = request.get("run_id")
    log = find_log(session, wanted) if wanted else None
    if log is not None and (alive := embedded(log)) is not None:
        address = alive
    elif address is not None:
        check_new(session, request)
    if address is not None:
        yield SyncClient(address, session.heard)
        return
    request["run_id"] = one_form(wanted or _fresh_id(request["kind"]))
    with open_own(session, request["run_id"], log) as own:
        yield own


@contextmanager
def open_own(
    session: Session, name: str, log: Path | None = None
) -> Iterator[SyncClient]:
    """An embedded daemon of this name, in a thread beside."""
    with ExitStack() as stack:
        with in_haste():
            daemon = stack.enter_context(_open_beside(session, name, log))
        address = daemon.opened.address
        nearer = partial(_answer_here, daemon)
        yield SyncClient(address, session.heard, comes_back=False, nearer=nearer)


def _answer_here(
    daemon: Beside[EmbeddedDaemon], request: Request, content: bytes
) -> socket.socket | None:
    """The answer of the daemon in this very process, to what it answers without a server."""
    import trio

    from penstock.server.in_process import OwnRequest, answers_in_process

    if not answers_in_process(request.method, request.parts):
        return None
    address = daemon.opened.address
    url = urlsplit(request.url(address))
    asked = OwnRequest(
        request.method,
        f"{url.path}?{url.query}" if url.query else url.path,
        {name.lower(): value for name, value in request.headers(address).items()},
        content,
    )
    ours, theirs = socket.socketpair()
    try:
        daemon.do(daemon.opened.own.take, asked, theirs)
    except (trio.RunFinishedError, trio.Cancelled):
        ours.close()
        theirs.close()
        # The cancel is that of the other thread.
        raise not_there(address) from None  # noqa: ASYNC104
    return ours


@contextmanager
def _open_beside(
    session: Session, name: str, log: Path | None
) -> Iterator[Beside[EmbeddedDaemon]]:
    import logging

    from penstock.cli.daemon_log import set_up_logging
    from penstock.concurrency.beside import open_beside
    from penstock.service.embedded import open_embedded

    config, sources = session.config()
    if "log_level" in sources:
        set_up_logging(config, session.environ)
    else:
        # What its log would say of the run, this command says better.
        logging.basicConfig(level=logging.CRITICAL)
    opening = partial(open_embedded, config, name, session.environ, log)
    with open_beside(opening) as daemon:
        yield daemon


def _fresh_id(kind: str) -> str:
    import secrets

    return f"{kind}-{secrets.token_hex(4)}"


def running(session: Session) -> Address | None:
    """The daemon that answers now; None if there is none and the user named none.

    DaemonUnreachable while its lock is held: a run beside it would go round its queue.
    """
    try:
        address = session.address()
        SyncClient(address, session.heard).health()
    except DaemonUnreachable:
        if session.named or read_holder(session.paths().lock) is not None:
            raise
        return None
    return address


def embedded(database: Path) -> Address | None:
    """The embedded daemon that works on this log now, if there is one.

    DaemonUnreachable if there is one, by its lock, and it does not answer: its file is not ours.
    """
    give_up = time.monotonic() + PASSING_SECONDS
    while (holder := read_holder(database.with_suffix(".lock"))) is not None:
        if (address := _answering(holder)) is not None:
            return address
        if time.monotonic() > give_up:
            raise DaemonUnreachable(
                f"the embedded daemon ({holder}) of {database} does not answer"
            )
        time.sleep(LOOK_SECONDS)
    return None


def _answering(holder: Holder) -> Address | None:
    """Where the holder answers; None while it starts or stops."""
    if holder.socket is None:
        return None
    try:
        address = socket_address(holder.socket)
        SyncClient(address).health()
    except DaemonUnreachable:
        return None
    return address
