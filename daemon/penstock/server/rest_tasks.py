"""Coding tasks over REST: the request of the original interface, made into a run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from penstock.address import websocket_url
from penstock.errors import NotAvailable
from penstock.server.answer import Answer, json_answer
from penstock.server.routes import Call, Handler
from penstock.wire import SubmitRequest, TaskRequest, read_json

if TYPE_CHECKING:
    from penstock.record.views import RunView
    from penstock.runs.core import Core

#: The kind that a task is a run of.
TASK_KIND = "coding"


def task_handlers(core: Core) -> dict[str, Handler]:
    """The handlers of `/tasks`, by the name of their route."""

    async def create_task(call: Call) -> Answer:
        request = read_json(TaskRequest, call.body)
        if TASK_KIND not in core.kinds:
            raise NotAvailable(f"the kind {TASK_KIND!r} is not installed")
        submitted = await core.scheduler.submit(
            submit_request(request), wait=call.query["wait"]
        )
        return json_answer(task_json(call, submitted.view))

    async def get_task(call: Call) -> Answer:
        view = await core.scheduler.view(call.run_id)
        return json_answer(task_json(call, view))

    return {"create_task": create_task, "get_task": get_task}


def submit_request(request: TaskRequest) -> SubmitRequest:
    """The run that a task asks for."""
    inputs = {"prompt": request.prompt, "answers": list(request.answers)}
    return SubmitRequest(kind=TASK_KIND, inputs=inputs, priority=request.priority)


def task_json(call: Call, view: RunView) -> dict[str, Any]:
    """A task as its clients know it: the run, and the names of the original interface."""
    return {
        **view.to_json(),
        "task_id": view.run_id,
        "status": "created" if view.state == "queued" else view.state,
        "websocket_url": websocket_url(call.base, view.run_id),
    }
