"""The OpenAI-compatible protocol: `/chat/completions`, server-sent events.

Spoken by vLLM, llama.cpp, LM Studio, OpenRouter and others. Of its many fields we use those that
all of them know.
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

_END = "[DONE]"


class OpenAIEngine:
    """Speaks to one OpenAI-compatible server; its address is the part before `/chat/completions`."""

    def __init__(self, api: Api) -> None:
        self.url = api.url
        self._api = api

    async def chat(self, request: ChatRequest, on_text: OnText) -> Reply:
        """A streamed answer, which ends with `finish_reason` or `[DONE]`; either will do."""
        path = "/chat/completions"
        return await self._api.ask(path, _body(request), _OpenAIAnswer(), on_text)

    async def models(self) -> frozenset[str]:
        """The names that the server lists."""
        return await self._api.names("/models", "data", "id")


class _OpenAIAnswer:
    """What the chunks of one stream add up to."""

    def __init__(self) -> None:
        self.ended = False
        self._parts: list[str] = []
        self._finish_reason: str | None = None
        self._usage = Usage()

    @property
    def reply(self) -> Reply | None:
        if self._finish_reason is None:
            return None
        return Reply("".join(self._parts), self._finish_reason, self._usage)

    def take(self, line: str) -> str:
        """Fold one line; the text it adds. Comments, which keep connections alive, add nothing."""
        data = line.removeprefix("data:").strip() if line.startswith("data:") else ""
        if data == _END:
            self._finish_reason = self._finish_reason or "stop"
            self.ended = True
        return "" if self.ended or not data else self._take_chunk(parse_object(data))

    def _take_chunk(self, chunk: dict[str, Any]) -> str:
        if error := chunk.get("error"):
            words = error.get("message", error) if isinstance(error, dict) else error
            raise StreamBroken(f"the model stopped: {quote(str(words))}")
        if isinstance(usage := chunk.get("usage"), dict):
            self._usage = Usage(
                count(usage.get("prompt_tokens")), count(usage.get("completion_tokens"))
            )
        choices = chunk.get("choices")
        # The chunk that tells the usage has no choice.
        choice = choices[0] if isinstance(choices, list) and choices else None
        if not isinstance(choice, dict):
            return ""
        if isinstance(reason := choice.get("finish_reason"), str):
            self._finish_reason = reason
        delta = choice.get("delta")
        text = delta.get("content") if isinstance(delta, dict) else None
        if not isinstance(text, str):
            return ""
        text = valid_text(text)
        self._parts.append(text)
        return text


def _body(request: ChatRequest) -> dict[str, Any]:
    body: dict[str, Any] = {
        "model": request.model,
        "messages": [{"role": m.role, "content": m.content} for m in request.messages],
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    if request.max_tokens is not None:
        body["max_tokens"] = request.max_tokens
    if request.temperature is not None:
        body["temperature"] = request.temperature
    if request.schema is not None and request.dialect == "response_format":
        named = {"name": "answer", "strict": True, "schema": request.schema}
        body["response_format"] = {"type": "json_schema", "json_schema": named}
    elif request.schema is not None and request.dialect == "structured_outputs":
        body["structured_outputs"] = {"json": request.schema}
    return body
