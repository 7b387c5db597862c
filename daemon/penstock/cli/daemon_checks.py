"""What `penstock doctor` looks at of the daemon: its token, its port, its unit, its models."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

from penstock import __version__
from penstock.cli.checks import Box, CheckResult, Findings
from penstock.cli.server_checks import check_server
from penstock.cli.service import units_of
from penstock.cli.systemctl import lingers, require_manager, show_unit
from penstock.cli.units import (
    SERVICE,
    SOCKET,
    unit_difference,
    unit_folder,
)
from penstock.log.sqlite.elsewhere import moved_to
from penstock.log.sqlite.migrations import log_version
from penstock.log.sqlite.schema import VERSION
from penstock.processes.detection import DAEMON_LEAF
from penstock.words.address import read_token
from penstock.words.config import MIB, Config
from penstock.words.errors import NotAvailable, StartRefused, Unauthorised
from penstock.words.holder import read_holder
from penstock.words.plain_files import read_plain


def check_token(box: Box) -> Findings:
    """The secret of clients over TCP."""
    file = box.paths.token
    try:
        there = read_token(file)
    except Unauthorised as error:
        fix = f"chmod 600 {file} && penstock token rotate"
        yield CheckResult("token", "failure", str(error), fix)
        return
    if not box.config.auth:
        fix = "take `auth = false` out of the config"
        yield CheckResult("token", "warning", "every user of this box may run code as you", fix)  # fmt: skip
        return
    yield CheckResult("token", "ok", str(file) if there else f"{file} will be made")


def check_port(box: Box) -> Findings:
    """Whether the daemon has its port, or could have it."""
    where = f"{box.config.host}, port {box.config.port}"
    holder = read_holder(box.paths.lock)
    if holder is not None and holder.url is not None:
        # It may have been started with another port than the configuration has by now.
        yield CheckResult("port", *_judge_url(holder.url, box.config))
        return
    if box.pid is not None or _socket_of_service() == "active":
        yield CheckResult("port", "ok", f"{where} is the daemon's")
        return
    try:
        family = socket.AF_INET6 if ":" in box.config.host else socket.AF_INET
        where_to = (box.config.host, box.config.port)
        with socket.create_server(where_to, family=family):
            yield CheckResult("port", "ok", f"{where} is free")
    except OSError as error:
        fix = "stop what listens there, or set another `port` in the config file"
        yield CheckResult("port", "failure", f"{where}: {error.strerror}", fix)


def _judge_url(url: str, config: Config) -> tuple[Literal["ok"], str, str]:
    """Where the running daemon listens, and whether its next life would."""
    parts = urlsplit(url)
    found = f"{parts.hostname}, port {parts.port} is the daemon's"
    if config.port in (0, parts.port):
        return "ok", found, ""
    more = f"{found}; `port` is set to {config.port}"
    return (
        "ok",
        more,
        "it was started with --port; without it the next one has the other",
    )


def check_service(box: Box) -> Findings:
    """The unit, and whether it runs what runs."""
    try:
        require_manager()
        told = show_unit(SERVICE, "LoadState", "ActiveState", "MainPID", "Result")
    except NotAvailable as error:
        yield CheckResult("service", "ok", f"none: {error}")
        return
    if told["LoadState"] == "not-found":
        found = "not installed" + (f"; a daemon runs (pid {box.pid})" if box.pid else "")  # fmt: skip
        fix = "`penstock service install` starts it with you, and anew if it fails"
        yield CheckResult("service", "ok", found, fix)
    elif told["ActiveState"] == "failed":
        fix = "`penstock service logs`, then `penstock service restart`"
        yield CheckResult("service", "failure", f"failed: {told['Result']}", fix)
    elif box.pid is not None and told["MainPID"] != str(box.pid):
        fix = "`penstock shutdown`, then `penstock service restart`"
        found = f"another daemon runs (pid {box.pid})"
        yield CheckResult("service", "failure", found, fix)
    elif not lingers(box.session.environ):
        fix = "`loginctl enable-linger` lets it run from boot on"
        yield CheckResult("service", "ok", f"{told['ActiveState']}; ends when you log out", fix)  # fmt: skip
    else:
        yield CheckResult("service", "ok", told["ActiveState"])


def check_unit(box: Box) -> Findings:
    """Whether the units are those that this version writes; nothing where there are none."""
    folder = unit_folder(box.session.environ)
    if not (folder / SERVICE).exists():
        return
    wanted = units_of(box.session)
    for name, text in wanted.items():
        try:
            found = read_plain(folder / name)
        except (OSError, ValueError) as error:
            found = f"# {error}"
        if difference := unit_difference(found, text):
            fix = "`penstock service install` writes it anew and restarts the daemon"
            yield CheckResult("unit", "warning", f"{name}: {difference}", fix)
            return
    yield CheckResult("unit", "ok", f"as penstock {__version__} writes it")


def check_log(box: Box) -> Findings:
    """The version of the log, and what is kept of before it was migrated."""
    path, config = box.paths.database, box.config
    if config.store is not None:
        yield from check_server(box)
        if path.is_file() and moved_to(path) is None:
            found = f"{path} is a log too, and not the one on the server"
            fix = "`penstock migrate` moves it there, if that is empty; else remove the file"
            yield CheckResult("log file", "warning", found, fix)
        return
    yield CheckResult("log", *_judge_log(path))
    for copy in sorted(path.parent.glob(f"{path.name}.v*")):
        found = f"{copy} is the log before it was migrated ({copy.stat().st_size / MIB:.1f} MiB)"  # fmt: skip
        fix = f"rm {copy}, if you will not go back to that version"
        yield CheckResult("log copy", "ok", found, fix)


def _judge_log(path: Path) -> tuple[Literal["ok", "failure"], str, str]:
    if not path.exists():
        return "ok", f"{path} will be made", ""
    version = log_version(path) if path.is_file() else None
    if version is not None and (where := moved_to(path)) is not None:
        fix = "set `store` to it, or `penstock migrate --undo` for the file as it was then"
        return "failure", f"{path} was moved to {where}", fix
    if version is None:
        return "failure", f"{path} cannot be read", "`penstock audit` tells what is amiss"  # fmt: skip
    if version > VERSION:
        found = f"{path} has schema version {version}, of a newer penstock; this one knows {VERSION}"  # fmt: skip
        return "failure", found, "install that version, or put back the copy it made"
    later = f"; {VERSION} when the daemon has started" if version < VERSION else ""
    return "ok", f"schema version {version}{later}", ""


def check_containment(box: Box) -> Findings:
    """How the running daemon keeps the processes of runs together."""
    if box.pid is None:
        yield CheckResult("containment", "ok", "told once a daemon runs")
        return
    try:
        lines = Path(f"/proc/{box.pid}/cgroup").read_text().splitlines()
    except OSError as error:
        yield CheckResult("containment", "ok", f"cannot be seen: {error.strerror}")
        return
    own = next((line[3:] for line in lines if line.startswith("0::")), "")
    if Path(own).name == DAEMON_LEAF:
        yield CheckResult(
            "containment", "ok", f"cgroup, delegated at {Path(own).parent}"
        )
        return
    fix = "`penstock service install` gives each run a cgroup of its own"
    yield CheckResult("containment", "ok", "subreaper; no cgroup is delegated", fix)


def check_models(box: Box) -> Findings:
    """Whether each model server answers and has its models."""
    if not box.config.models.chain and not box.config.models.provider:
        fix = "set `[models]` provider and chain, if you want kinds that need one"
        yield CheckResult("models", "ok", "none configured", fix)
        return
    from penstock.cli.session import run_async
    from penstock.llm.models import open_models, probe

    async def ask() -> dict[str, str]:
        async with open_models(box.config.models, box.session.environ) as chain:
            return {} if chain is None else await probe(chain)

    try:
        answers = run_async(ask)
    except StartRefused as error:
        yield CheckResult("models", "failure", str(error), "correct `[models]`")
        return
    for url, problem in answers.items():
        fix = "start the server, or correct `[models]`" if problem else ""
        state: Literal["ok", "failure"] = "failure" if problem else "ok"
        yield CheckResult("models", state, problem or f"{url} answers", fix)


def _socket_of_service() -> str:
    try:
        return show_unit(SOCKET, "ActiveState")["ActiveState"]
    except (NotAvailable, KeyError):
        return ""
