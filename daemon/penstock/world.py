"""What a daemon really does to this machine: processes, folders, the disk, the time of day."""

from __future__ import annotations

import logging
import os
import shutil
from collections.abc import Collection, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path

import trio

from penstock.address import Paths
from penstock.config import Config
from penstock.environment import passed_on
from penstock.events import ProcessStarted
from penstock.runs.core import World, new_run_id, utc_now
from penstock.runs.exec import Executor
from penstock.runs.processes import Containment, end_previous, run_process
from penstock.runs.run import RunModels

log = logging.getLogger("penstock")


def real_world(
    config: Config,
    paths: Paths,
    environ: Mapping[str, str],
    *,
    containment: Containment,
    epoch: str,
    url: str,
    models: RunModels | None = None,
) -> World:
    """The world of a daemon with these folders.

    `epoch` marks the processes of its log; `url` is what they may talk to.
    """
    start = partial(
        run_process,
        containment=containment,
        grace=config.kill_grace,
        epoch=epoch,
        now=utc_now,
    )
    executor = Executor(
        start_process=start,
        environ={**passed_on(environ), "PENSTOCK_URL": url},
        home=Path.home(),
    )

    async def free_bytes() -> int:
        found = await trio.to_thread.run_sync(os.statvfs, paths.state)
        return found.f_bavail * found.f_frsize

    return World(
        now=utc_now,
        new_run_id=new_run_id,
        executor=executor,
        workspace_of=paths.workspace,
        make_folder=make_folder,
        remove_folder=remove_folder,
        free_bytes=free_bytes,
        end_previous=partial(_end_previous, epoch=epoch, grace=config.kill_grace),
        host=os.uname().nodename,
        models=models,
    )


async def make_folder(folder: Path) -> None:
    """Make a folder that only our user may enter, and those above it."""
    await trio.to_thread.run_sync(
        partial(folder.mkdir, mode=0o700, parents=True, exist_ok=True)
    )


async def remove_folder(folder: Path) -> None:
    """Remove a folder with all that is in it; quietly if there is none."""
    if await trio.to_thread.run_sync(folder.exists):
        await trio.to_thread.run_sync(shutil.rmtree, folder)


async def _end_previous(
    started: Iterable[ProcessStarted],
    run_ids: Collection[str],
    *,
    epoch: str,
    grace: float,
) -> Sequence[int]:
    find = partial(end_previous, list(started), list(run_ids), epoch=epoch, grace=grace)
    ended, survivors = await trio.to_thread.run_sync(find)
    if survivors:
        log.error("processes of the previous life are still there: %s", survivors)
    return ended
