"""Ollama's own protocol: `/api/chat`, one JSON object a line.

Answers are always streamed: only while a stream is open does closing the socket stop the model.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import trio

from penstock.llm.chat import (
    NOTHING_HEARD,
    ChatRequest,
    Heard,
    ModelStopped,
    OnHeard,
    Reply,
    RequestRefused,
    ServerFacts,
    StreamBroken,
    Usage,
    valid_text,
)
from penstock.llm.http import Api, count, merged, objects_in, parse_object, quote

#: Nanoseconds, in which Ollama tells times.
_SECOND = 1_000_000_000

#: Tokens that a model gets where only its largest window is known: memory for that may not be there.
LARGEST_UNASKED = 8192

_NUM_CTX = re.compile(r"^num_ctx\s+(\d{1,12})\b", re.MULTILINE)


class OllamaEngine:
    """Speaks to one Ollama server."""

    def __init__(self, api: Api) -> None:
        self.url = api.url
        self._api = api

    async def chat(self, request: ChatRequest, on_heard: OnHeard) -> Reply:
        """A streamed answer, which ends with `done`; its reason is `done_reason`."""
        return await self._api.ask(
            "/api/chat", _body(request), _OllamaAnswer(), on_heard
        )

    async def probe(self, names: Sequence[str]) -> ServerFacts:
        """The models it lists, one without a tag standing for its tag `latest`, and their windows."""
        listed = objects_in(await self._api.get("/api/tags"), "models")
        found = {str(one.get("name", "")) for one in listed}
        known = frozenset(found | {name.removesuffix(":latest") for name in found})
        windows = {}
        for name in names:
            if name in known and (window := await self._window_of(name)) is not None:
                windows[name] = window
        return ServerFacts(known, windows)

    async def _window_of(self, name: str) -> int | None:
        """What its maker set; else what it can take, unless that is very much."""
        try:
            shown = await self._api.post("/api/show", {"model": name})
        except (RequestRefused, StreamBroken):
            return None
        if not isinstance(shown, dict):
            return None
        if set_to := _NUM_CTX.search(str(shown.get("parameters", ""))):
            return int(set_to[1])
        info = shown.get("model_info")
        for key, value in info.items() if isinstance(info, dict) else ():
            if key.endswith(".context_length") and (largest := count(value)):
                return min(largest, LARGEST_UNASKED)
        return None

    async def busy_slots(self) -> int | None:
        """Not told by Ollama."""
        await trio.lowlevel.checkpoint()
        return None

    async def count_tokens(self, _text: str) -> int | None:
        """Not told by Ollama."""
        await trio.lowlevel.checkpoint()
        return None


class _OllamaAnswer:
    """What the lines of one stream add up to."""

    def __init__(self) -> None:
        self.reply: Reply | None = None
        self._parts: list[str] = []
        self._thoughts: list[str] = []

    @property
    def ended(self) -> bool:
        return self.reply is not None

    @property
    def finished(self) -> bool:
        return self.ended

    def take(self, line: str) -> Heard:
        """Fold one line; what it adds."""
        if not line.strip():
            return NOTHING_HEARD
        record = parse_object(line)
        if "error" in record:
            raise ModelStopped(f"the model stopped: {quote(str(record['error']))}")
        text, thought = _text(record, "content"), _text(record, "thinking")
        self._parts += [text] if text else []
        self._thoughts += [thought] if thought else []
        if record.get("done") is True:
            reason = quote(str(record.get("done_reason") or "stop"))
            self.reply = Reply(
                "".join(self._parts),
                reason,
                _usage(record),
                "".join(self._thoughts),
            )
        return Heard(text, "" if text else thought)


def _body(request: ChatRequest) -> dict[str, Any]:
    # Ollama's default window is small, and it drops the beginning of a longer prompt without a word.
    options: dict[str, Any] = {"num_ctx": request.window}
    if request.max_tokens is not None:
        options["num_predict"] = request.max_tokens
    if request.temperature is not None:
        options["temperature"] = request.temperature
    messages = [{"role": m.role, "content": m.content} for m in request.messages]
    body: dict[str, Any] = {
        "model": request.model,
        "messages": messages,
        "stream": True,
        "options": options,
    }
    if request.schema is not None and request.dialect == "format":
        body["format"] = request.schema
    if request.thinking is not None:
        body["think"] = request.thinking
    return merged(body, request.extra)


def _text(record: dict[str, Any], name: str) -> str:
    message = record.get("message")
    content = message.get(name) if isinstance(message, dict) else None
    return valid_text(content) if isinstance(content, str) else ""


def _usage(record: dict[str, Any]) -> Usage:
    nanoseconds = count(record.get("eval_duration"))
    return Usage(
        tokens_in=count(record.get("prompt_eval_count")),
        tokens_out=count(record.get("eval_count")),
        seconds=nanoseconds / _SECOND if nanoseconds else None,
    )
