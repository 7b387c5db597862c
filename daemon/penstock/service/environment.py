"""What a daemon really does to this machine: processes, folders, the disk, the time of day."""

from __future__ import annotations

import errno
import itertools
import logging
import os
import re
import secrets
import stat
import sys
import time
from collections.abc import (
    AsyncIterator,
    Callable,
    Collection,
    Iterable,
    Iterator,
    Mapping,
    Sequence,
)
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from penstock.concurrency.threads import run_in_thread
from penstock.log.redaction import Secrets, make_held_back, make_redaction
from penstock.log.spans import TraceSpan
from penstock.processes.containment import boot_id
from penstock.processes.launching import Launcher
from penstock.processes.orphans import end_orphans
from penstock.processes.process import Containment, run_process
from penstock.processes.suspension import go_on, suspend
from penstock.processes.testimony import name_of, wait_testimonies
from penstock.runs.core import Environment
from penstock.runs.program import Executor
from penstock.runs.run import ModelAccess
from penstock.service.lease import Lease
from penstock.words.address import Paths
from penstock.words.config import Config, Models
from penstock.words.errors import Refused, StartRefused
from penstock.words.events import ProcessStarted
from penstock.words.surroundings import passed_on
from penstock.words.values import new_run_id, utc_now

if TYPE_CHECKING:
    from penstock.llm.models import DaemonModels

log = logging.getLogger("penstock")

#: The folder, below that of the log, where supervisors keep what they proved after their daemon's death.
TESTIMONIES = "testimonies"
#: Seconds that boot repair waits for them: they end their trees while it does, and as fast.
TESTIMONY_SECONDS = 1.0


def real_environment(
    config: Config,
    paths: Paths,
    environ: Mapping[str, str],
    *,
    containment: Containment,
    launcher: Launcher,
    epoch: str,
    url: str,
    models: ModelAccess | None = None,
    secrets: Secrets | None = None,
    socket_url: str | None = None,
    tell_span: Callable[[TraceSpan], None] | None = None,
    lease: Lease | None = None,
) -> Environment:
    """The world of a daemon with these folders.

    `launcher` starts the supervisors of its runs; `epoch`, the id of its log, marks the log's processes; `url` is what they may talk to,
    and `socket_url` the same for those of guarded runs. `secrets` are taken out of what is recorded, as are the
    patterns of the configuration: StartRefused if one is none. By a `lease` programs end without a word of the daemon.
    """
    start = partial(
        run_process,
        containment=containment,
        launcher=launcher,
        grace=config.kill_grace,
        epoch=epoch,
        testimonies=paths.state / TESTIMONIES,
        lease=None if lease is None else lease.for_trees(),
    )
    inherited = {**passed_on(environ), "PENSTOCK_URL": url}
    secrets = secrets or Secrets()
    return Environment(
        now=utc_now,
        steady=partial(time.clock_gettime, time.CLOCK_BOOTTIME),
        new_run_id=new_run_id,
        executor=Executor(start, inherited, Path.home(), socket_url, own_argv()),
        workspace_of=paths.workspace,
        make_folder=make_folder,
        remove_folder=remove_folder,
        free_bytes=partial(free_bytes, paths.state),
        end_orphans=partial(end_last_life, epoch=epoch, grace=config.kill_grace),
        suspend=suspend_program,
        proven_gone=partial(proven_gone, paths.state / TESTIMONIES),
        host=box_of(config),
        lease=lease,
        models=models,
        redact=make_redaction(config.redact, secrets),
        held_back=make_held_back(config.redact, secrets),
        secrets=secrets,
        tell_span=tell_span,
    )


def box_of(config: Config) -> str:
    """What this machine is called among those that share a log."""
    return config.box or os.uname().nodename


#: Settings that say of the one queue what each box must say alike.
OF_THE_QUEUE = frozenset({
    "aging_seconds", "groups", "lease_seconds", "max_attempts", "max_tree_depth", "max_tree_runs",
    "queue_capacity", "retention_runs", "retention_seconds",
})  # fmt: skip


def queue_settings(config: Config) -> dict[str, Any]:
    """The settings by which boxes that share a log may differ by mistake, as JSON has them."""
    return config.model_dump(mode="json", include=set(OF_THE_QUEUE))


def own_argv() -> tuple[str, ...]:
    """What starts the `penstock` of this installation."""
    beside = Path(sys.executable).with_name("penstock")
    if beside.is_file():
        return (str(beside),)
    return (sys.executable, "-m", "penstock.cli.main")


async def suspend_program(program: ProcessStarted, stop: bool) -> bool:
    """Stop a program's processes, or let them go on; False if it has ended."""
    return await run_in_thread(suspend if stop else go_on, program)


async def free_bytes(folder: Path) -> int:
    """Bytes that may still be written where this folder is."""
    found = await run_in_thread(os.statvfs, folder)
    return found.f_bavail * found.f_frsize


@asynccontextmanager
async def open_daemon_models(
    config: Config, environ: Mapping[str, str], *, must_answer: bool
) -> AsyncIterator[DaemonModels | None]:
    """The configured models, None if there are none.

    StartRefused says what is wrong with the configuration and, if they `must_answer`, which server
    is not there; one that loads its model is waited for by the runs that need it.
    """
    if config.models == Models():
        yield None
        return
    # Imported late: most commands never ask a model.
    from penstock.llm.models import check, make_daemon_models, open_models

    async with open_models(config.models, environ) as chain:
        if chain is not None and must_answer:
            for problem in await check(chain):
                log.warning("runs that ask a model will wait: %s", problem)
        if chain is None:
            yield None
            return
        try:
            made = make_daemon_models(chain, config.programs)
        except Refused as error:
            raise StartRefused(str(error)) from None
        yield made


async def make_folder(folder: Path) -> None:
    """Make a folder that only our user may enter, and those above it."""
    await run_in_thread(partial(folder.mkdir, mode=0o700, parents=True, exist_ok=True))


async def remove_folder(folder: Path) -> None:
    """Remove a folder with all that is in it, in a thread; see `remove_tree`."""
    await run_in_thread(remove_tree, folder)


def remove_tree(folder: Path) -> None:
    """Remove a folder with all that is in it; quietly if there is none.

    A run may leave anything there: what stands in its place is removed and not followed. OSError, and
    nothing is touched, if something is mounted there: it is somebody's, and is not entered.
    """
    try:
        found = folder.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return
    if not stat.S_ISDIR(found.st_mode):
        folder.unlink()
        return
    mounts = Path("/proc/self/mountinfo").read_bytes()
    if (mount := first_mount(folder, mounts)) is not None:
        raise OSError(errno.EBUSY, "something is mounted there", str(mount))
    hoisted = (folder / f".{secrets.token_hex(8)}-{n}" for n in itertools.count())
    full = [folder]
    while full:
        path = full.pop()
        full += _empty(path, hoisted)
        if path != folder:
            path.rmdir()
    folder.rmdir()


def first_mount(folder: Path, mounts: bytes) -> Path | None:
    """The first point of these `mounts` (as mountinfo tells them) in a folder, itself included."""
    folder = folder.parent.resolve() / folder.name
    for line in mounts.splitlines():
        # Spaces and the like stand there as octal numbers.
        name = re.sub(
            rb"\\([0-7]{3})", lambda m: bytes([int(m[1], 8)]), line.split()[4]
        )
        point = Path(os.fsdecode(name))
        if point.is_relative_to(folder):
            return point
    return None


def _empty(path: Path, hoisted: Iterator[Path]) -> list[Path]:
    """Remove what is no folder, and move the folders to the top; where they are now.

    So nothing is too deep for a path or for a recursion. What was mounted there meanwhile cannot be
    moved, and is not entered: OSError.
    """
    # Programs make folders that nobody may write (Go its modules); they are ours all the same.
    os.chmod(path, stat.S_IRWXU)
    moved = []
    with os.scandir(path) as entries:
        for entry in list(entries):
            if not entry.is_dir(follow_symlinks=False):
                os.unlink(entry.path)
                continue
            # Who moves a folder writes into it.
            os.chmod(entry.path, stat.S_IRWXU)
            moved.append(Path(entry.path).rename(next(hoisted)))
    return moved


async def end_last_life(
    started: Iterable[ProcessStarted],
    run_ids: Collection[str],
    *,
    epoch: str,
    grace: float,
) -> Sequence[int]:
    """End what a daemon that is gone left of these processes and runs; the pids that were ended."""
    find = partial(end_orphans, list(started), list(run_ids), epoch=epoch, grace=grace)
    found, left = await run_in_thread(find)
    if left:
        log.error("processes of the previous life are still there: %s", left)
    return [pid for pid in found if pid not in left]


async def proven_gone(
    folder: Path, started: Collection[ProcessStarted]
) -> frozenset[ProcessStarted]:
    """Of these processes of an earlier life those whose supervisors saw the end of the whole tree.

    They end their trees at the same time as we look for what is left, so they are given a moment.
    """
    boot = boot_id()
    wanted = {
        name_of(boot, one.pid, one.start_time): one
        for one in started
        if one.boot_id == boot
    }
    wait = partial(wait_testimonies, str(folder), boot, set(wanted), TESTIMONY_SECONDS)
    found = await run_in_thread(wait)
    return frozenset(wanted[name] for name in wanted.keys() & found)
