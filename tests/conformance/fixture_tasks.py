"""Tasks as the judge of MCP wants them, behind the daemon's own wire form of the extension."""

from __future__ import annotations

import secrets
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime
from typing import Any

import trio
from mcp.shared.exceptions import MCPError
from mcp.types import INTERNAL_ERROR, CallToolResult

from conformance.fixture_questions import form
from conformance.fixture_results import said
from penstock.server.mcp.tasks import Status, Task

CONFIRM = form("Go on?", confirm={"type": "boolean"})


class Job:
    """One task, and the work that makes it."""

    def __init__(self) -> None:
        self.task_id = secrets.token_hex(8)
        self.created = self.updated = datetime.now(UTC)
        self.status: Status = "working"
        self.result: dict[str, Any] | None = None
        self.error: dict[str, Any] | None = None
        self.questions: dict[str, Any] = {}
        self.answers: dict[str, Any] = {}
        self.scope = trio.CancelScope()
        self._changed = trio.Event()

    def told(self) -> Task:
        return Task(
            task_id=self.task_id,
            status=self.status,
            created=self.created,
            updated=self.updated,
            ttl_ms=60_000,
            requests={key: _wire(value) for key, value in self.questions.items()},
            result=self.result,
            error=self.error,
        )

    def become(self, status: Status) -> None:
        self.status, self.updated = status, datetime.now(UTC)
        self._changed.set()
        self._changed = trio.Event()

    def take(self, responses: Mapping[str, Any]) -> None:
        for key in responses.keys() & self.questions.keys():
            del self.questions[key]
            self.answers[key] = responses[key]
        if self.status == "input_required":
            self.become("input_required" if self.questions else "working")

    async def ask(self, *questions: Any) -> list[Any]:
        """Answers to these questions, each under a key of its own."""
        keyed = {secrets.token_hex(8): question for question in questions}
        self.questions.update(keyed)
        self.become("input_required")
        while self.questions:
            await self._changed.wait()
        return [self.answers[key] for key in keyed]


Work = Callable[[Job], Awaitable[CallToolResult]]


class Jobs:
    """The jobs there are; see `penstock.server.mcp.tasks.Tasks`."""

    def __init__(self, nursery: trio.Nursery) -> None:
        self._nursery = nursery
        self._jobs: dict[str, Job] = {}

    def start(self, work: Work) -> Task:
        job = Job()
        self._jobs[job.task_id] = job
        self._nursery.start_soon(self._do, job, work)
        return job.told()

    async def look(self, task_id: str) -> Task:
        await trio.lowlevel.checkpoint()
        return self._jobs[task_id].told()

    async def answer(self, task_id: str, responses: Mapping[str, Any]) -> None:
        await trio.lowlevel.checkpoint()
        self._jobs[task_id].take(responses)

    async def cancel(self, task_id: str) -> None:
        await trio.lowlevel.checkpoint()
        self._jobs[task_id].scope.cancel()

    async def _do(self, job: Job, work: Work) -> None:
        with job.scope:
            try:
                job.result = _wire(await work(job)) | {"resultType": "complete"}
                job.become("completed")
            except MCPError as error:
                job.error = {"code": error.code, "message": error.message}
                job.become("failed")
        if job.scope.cancelled_caught:
            job.questions.clear()
            job.become("cancelled")


def work_of(tool: str, arguments: Mapping[str, Any]) -> Work | None:
    """What a tool that makes tasks does; None for any other tool."""

    async def slow_compute(_job: Job) -> CallToolResult:
        await trio.sleep(float(arguments.get("seconds", 1)))
        return said(f"computed {arguments.get('label', '')}")

    async def failing_job(_job: Job) -> CallToolResult:
        await trio.sleep(1)
        return said("the job failed", failed=True)

    async def protocol_error_job(_job: Job) -> CallToolResult:
        await trio.lowlevel.checkpoint()
        raise MCPError(INTERNAL_ERROR, "the job broke the protocol")

    async def confirm_delete(job: Job) -> CallToolResult:
        return said(f"{arguments.get('filename')}: {await job.ask(CONFIRM)}")

    async def multi_input(job: Job) -> CallToolResult:
        return said(str(await job.ask(CONFIRM, form("Name?", name={"type": "string"}))))

    jobs: dict[str, Work] = {
        "slow_compute": slow_compute,
        "failing_job": failing_job,
        "protocol_error_job": protocol_error_job,
        "confirm_delete": confirm_delete,
        "multi_input": multi_input,
    }
    return jobs.get(tool)


JOBS = ("slow_compute", "failing_job", "protocol_error_job", "confirm_delete", "multi_input")  # fmt: skip


def _wire(value: Any) -> dict[str, Any]:
    return dict(value.model_dump(mode="json", by_alias=True, exclude_none=True))
