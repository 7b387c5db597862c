"""Coding tasks over REST: the request of the original interface, made into a run."""

from __future__ import annotations

from typing import TYPE_CHECKING

from penstock.server.answer import Answer, json_answer
from penstock.server.routes import Call, Handler
from penstock.server.shapes import task_json
from penstock.words.api import SubmitRequest, TaskRequest, read_json
from penstock.words.errors import NotAvailable

if TYPE_CHECKING:
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
        return json_answer(task_json(submitted.view, call.base))

    async def get_task(call: Call) -> Answer:
        view = await core.scheduler.view(call.run_id)
        return json_answer(task_json(view, call.base))

    return {"create_task": create_task, "get_task": get_task}


def submit_request(request: TaskRequest) -> SubmitRequest:
    """The run that a task asks for."""
    inputs = {"prompt": request.prompt, "answers": list(request.answers)}
    return SubmitRequest(kind=TASK_KIND, inputs=inputs, priority=request.priority)
