"""MCP messages on HTTP: the headers that belong to one, and messages read from a stream."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import AsyncIterator, Mapping
from typing import Any

from penstock.words.surroundings import CALLER_IN_META

Message = dict[str, Any]

VERSION_HEADER = "mcp-protocol-version"
_VERSION_IN_META = "io.modelcontextprotocol/protocolVersion"
#: The member of the parameters that names what a request is about, by its method.
_NAMES = {
    "tools/call": "name",
    "prompts/get": "name",
    "resources/read": "uri",
    "tasks/get": "taskId",
    "tasks/update": "taskId",
    "tasks/cancel": "taskId",
}
#: Tools that start a run of what the agent asks for, and how those of single kinds begin.
_STARTERS = frozenset({"start_run", "start_coding_task"})
_KIND_TOOL = "run_"
#: Where clients that know OpenTelemetry say where they are in a trace.
_TRACE = "traceparent"
_PLAIN = re.compile(r"[\x21-\x7e]([\x20-\x7e]*[\x21-\x7e])?")
_CODED = re.compile(r"=\?base64\?.*\?=")


class Messages:
    """The messages of an event stream, by its lines. Its comments, ids and retries are for others."""

    def __init__(self, lines: AsyncIterator[str]) -> None:
        self._lines = lines

    def __aiter__(self) -> Messages:
        return self

    async def __anext__(self) -> Message:
        data: list[str] = []
        while True:
            line = await anext(self._lines)
            if line.startswith("data:"):
                data.append(line[5:].removeprefix(" "))
            elif not line:
                if message := read_object("\n".join(data).encode()):
                    return message
                data = []


def read_object(body: bytes) -> Message:
    """A JSON object; an empty one for anything else."""
    try:
        value = json.loads(body)
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}


def request_key(request_id: object) -> str:
    """A request's id as a key: ids may be texts or numbers, and 1 is not "1"."""
    return json.dumps(request_id)


def name_caller(message: Message, caller: Mapping[str, Any] | None) -> Message:
    """The message; one that starts a run says besides what its programs are to find around them."""
    params = message.get("params")
    if (
        caller is None
        or message.get("method") != "tools/call"
        or not isinstance(params, dict)
        or not _starts_run(params.get("name"))
    ):
        return message
    return {**message, "params": _besides(params, {CALLER_IN_META: caller})}


def name_trace(message: Message, trace: str | None) -> Message:
    """The message; a call of a tool says where the agent was started in a trace, if it says nothing else."""
    params = message.get("params")
    if (
        trace is None
        or message.get("method") != "tools/call"
        or not isinstance(params, dict)
    ):
        return message
    meta = params.get("_meta")
    if isinstance(meta, dict) and _TRACE in meta:
        return message
    return {**message, "params": _besides(params, {_TRACE: trace})}


def _besides(params: Mapping[str, Any], more: Mapping[str, Any]) -> Message:
    meta = params.get("_meta")
    known = meta if isinstance(meta, dict) else {}
    return {**params, "_meta": {**known, **more}}


def _starts_run(tool: object) -> bool:
    return isinstance(tool, str) and (tool in _STARTERS or tool.startswith(_KIND_TOOL))


def routing_headers(message: Mapping[str, Any]) -> dict[str, str]:
    """The headers that a message of the newer protocol is sent with; none for an older one."""
    params = message.get("params")
    meta = params.get("_meta") if isinstance(params, dict) else None
    version = meta.get(_VERSION_IN_META) if isinstance(meta, dict) else None
    if not isinstance(version, str) or not isinstance(params, dict):
        return {}
    method = str(message.get("method"))
    headers = {VERSION_HEADER: version, "mcp-method": method}
    name = params.get(_NAMES.get(method, ""))
    if isinstance(name, str):
        headers["mcp-name"] = _header_value(name)
    return headers


def _header_value(text: str) -> str:
    """The text, coded where it would not survive as a header."""
    if _PLAIN.fullmatch(text) and not _CODED.fullmatch(text):
        return text
    return f"=?base64?{base64.b64encode(text.encode()).decode('ascii')}?="
