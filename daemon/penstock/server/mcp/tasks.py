"""The extension `io.modelcontextprotocol/tasks`, and runs as its tasks.

It exists since 2026-07-28 and for clients that declare it. `tasks/list` and `tasks/result` are not
part of it and stay unknown methods.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal, Protocol

from mcp.server.context import ServerRequestContext
from mcp.server.lowlevel import Server
from mcp.shared.exceptions import MCPError
from mcp.shared.inbound import MCP_NAME_HEADER, decode_header_value
from mcp.types import (
    HEADER_MISMATCH,
    INVALID_PARAMS,
    METHOD_NOT_FOUND,
    MISSING_REQUIRED_CLIENT_CAPABILITY,
    RequestParams,
)
from pydantic import Field, ValidationError

from penstock.log.projections import AskView, RunView
from penstock.runs.core import Core
from penstock.server.json_bodies import open_asks, status_line, task_reply
from penstock.server.mcp.results import texts_of
from penstock.words.api import AnswerRequest, TaskReply, refused
from penstock.words.ask_details import AskDetails
from penstock.words.errors import Conflict, NotFound, Refused, Terminal
from penstock.words.lifecycle import CANCELLED, COMPLETED
from penstock.words.run_id import check_run_id
from penstock.words.text import neutralise
from penstock.words.values import format_time

EXTENSION = "io.modelcontextprotocol/tasks"
#: The protocol version that the extension came with.
SINCE = "2026-07-28"
#: Milliseconds between two looks of a client that only polls.
POLL_MS = 500
#: Characters of what a question is about that a client is sent: some show all of it in one dialog.
LONGEST_DETAILS = 8000

Context = ServerRequestContext[Any, Any]
Status = Literal["working", "input_required", "completed", "failed", "cancelled"]


@dataclass(frozen=True, slots=True)
class Task:
    """A task as it stands. `result` belongs to a completed one, `error` to a failed one."""

    task_id: str
    status: Status
    created: datetime
    updated: datetime
    message: str = ""
    #: Milliseconds for which an ended task can be read; None: no limit.
    ttl_ms: int | None = None
    #: Questions to the client's user, each under a key that is never used again.
    requests: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    result: Mapping[str, Any] | None = None
    error: Mapping[str, Any] | None = None

    def wire(self) -> dict[str, Any]:
        """The task as JSON; a client that gets it must have asked for one."""
        data: dict[str, Any] = {
            "taskId": self.task_id,
            "status": self.status,
            "createdAt": format_time(self.created),
            "lastUpdatedAt": format_time(self.updated),
            "ttlMs": self.ttl_ms,
            "pollIntervalMs": POLL_MS,
        }
        if self.message:
            data["statusMessage"] = self.message
        if self.status == "input_required":
            data["inputRequests"] = {k: dict(v) for k, v in self.requests.items()}
        if self.result is not None:
            data["result"] = dict(self.result)
        if self.error is not None:
            data["error"] = dict(self.error)
        return data


class Tasks(Protocol):
    """What tasks are made of. A task that does not exist is a KeyError."""

    async def look(self, task_id: str) -> Task: ...

    async def answer(self, task_id: str, responses: Mapping[str, Any]) -> None:
        """Take the answers to questions that are open; others are not looked at."""

    async def cancel(self, task_id: str) -> None:
        """Ask for its end; nothing happens to one that has ended."""


class TaskParams(RequestParams):
    task_id: str


class TaskUpdateParams(TaskParams):
    input_responses: dict[str, Any] = Field(default_factory=dict)


def declared(ctx: Context) -> bool:
    """Whether this client may be given a task where it called a tool."""
    capabilities = ctx.session.client_capabilities
    return (
        ctx.protocol_version >= SINCE
        and capabilities is not None
        and EXTENSION in (capabilities.extensions or {})
    )


def require(ctx: Context) -> None:
    """Refuse a client that did not declare the extension."""
    if not declared(ctx):
        raise MCPError(
            MISSING_REQUIRED_CLIENT_CAPABILITY,
            f"the client has not declared the extension {EXTENSION}",
            {"requiredCapabilities": {"extensions": {EXTENSION: {}}}},
        )


def created(task: Task) -> dict[str, Any]:
    """The answer to a tool call that became a task."""
    return task.wire() | {"resultType": "task"}


Handler = Callable[[Context, Any], Awaitable[dict[str, Any]]]


def for_all(handler: Handler) -> Handler:
    """Where nobody is judged."""
    return handler


def install_tasks(
    server: Server[Any],
    tasks: Tasks,
    judged: Callable[[Handler], Handler] = for_all,
) -> None:
    """Serve the three methods of the extension."""

    async def get(params: TaskParams) -> dict[str, Any]:
        return (await tasks.look(params.task_id)).wire()

    async def update(params: TaskUpdateParams) -> dict[str, Any]:
        await tasks.answer(params.task_id, params.input_responses)
        return {}

    async def cancel(params: TaskParams) -> dict[str, Any]:
        await tasks.cancel(params.task_id)
        return {}

    server.extensions[EXTENSION] = {}
    for method, takes, act in (
        ("tasks/get", TaskParams, get),
        ("tasks/update", TaskUpdateParams, update),
        ("tasks/cancel", TaskParams, cancel),
    ):
        server.add_request_handler(method, takes, judged(_guarded(act)))


def _guarded(
    handler: Callable[[Any], Awaitable[dict[str, Any]]],
) -> Callable[[Context, Any], Awaitable[dict[str, Any]]]:
    async def handle(ctx: Context, params: Any) -> dict[str, Any]:
        if ctx.protocol_version < SINCE:
            raise MCPError(METHOD_NOT_FOUND, "Method not found", ctx.method)
        require(ctx)
        _check_name(ctx, params.task_id)
        try:
            answer = await handler(params)
        except KeyError:
            why = f"there is no task {params.task_id!r}"
            raise MCPError(INVALID_PARAMS, why) from None
        return answer | {"resultType": "complete"}

    return handle


def _check_name(ctx: Context, task_id: str) -> None:
    """The name in the header, by which proxies route, is that of the body."""
    if ctx.request is None:
        return
    name = ctx.request.headers.get(MCP_NAME_HEADER)
    if name is not None and decode_header_value(name) != task_id:
        raise MCPError(HEADER_MISMATCH, "Mcp-Name is not the task's id")


class RunTasks:
    """The runs of a core as tasks."""

    def __init__(self, core: Core, base: str) -> None:
        self._core, self._base = core, base

    async def look(self, task_id: str) -> Task:
        view = await self._view(task_id)
        reply = task_reply(await self._core.reader.reply(view.run_id), self._base)
        keep = self._core.config.retention_seconds
        return run_task(view, reply, ttl_ms=int(keep * 1000))

    async def answer(self, task_id: str, responses: Mapping[str, Any]) -> None:
        view = await self._view(task_id)
        for name in responses.keys() & open_asks(view).keys():
            answer = answer_in(responses[name])
            if answer is None:
                # Declined: the question stays open, for somebody else or its deadline.
                continue
            try:
                answer = AnswerRequest(answer=answer).answer
                await self._core.control.answer(task_id, name, answer, by="mcp")
            except ValidationError as error:
                raise MCPError(INVALID_PARAMS, str(refused(error, at=name))) from None
            except Refused as error:
                raise MCPError(INVALID_PARAMS, str(error)) from None
            except (Conflict, Terminal):
                # Somebody else was faster, or the run has ended: there is nothing to answer.
                continue

    async def cancel(self, task_id: str) -> None:
        view = await self._view(task_id)
        if not view.ended:
            await self._core.control.cancel(task_id, "cancelled as a task")

    async def _view(self, task_id: str) -> RunView:
        try:
            view = await self._core.reader.view(check_run_id(task_id))
        except (NotFound, ValueError):
            raise KeyError(task_id) from None
        if view.state is None:
            # The daemon's own stream, which is no run.
            raise KeyError(task_id)
        return view


def run_task(view: RunView, reply: TaskReply, *, ttl_ms: int) -> Task:
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
        result=_result(reply) if status == "completed" else None,
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
            "message": question_in_words(ask),
            "requestedSchema": schema,
        },
    }


def question_in_words(ask: AskView) -> str:
    """What a person is asked, and what one should see before one answers: harmless, hosts show it as it is."""
    details = AskDetails.read(ask.details)
    return neutralise(details.told_with(ask.question, LONGEST_DETAILS))


def _status(view: RunView) -> Status:
    if view.state == CANCELLED:
        return "cancelled"
    if view.ended:
        return "completed"
    return "input_required" if open_asks(view) else "working"


def _result(reply: TaskReply) -> dict[str, Any]:
    """What the tool call would have given, had it waited for the end."""
    return {
        "resultType": "complete",
        "content": [
            {"type": "text", "text": text}
            for text in texts_of(reply.model_dump(mode="json"))
        ],
        "isError": reply.state != COMPLETED,
    }


def answer_in(response: Any) -> str | None:
    """The answer in the client's response to a form; None if its user gave none."""
    if not isinstance(response, dict) or response.get("action") != "accept":
        return None
    content = response.get("content")
    answer = content.get("answer") if isinstance(content, dict) else None
    return answer if isinstance(answer, str) else None
