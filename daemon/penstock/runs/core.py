"""What a core is made of and what it is given: the world it acts on, and the parts it hands out."""

from __future__ import annotations

import secrets
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import penstock
from penstock.log.bus import Bus
from penstock.log.recorder import Recorder
from penstock.log.redaction import Redact
from penstock.log.store import Store
from penstock.runs.exec import Executor
from penstock.runs.kind import Kind
from penstock.runs.repair import EndPrevious, Repaired
from penstock.runs.retention import Retention
from penstock.runs.run import RunModels
from penstock.runs.scheduler import Scheduler
from penstock.words.config import Config


def utc_now() -> datetime:
    """The time of day; injected wherever time is recorded."""
    return datetime.now(UTC)


def new_run_id() -> str:
    """A short id that is easy to type and hard to guess: `r-` and 48 random bits."""
    return f"r-{secrets.token_hex(6)}"


@dataclass(frozen=True, slots=True)
class World:
    """What a core does to the world; tests give it harmless ones."""

    now: Callable[[], datetime]
    new_run_id: Callable[[], str]
    executor: Executor
    workspace_of: Callable[[str], Path]
    make_folder: Callable[[Path], Awaitable[None]]
    remove_folder: Callable[[Path], Awaitable[None]]
    free_bytes: Callable[[], Awaitable[int]]
    end_previous: EndPrevious
    host: str = ""
    models: RunModels | None = None
    #: Takes secrets out of what is to be recorded.
    redact: Redact = lambda decision: decision


@dataclass(frozen=True, slots=True)
class Core:
    """What surfaces are given."""

    config: Config
    kinds: Mapping[str, Kind]
    store: Store
    recorder: Recorder
    bus: Bus
    scheduler: Scheduler
    retention: Retention
    life: str
    started_at: datetime
    now: Callable[[], datetime]
    repaired: Repaired
    #: None while no model is configured.
    models: RunModels | None = None
    version: str = penstock.__version__

    @property
    def epoch(self) -> str:
        """Id of the log."""
        return self.store.epoch
