"""Ollama's own protocol: `/api/chat`, one JSON object a line.

Answers are always streamed: only while a stream is open does closing the socket stop the model.
"""

from __future__ import annotations

from typing import Any

from penstock.llm.chat import (
    ChatRequest,
    OnText,
    Reply,
    StreamBroken,
    Usage,
    valid_text,
)
from penstock.llm.http import Api, count, parse_object, quote

#: Nanoseconds, in which Ollama tells times.
_SECOND = 1_000_000_000


class OllamaEngine:
    """Speaks to one Ollama server."""

    def __init__(self, api: Api) -> None:
        self.url = api.url
        self._api = api

    async def chat(self, request: ChatRequest, on_text: OnText) -> Reply:
        """A streamed answer, which ends with `done`; its reason is `done_reason`."""
        return await self._api.ask(
            "/api/chat", _body(request), _OllamaAnswer(), on_text
        )

    async def models(self) -> frozenset[str]:
        """The names that the server lists; one without a tag stands for its tag `latest`."""
        names = await self._api.names("/api/tags", "models", "name")
        return names | {name.removesuffix(":latest") for name in names}


class _OllamaAnswer:
    """What the lines of one stream add up to."""

    def __init__(self) -> None:
        self.reply: Reply | None = None
        self._parts: list[str] = []

    @property
    def ended(self) -> bool:
        return self.reply is not None

    def take(self, line: str) -> str:
        """Fold one line; the text it adds."""
        if not line.strip():
            return ""
        record = parse_object(line)
        if "error" in record:
            raise StreamBroken(f"the model stopped: {quote(str(record['error']))}")
        text = _text(record)
        self._parts.append(text)
        if record.get("done") is True:
            reason = str(record.get("done_reason") or "stop")
            self.reply = Reply("".join(self._parts), reason, _usage(record))
        return text


def _body(request: ChatRequest) -> dict[str, Any]:
    # Ollama's default window is small, and it drops the beginning of a longer prompt without a word.
    options: dict[str, Any] = {"num_ctx": request.window}
    if request.max_tokens is not None:
        options["num_predict"] = request.max_tokens
    if request.temperature is not None:
        options["temperature"] = request.temperature
    messages = [{"role": m.role, "content": m.content} for m in request.messages]
    body = {
        "model": request.model,
        "messages": messages,
        "stream": True,
        "options": options,
    }
    if request.schema is not None and request.dialect == "format":
        body["format"] = request.schema
    return body


def _text(record: dict[str, Any]) -> str:
    message = record.get("message")
    content = message.get("content") if isinstance(message, dict) else None
    return valid_text(content) if isinstance(content, str) else ""


def _usage(record: dict[str, Any]) -> Usage:
    nanoseconds = count(record.get("eval_duration"))
    return Usage(
        tokens_in=count(record.get("prompt_eval_count")),
        tokens_out=count(record.get("eval_count")),
        seconds=nanoseconds / _SECOND if nanoseconds else None,
    )
