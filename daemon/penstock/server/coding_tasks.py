"""Coding tasks: runs of the kind `coding`, by the names of REST's `/tasks` and of MCP's tools."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from penstock.runs.core import Core
from penstock.server.json_bodies import task_reply
from penstock.words.api import SubmitRequest, TaskReply, TaskRequest
from penstock.words.errors import NotAvailable
from penstock.words.surroundings import Surroundings

#: The kind that a task is a run of.
TASK_KIND = "coding"


def submit_request(
    request: TaskRequest, more: Mapping[str, Any] | None = None
) -> SubmitRequest:
    """The run that a task asks for; `more` are further inputs of its kind."""
    told = {"prompt": request.prompt, "answers": list(request.answers)}
    inputs = {**told, **(more or {})}
    return SubmitRequest(kind=TASK_KIND, inputs=inputs, priority=request.priority)


@dataclass(frozen=True, slots=True)
class CodingTasks:
    """The tasks of a core. `base` is how the caller addresses the daemon."""

    core: Core

    async def submit(
        self,
        request: TaskRequest,
        base: str,
        *,
        more: Mapping[str, Any] | None = None,
        surroundings: Surroundings | None = None,
        traceparent: str | None = None,
        wait: bool = False,
    ) -> TaskReply:
        """Submit a task, with `wait` once there is room. NotAvailable, or what a submit raises."""
        if TASK_KIND not in self.core.kinds:
            raise NotAvailable(f"the kind {TASK_KIND!r} is not installed")
        submitted = await self.core.submitter.submit(
            submit_request(request, more).in_trace(traceparent),
            surroundings=surroundings,
            wait=wait,
        )
        return task_reply(submitted.reply(), base)

    async def look(self, task_id: str, base: str) -> TaskReply:
        """The task as it stands now. RunNotFound."""
        return task_reply(await self.core.reader.reply(task_id), base)
