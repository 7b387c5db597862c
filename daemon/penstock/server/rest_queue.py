"""The queue over REST: how full it is; pause, resume and drain."""

from __future__ import annotations

from typing import TYPE_CHECKING

from penstock.server.answer import Answer, json_answer
from penstock.server.routes import Call, Handler
from penstock.words.api import GroupRequest, PauseRequest, read_json

if TYPE_CHECKING:
    from penstock.runs.core import Core


def queue_handlers(core: Core) -> dict[str, Handler]:
    """The handlers of `/queue`, by the name of their route; each answers how the queue is now."""
    scheduler = core.scheduler

    def queue(_call: Call) -> Answer:
        # Waits for nothing, whatever the load.
        return json_answer(scheduler.statistics().to_json())

    async def pause(call: Call) -> Answer:
        request = read_json(PauseRequest, call.body, empty=b"{}")
        await scheduler.pause(request.group, request.reason)
        return queue(call)

    async def resume(call: Call) -> Answer:
        request = read_json(GroupRequest, call.body, empty=b"{}")
        await scheduler.resume(request.group)
        return queue(call)

    async def drain(call: Call) -> Answer:
        request = read_json(GroupRequest, call.body, empty=b"{}")
        wait = call.query["wait"]
        scheduler.start_drain(request.group)
        if wait:
            await scheduler.wait_drained(request.group)
        return json_answer(scheduler.statistics().to_json(), 200 if wait else 202)

    return {"queue": queue, "pause": pause, "resume": resume, "drain": drain}
