"""What a request is answered with, before any server library has a say."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

from pydantic import BaseModel

from penstock.words.api import Problem, problem_of
from penstock.words.error_status import headers_of
from penstock.words.errors import PenstockError

JSON = "application/json"
PROBLEM = "application/problem+json"


class HttpRefused(PenstockError):
    """The request was refused for what it is in HTTP, not for what it asks."""

    def __init__(
        self,
        status: int,
        detail: str,
        headers: Mapping[str, str] | None = None,
        **facts: Any,
    ) -> None:
        super().__init__(detail, **facts)
        self.status = status
        self.headers = dict(headers or {})


class Unfinished(Exception):
    """What was begun cannot be told whole, and there is no place left to say so.

    The connection is closed before the body's end, which every client of HTTP/1.1 takes for a failure.
    """


@dataclass(frozen=True, slots=True)
class HttpAnswer:
    """A whole response."""

    status: int = 200
    body: bytes = b""
    content_type: str = JSON
    headers: Mapping[str, str] = field(default_factory=dict)

    def all_headers(self) -> dict[str, str]:
        """The headers, those that belong to the body included; 204 and 304 have none."""
        body = {
            "Content-Type": self.content_type,
            "Content-Length": str(len(self.body)),
        }
        return {
            **({} if self.status in (204, 304) else body),
            # What a run says is for whoever asked, and not for a page or a proxy to keep.
            "Cache-Control": "no-store",
            "X-Content-Type-Options": "nosniff",
            **self.headers,
        }


@dataclass(frozen=True, slots=True)
class HttpStream:
    """A response without an end known beforehand; `open` gives its chunks while it is entered."""

    content_type: str
    open: Callable[[], AbstractContextManager[AsyncIterator[bytes]]]
    headers: Mapping[str, str] = field(default_factory=dict)


def json_answer(
    value: BaseModel | Mapping[str, Any] | bytes,
    status: int = 200,
    headers: Mapping[str, str] | None = None,
) -> HttpAnswer:
    """An answer in JSON; bytes are JSON already."""
    if isinstance(value, BaseModel):
        body = value.model_dump_json().encode()
    elif isinstance(value, bytes):
        body = value
    else:
        body = json.dumps(value, ensure_ascii=False, allow_nan=False).encode()
    return HttpAnswer(status, body, headers=headers or {})


def problem_answer(error: PenstockError) -> HttpAnswer:
    """The problem document for an error, with the headers that belong to its status."""
    if isinstance(error, HttpRefused):
        problem = Problem(
            title=HTTPStatus(error.status).phrase,
            status=error.status,
            detail=str(error),
            **error.facts,
        )
        return _problem(problem, error.headers)
    _, problem = problem_of(error)
    return _problem(problem, headers_of(error))


def fault_answer(fault_id: str) -> HttpAnswer:
    """The document for a fault of ours: it says where to look, and nothing of what went wrong."""
    problem = Problem(
        type="urn:penstock:fault",
        title=HTTPStatus.INTERNAL_SERVER_ERROR.phrase,
        status=500,
        detail="the daemon failed to answer; its log tells why under this id",
        id=fault_id,  # type: ignore[call-arg]
    )
    return _problem(problem, {})


def raw_response(answer: HttpAnswer) -> bytes:
    """The answer as the last bytes of an HTTP/1.1 connection."""
    status = HTTPStatus(answer.status)
    lines = [f"HTTP/1.1 {status.value} {status.phrase}"]
    headers = {**answer.all_headers(), "Connection": "close"}
    lines += [f"{name}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode("ascii") + answer.body


def _problem(problem: Problem, headers: Mapping[str, str]) -> HttpAnswer:
    body = problem.model_dump_json().encode()
    return HttpAnswer(problem.status, body, content_type=PROBLEM, headers=headers)
