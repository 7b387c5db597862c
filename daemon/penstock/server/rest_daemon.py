"""The daemon over REST: its health, its kinds, its readers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from penstock.log.bus import SubscriberStatistics
from penstock.server.answer import Answer, json_answer
from penstock.server.health import HealthOf
from penstock.server.openapi import describe
from penstock.server.routes import Call, Handler
from penstock.server.shapes import kind_json
from penstock.words.values import format_time

if TYPE_CHECKING:
    from penstock.runs.core import Core


def daemon_handlers(core: Core, health_of: HealthOf) -> dict[str, Handler]:
    """The handlers of what is not about one run, by the name of their route."""

    async def health(_call: Call) -> Answer:
        reply = await health_of()
        return json_answer(reply, 200 if reply.status == "ok" else 503)

    async def models(_call: Call) -> Answer:
        rows = [] if core.models is None else await core.models.describe()
        return json_answer({"models": rows})

    # The rest wait for nothing, whatever the load.
    def pipelines(_call: Call) -> Answer:
        kinds = sorted(core.kinds.values(), key=lambda kind: kind.name)
        return json_answer({"pipelines": [kind_json(kind) for kind in kinds]})

    def clients(_call: Call) -> Answer:
        rows = core.bus.subscribers()
        return json_answer(
            {"clients": [client_json(row) for row in rows], "head": core.bus.head}
        )

    def openapi(_call: Call) -> Answer:
        return json_answer(describe(core.version, core.kinds.values()))

    return {
        "health": health,
        "models": models,
        "pipelines": pipelines,
        "clients": clients,
        "openapi": openapi,
    }


def client_json(row: SubscriberStatistics) -> dict[str, Any]:
    """A reader of a stream."""
    return {
        "name": row.name,
        "kind": row.kind,
        "run_id": row.run_id,
        "cursor": row.cursor,
        "lag": row.lag,
        "overflow": row.overflow,
        "dropped": row.dropped,
        "since": format_time(row.since),
    }
