"""REST: every route of the table, answered from the core."""

from __future__ import annotations

from typing import TYPE_CHECKING

from penstock.server.closing import Closing
from penstock.server.health import HealthOf
from penstock.server.rest_daemon import daemon_handlers
from penstock.server.rest_events import event_handlers
from penstock.server.rest_metrics import no_metrics
from penstock.server.rest_queue import queue_handlers
from penstock.server.rest_runs import ask_handlers, run_handlers
from penstock.server.rest_tasks import task_handlers
from penstock.server.routes import Handler

if TYPE_CHECKING:
    from penstock.runs.core import Core


def rest_handlers(
    core: Core,
    closing: Closing,
    health_of: HealthOf,
    metrics: Handler | None = None,
) -> dict[str, Handler]:
    """What answers each route, by the route's name."""
    return {
        **run_handlers(core),
        **ask_handlers(core),
        **event_handlers(core, closing),
        **task_handlers(core),
        **queue_handlers(core),
        **daemon_handlers(core, health_of),
        "metrics": metrics or no_metrics,
    }
