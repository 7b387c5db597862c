"""The daemon over REST: its health, its kinds, its queue, its readers, its metrics."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field

import trio

from penstock.concurrency.threads import run_in_thread
from penstock.runs.core import Core
from penstock.server.health import HealthOf
from penstock.server.http_answer import HttpAnswer, json_answer
from penstock.server.json_bodies import (
    boxes_json,
    clients_json,
    kinds_json,
    made_schedule_json,
    schedule_json,
)
from penstock.server.meter import Meter, ReadLoop
from penstock.server.openapi import describe
from penstock.server.routes import Call, Handler
from penstock.words.api import (
    DismissalsRequest,
    DrainRequest,
    PauseRequest,
    ScheduleRequest,
    SlotsRequest,
    read_json,
)
from penstock.words.errors import NotAvailable, PenstockError


def queue_handlers(core: Core) -> dict[str, Handler]:
    """The handlers of `/queue`, by the name of their route; each answers how the queue is now."""

    def queue(_call: Call) -> HttpAnswer:
        # Waits for nothing, whatever the load.
        return json_answer(core.statistics().to_json())

    async def pause(call: Call) -> HttpAnswer:
        request = read_json(PauseRequest, call.body, empty=b"{}")
        await core.queue.pause(request.group, request.reason)
        return queue(call)

    async def resume(call: Call) -> HttpAnswer:
        request = read_json(DrainRequest, call.body, empty=b"{}")
        if request.box is not None:
            await core.queue.resume_box(request.box)
        else:
            await core.queue.resume(request.group)
        return queue(call)

    async def drain(call: Call) -> HttpAnswer:
        request = read_json(DrainRequest, call.body, empty=b"{}")
        wait = call.query["wait"]
        if request.box is not None:
            await core.queue.drain_box(request.box)
            if wait:
                await core.queue.wait_box_idle(request.box)
        elif wait:
            await core.queue.drain(request.group)
        else:
            await core.queue.start_drain(request.group)
        return json_answer(core.statistics().to_json(), 200 if wait else 202)

    async def slots(call: Call) -> HttpAnswer:
        request = read_json(SlotsRequest, call.body)
        await core.queue.set_slots(request.group, request.slots, box=request.box)
        return queue(call)

    return {
        "queue": queue,
        "pause": pause,
        "resume": resume,
        "drain": drain,
        "slots": slots,
    }


def schedule_handlers(core: Core) -> dict[str, Handler]:
    """The handlers of `/schedules`, by the name of their route."""

    async def list_schedules(_call: Call) -> HttpAnswer:
        rows = await core.schedules.rows()
        return json_answer({"schedules": [schedule_json(row) for row in rows]})

    async def set_schedule(call: Call) -> HttpAnswer:
        request = read_json(ScheduleRequest, call.body)
        caller = request.run.caller
        row = await core.schedules.set(
            request, None if caller is None else caller.surroundings()
        )
        return json_answer(await made_schedule_json(core, row), 201)

    async def remove_schedule(call: Call) -> HttpAnswer:
        await core.schedules.remove(call.path["name"])
        return await list_schedules(call)

    return {
        "list_schedules": list_schedules,
        "set_schedule": set_schedule,
        "remove_schedule": remove_schedule,
    }


def dismissal_handlers(core: Core) -> dict[str, Handler]:
    """The handlers of `/dismissals`, by the name of their route."""

    def dismissals(_call: Call) -> HttpAnswer:
        return json_answer({"runs": core.table.dismissed.run_ids})

    async def dismiss(call: Call) -> HttpAnswer:
        await core.control.dismiss(read_json(DismissalsRequest, call.body).runs)
        return dismissals(call)

    return {"dismissals": dismissals, "dismiss": dismiss}


def no_metrics(_call: Call) -> HttpAnswer:
    """The handler where nothing is counted."""
    raise NotAvailable("this daemon counts nothing")


@dataclass(eq=False, slots=True)
class Metrics:
    """The handler of the route. The library is imported for the first who asks."""

    core: Core
    meter: Meter
    read_loop: ReadLoop | None = None
    #: How many lines of the daemon's log were lost.
    read_lost: Callable[[], int] = lambda: 0
    _render: Callable[[str], tuple[bytes, str]] | None = None
    _turn: trio.Lock = field(default_factory=trio.Lock)

    async def answer(self, call: Call) -> HttpAnswer:
        """All numbers, as OpenMetrics or in the older text format, as who asks accepts it."""
        async with self._turn:
            if self._render is None:
                # In a thread: the import takes a tenth of a second.
                self._render = await run_in_thread(self._load)
        # Without an answer those of the last time are told.
        with (
            trio.move_on_after(self.core.config.health_timeout),
            suppress(PenstockError),
        ):
            await self.core.boxes.told()
        body, content_type = self._render(call.headers.get("accept", ""))
        return HttpAnswer(body=body, content_type=content_type)

    def _load(self) -> Callable[[str], tuple[bytes, str]]:
        from penstock.server.metrics import make_renderer

        return make_renderer(self.core, self.meter, self.read_loop, self.read_lost)


def daemon_handlers(core: Core, health_of: HealthOf) -> dict[str, Handler]:
    """The handlers of what is not about one run, by the name of their route."""

    async def health(_call: Call) -> HttpAnswer:
        reply = await health_of()
        return json_answer(reply, 200 if reply.status == "ok" else 503)

    async def models(_call: Call) -> HttpAnswer:
        rows = [] if core.models is None else await core.models.describe()
        return json_answer({"models": rows})

    async def boxes(_call: Call) -> HttpAnswer:
        return json_answer(boxes_json(await core.boxes.told()))

    async def forget_box(call: Call) -> HttpAnswer:
        return json_answer(boxes_json(await core.boxes.forget(call.path["name"])))

    # The rest wait for nothing, whatever the load.
    def pipelines(_call: Call) -> HttpAnswer:
        return json_answer(kinds_json(core.kinds.values()))

    def clients(_call: Call) -> HttpAnswer:
        return json_answer(clients_json(core.bus))

    async def openapi(call: Call) -> HttpAnswer:
        kinds = core.kinds.values()
        # In a thread: the schemas of all that is said take a while.
        told = await run_in_thread(describe, core.version, kinds, call.base)
        return json_answer(told)

    return {
        "health": health,
        "models": models,
        "boxes": boxes,
        "forget_box": forget_box,
        "pipelines": pipelines,
        "clients": clients,
        "openapi": openapi,
    }
