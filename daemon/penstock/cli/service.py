"""The daemon as a user service of systemd: install it, look at it, take it away."""

from __future__ import annotations

import os
import shutil
import sys
from contextlib import suppress
from pathlib import Path

import click

from penstock.cli.output import emit, fields, say
from penstock.cli.session import Session, json_option, pass_session, read_pid
from penstock.cli.systemctl import lingers, require_manager, show_unit, systemctl
from penstock.cli.units import (
    SERVICE,
    SOCKET,
    UNITS,
    render_units,
    unit_folder,
)
from penstock.words.address import Paths
from penstock.words.config import Config
from penstock.words.errors import Conflict, DaemonUnreachable, NotAvailable, NotFound
from penstock.words.exit_codes import Exit
from penstock.words.plain_files import read_plain, reason_of, write_plain

_LINGER = (
    "it runs while you are logged in; `loginctl enable-linger` lets it run from boot on"
)
_SHOWN = ("ActiveState", "SubState", "StatusText", "MainPID", "NRestarts",
          "ActiveEnterTimestamp", "Result", "LoadState", "UnitFileState")  # fmt: skip


@click.group()
def service() -> None:
    """The daemon as a user service of systemd."""


@service.command()
@json_option
@pass_session
def install(session: Session, as_json: bool) -> None:
    """Write the units, enable and start them; again, to take changes over."""
    require_manager()
    seen = _without_own_environment(session)
    config, _ = seen.config()
    paths = seen.paths(config)
    _refuse_second_daemon(paths)
    folder = unit_folder(session.environ)
    units = units_of(session)
    changed = [name for name, text in units.items() if _write(folder / name, text)]
    for name in changed:
        _say(as_json, f"wrote {folder / name}")
    systemctl("daemon-reload")
    _start(changed)
    status = show_unit(SERVICE, *_SHOWN)
    if as_json:
        emit({"changed": changed, "folder": str(folder), **status})
        return
    say("enabled and started" if changed else "nothing has changed")
    say(f"the daemon is {status['ActiveState']}: {status['StatusText']}")
    if not lingers(session.environ):
        say(_LINGER)


@service.command()
@click.option("--purge", is_flag=True, help="Also delete the log and the workspaces.")
@pass_session
def uninstall(session: Session, purge: bool) -> None:
    """Stop the service and remove its units; the log is kept."""
    require_manager()
    folder = unit_folder(session.environ)
    there = [name for name in UNITS if (folder / name).exists()]
    if there:
        systemctl("disable", "--now", *reversed(there))
    for name in there:
        (folder / name).unlink()
        say(f"removed {folder / name}")
    systemctl("daemon-reload")
    systemctl("reset-failed", *UNITS, check=False)
    paths = _without_own_environment(session).paths()
    if purge:
        _refuse_second_daemon(paths)
        delete_data(paths)
        say(f"deleted the log and the workspaces in {paths.state}")
    else:
        say(f"the log stays in {paths.state}; --purge deletes it")


@service.command()
@json_option
@pass_session
def status(session: Session, as_json: bool) -> None:
    """Whether it runs, and what it does; exits 1 if it does not."""
    require_manager()
    told = show_unit(SERVICE, *_SHOWN)
    if told["LoadState"] == "not-found":
        raise NotFound("the service is not installed; `penstock service install`")
    told["Sockets"] = show_unit(SOCKET, "ActiveState")["ActiveState"]
    told["Lingers"] = "yes" if lingers(session.environ) else "no"
    emit(told) if as_json else fields(told)
    ok = told["ActiveState"] == "active"
    raise click.exceptions.Exit(Exit.OK if ok else Exit.RUN_FAILED)


@service.command()
@click.option("-f", "--follow", is_flag=True, help="Go on with what is logged.")
@click.option("-n", "--lines", type=click.IntRange(min=0), help="Only the last ones.")
def logs(follow: bool, lines: int | None) -> None:
    """What the service logged, from the journal."""
    program = shutil.which("journalctl")
    if program is None:
        raise NotAvailable("there is no journal here; the daemon logs to its stderr")
    argv = [program, "--user", "--unit", SERVICE, "--no-pager"]
    argv += ["--follow"] if follow else []
    argv += [] if lines is None else [f"--lines={lines}"]
    os.execv(program, argv)


@service.command()
def restart() -> None:
    """Start it anew, after an upgrade for example; its sockets refuse nobody meanwhile."""
    require_manager()
    # After too many failures systemd would refuse to try.
    systemctl("reset-failed", *UNITS, check=False)
    systemctl("restart", SERVICE)
    say(f"restarted: {show_unit(SERVICE, 'StatusText')['StatusText']}")


def units_of(session: Session) -> dict[str, str]:
    """The units as an installation would write them now."""
    seen = _as_the_service(session)
    config, _ = seen.config()
    return render_units(service_argv(session), config, seen.paths(config), seen.environ)


def delete_data(paths: Paths) -> None:
    """Delete what a daemon keeps, and its folder if nothing else is in it."""
    for path in (paths.runs, paths.embedded):
        shutil.rmtree(path, ignore_errors=True)
    kept = (paths.token, paths.lock, paths.mark)
    for file in (*paths.state.glob("penstock.db*"), *kept):
        file.unlink(missing_ok=True)
    for folder in (paths.runtime, paths.state, paths.cache):
        if folder.is_dir() and not any(folder.iterdir()):
            folder.rmdir()


def _without_own_environment(session: Session) -> Session:
    """As the service will see it: what is set for this shell alone is not set there."""
    for name in sorted(session.environ):
        key = name.removeprefix("PENSTOCK_").lower().split("__")[0]
        if name.startswith("PENSTOCK_") and key in Config.model_fields:
            say(f"the service does not see {name}; put it into the config file")
    return _as_the_service(session)


def _as_the_service(session: Session) -> Session:
    kept = {k: v for k, v in session.environ.items() if not k.startswith("PENSTOCK_")}
    if named := session.config_file or session.environ.get("PENSTOCK_CONFIG"):
        kept["PENSTOCK_CONFIG"] = str(Path(named).expanduser().absolute())
    return Session(kept)


def service_argv(session: Session) -> list[str]:
    """How the service starts this very Penstock."""
    script = Path(sys.executable).parent / "penstock"
    argv = (
        [str(script)]
        if script.exists()
        else [sys.executable, "-m", "penstock.cli.main"]
    )
    if named := session.config_file or session.environ.get("PENSTOCK_CONFIG"):
        argv += ["--config", str(Path(named).expanduser().absolute())]
    return [*argv, "serve"]


def _refuse_second_daemon(paths: Paths) -> None:
    """Conflict if a daemon that is not the service's holds the lock."""
    try:
        pid = read_pid(paths.lock)
    except DaemonUnreachable:
        return
    if show_unit(SERVICE, "MainPID")["MainPID"] != str(pid):
        raise Conflict(
            f"a daemon that is not the service runs (pid {pid}); `penstock shutdown` stops it"
        )


def _start(changed: list[str]) -> None:
    systemctl("enable", *UNITS)
    systemctl("reset-failed", *UNITS, check=False)
    if SOCKET in changed:
        # A socket cannot be opened anew below a daemon that listens on it.
        systemctl("stop", *reversed(UNITS), check=False)
    try:
        systemctl("start", SOCKET)
        systemctl("restart" if changed else "start", SERVICE)
    except NotAvailable as error:
        raise NotAvailable(f"{error}\nSee `penstock service logs`.") from None


def _write(path: Path, text: str) -> bool:
    """Whether the file had to be written."""
    try:
        with suppress(FileNotFoundError):
            if read_plain(path) == text:
                return False
        path.parent.mkdir(parents=True, exist_ok=True)
        write_plain(path, text)
    except (OSError, ValueError) as error:
        why = reason_of(error)
        raise NotAvailable(f"the unit {path} cannot be written: {why}") from None
    return True


def _say(quiet: bool, text: str) -> None:
    if not quiet:
        say(text)
