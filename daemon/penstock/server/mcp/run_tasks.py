"""A run is a task, and a question it asks is input that the task requires."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from mcp.shared.exceptions import MCPError
from mcp.types import INVALID_PARAMS

from penstock.log.projections import AskView
from penstock.server.mcp.tasks import Status, Task
from penstock.server.mcp.telling import open_asks, status_line
from penstock.server.shapes import task_json
from penstock.words.errors import Conflict, NotFound, Refused, Terminal
from penstock.words.values import check_run_id

if TYPE_CHECKING:
    from penstock.log.projections import RunView
    from penstock.runs.core import Core


class RunTasks:
    """The runs of a core as tasks."""

    def __init__(self, core: Core, base: str) -> None:
        self._core, self._base = core, base

    async def look(self, task_id: str) -> Task:
        view = await self._view(task_id)
        keep = self._core.config.retention_seconds
        return run_task(view, base=self._base, ttl_ms=int(keep * 1000))

    async def answer(self, task_id: str, responses: Mapping[str, Any]) -> None:
        view = await self._view(task_id)
        for name in responses.keys() & open_asks(view).keys():
            answer = _answer(responses[name])
            if answer is None:
                # Declined: the question stays open, for somebody else or its deadline.
                continue
            try:
                await self._core.scheduler.answer(task_id, name, answer, by="mcp")
            except Refused as error:
                raise MCPError(INVALID_PARAMS, str(error)) from None
            except (Conflict, Terminal):
                # Somebody else was faster, or the run has ended: there is nothing to answer.
                continue

    async def cancel(self, task_id: str) -> None:
        view = await self._view(task_id)
        if not view.ended:
            await self._core.scheduler.cancel(task_id, "cancelled as a task")

    async def _view(self, task_id: str) -> RunView:
        try:
            view = await self._core.scheduler.view(check_run_id(task_id))
        except (NotFound, ValueError):
            raise KeyError(task_id) from None
        if view.state is None:
            # The daemon's own stream, which is no run.
            raise KeyError(task_id)
        return view


def run_task(view: RunView, *, base: str, ttl_ms: int) -> Task:
    """The task that a run is. A failed run is a completed task whose result tells the failure."""
    assert view.created_at is not None
    assert view.last_at is not None
    status = _status(view)
    return Task(
        task_id=view.run_id,
        status=status,
        created=view.created_at,
        updated=view.last_at,
        message=status_line(view),
        ttl_ms=ttl_ms,
        requests={name: question(ask) for name, ask in open_asks(view).items()},
        result=_result(view, base) if status == "completed" else None,
    )


def question(ask: AskView) -> dict[str, Any]:
    """An ask as a form with one field."""
    answer: dict[str, Any] = {"type": "string", "title": "Answer"}
    if ask.choices:
        answer["enum"] = list(ask.choices)
    if ask.default is not None:
        answer["default"] = ask.default
    schema = {
        "type": "object",
        "properties": {"answer": answer},
        "required": ["answer"],
    }
    return {
        "method": "elicitation/create",
        "params": {
            "mode": "form",
            "message": ask.question,
            "requestedSchema": schema,
        },
    }


def _status(view: RunView) -> Status:
    if view.state == "cancelled":
        return "cancelled"
    if view.ended:
        return "completed"
    return "input_required" if open_asks(view) else "working"


def _result(view: RunView, base: str) -> dict[str, Any]:
    """What the tool call would have given, had it waited for the end."""
    told = task_json(view, base)
    return {
        "resultType": "complete",
        "content": [{"type": "text", "text": json.dumps(told, ensure_ascii=False)}],
        "structuredContent": told,
        "isError": view.state != "completed",
    }


def _answer(response: Any) -> str | None:
    """The answer in the client's response to a form; None if its user gave none."""
    if not isinstance(response, dict) or response.get("action") != "accept":
        return None
    content = response.get("content")
    answer = content.get("answer") if isinstance(content, dict) else None
    return answer if isinstance(answer, str) else None
