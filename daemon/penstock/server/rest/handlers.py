"""REST: every route of the table, answered from the core."""

from __future__ import annotations

from typing import TYPE_CHECKING

from penstock.server.health import HealthOf
from penstock.server.rest.daemon import daemon_handlers, no_metrics, queue_handlers
from penstock.server.rest.events import event_handlers
from penstock.server.rest.runs import ask_handlers, run_handlers, task_handlers
from penstock.server.routes import Handler
from penstock.server.shutdown import Shutdown

if TYPE_CHECKING:
    from penstock.runs.core import Core


def rest_handlers(
    core: Core,
    shutdown: Shutdown,
    health_of: HealthOf,
    metrics: Handler | None = None,
) -> dict[str, Handler]:
    """What answers each route, by the route's name."""
    return {
        **run_handlers(core),
        **ask_handlers(core),
        **event_handlers(core, shutdown),
        **task_handlers(core),
        **queue_handlers(core),
        **daemon_handlers(core, health_of),
        "metrics": metrics or no_metrics,
    }
