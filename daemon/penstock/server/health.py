"""Whether the daemon works: each part is asked, and none may hold the answer up."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

import trio

from penstock.runs.boxes import KnownBox, losses
from penstock.runs.core import Core
from penstock.words.api import HealthReply
from penstock.words.errors import PenstockError

HealthOf = Callable[[], Awaitable[HealthReply]]
#: What is wrong with the models, if anything is, and what may be told about them.
ProbeModels = Callable[[], Awaitable[tuple[str | None, Mapping[str, Any]]]]
#: What is told of how full the daemon is.
_COUNTS = ("queued", "capacity", "running", "slots")


def make_health(
    core: Core,
    probe_models: ProbeModels | None = None,
    *,
    complain: Callable[[], str | None] = lambda: None,
) -> HealthOf:
    """What answers `/health`. It tells causes and counts, and nothing of any run.

    `complain` says what ails the process itself.
    """

    async def health_of() -> HealthReply:
        reasons = _known_reasons(core, complain)
        models: Mapping[str, Any] = {}
        size = None
        if core.recorder.unavailable is not None:
            code = core.recorder.unavailable_code
            reasons.append(f"the store takes no writes{code and f' ({code})'}")
        elif (found := await _look_at_store(core)) is None:
            reasons.append("the store does not answer")
        else:
            size, boxes = found
            # Before all else: somebody's runs may have been begun again elsewhere.
            reasons = [*losses(boxes), *reasons]
        if probe_models is not None:
            why, models = await _ask(probe_models, core.config.health_timeout)
            reasons += [why] if why else []
        statistics = core.statistics().to_json()
        return HealthReply(
            status="degraded" if reasons else "ok",
            reasons=tuple(reasons),
            version=core.version,
            epoch=core.epoch,
            uptime=(core.now() - core.started_at).total_seconds(),
            queue={name: statistics[name] for name in _COUNTS},
            models=dict(models),
            store={} if size is None else {"size": size},
            lease=_lease_of(core),
        )

    return health_of


def _known_reasons(core: Core, complain: Callable[[], str | None]) -> list[str]:
    """What is known to be wrong, without asking anybody."""
    why = core.stop.reason
    stopping = f"the daemon is stopping ({why})" if why else None
    behind = core.recorder.behind and "what other boxes wrote cannot be read"
    sharing = core.store.sharing
    found = (
        stopping,
        core.retention.obstacle(),
        complain(),
        core.store.damage,
        behind,
        sharing and sharing.amiss,
        core.boxes.left,
    )
    return [reason for reason in found if reason]


async def _look_at_store(core: Core) -> tuple[int, Sequence[KnownBox]] | None:
    """Bytes of the log, and the boxes that share it; None if the store does not answer."""
    try:
        with trio.fail_after(core.config.health_timeout):
            await core.store.bounds()
            return await core.store.size(), await core.boxes.told()
    except (PenstockError, trio.TooSlowError):
        return None


def _lease_of(core: Core) -> dict[str, float]:
    """How long until this box ends what it executes, by its own count: a store that is away adds nothing."""
    if (lease := core.environment.lease) is None:
        return {}
    return {
        "seconds": core.config.lease_seconds,
        "usable": round(lease.usable, 1),
        "left": round(lease.left(), 1),
    }


async def _ask(
    probe: ProbeModels, seconds: float
) -> tuple[str | None, Mapping[str, Any]]:
    with trio.move_on_after(seconds):
        return await probe()
    return "the model server does not answer", {}
