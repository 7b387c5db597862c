"""Logs on the disk whose runs have ended, as a daemon leaves them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

import trio

from fakes.stores import append, start
from penstock.log.new_events import new_event
from penstock.log.sqlite.store import open_sqlite, threads
from penstock.log.writes import Complete
from penstock.words.events import AnyEvent, Log
from penstock.words.lifecycle import terminal

LONG_AGO = datetime(2024, 1, 1, tzinfo=UTC)


async def _fill(
    path: Path, runs: Mapping[str, datetime], events: Sequence[AnyEvent]
) -> None:
    async with open_sqlite(path, life="life-1", run_blocking=threads(1)) as store:
        for run_id, moment in runs.items():
            row = await start(store, run_id)
            said = append(run_id, *events or _output(run_id), fence=row.fence)
            end = new_event(run_id, terminal("completed"), now=moment)
            await store.commit([said, Complete(row.fence, end)])


def _output(run_id: str) -> Sequence[AnyEvent]:
    return [Log(text=f"{run_id} " * 150)] * 30


def fill_log(
    path: Path,
    *run_ids: str,
    ended_at: datetime | None = None,
    events: Sequence[AnyEvent] = (),
) -> Path:
    """A log with these runs, which have ended after these events, or some output."""
    path.parent.mkdir(parents=True, exist_ok=True)
    trio.run(_fill, path, dict.fromkeys(run_ids, ended_at or LONG_AGO), events)
    return path
