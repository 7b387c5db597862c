"""The OpenAI-compatible protocol: `/chat/completions`, server-sent events.

Spoken by vLLM, llama.cpp, LM Studio, OpenRouter and others. Of its many fields we use those that
all of them know.
"""

from __future__ import annotations

from typing import Any

import httpx

from penstock.llm.chat import (
    ChatRequest,
    OnText,
    Reply,
    StreamBroken,
    Usage,
    valid_text,
)
from penstock.llm.http import (
    bearer,
    count,
    each_line,
    open_response,
    parse_object,
    quote,
    read_object,
)

_END = "[DONE]"


class OpenAIEngine:
    """Speaks to one OpenAI-compatible server; `url` is the part before `/chat/completions`."""

    def __init__(
        self, client: httpx.AsyncClient, url: str, api_key: str | None = None
    ) -> None:
        self.url = url.rstrip("/")
        self._client = client
        self._headers = bearer(api_key)

    async def chat(self, request: ChatRequest, on_text: OnText) -> Reply:
        """See `Engine.chat`. End markers are `finish_reason` and `[DONE]`; either will do."""
        answer = _Answer()

        async def take(line: str) -> bool:
            if text := answer.take(line):
                await on_text(text)
            return answer.ended

        url = f"{self.url}/chat/completions"
        async with open_response(
            self._client, "POST", url, body=_body(request), headers=self._headers
        ) as response:
            await each_line(response, take)
        if answer.finish_reason is None:
            raise StreamBroken(
                f"the answer of {request.model} ended without its end marker"
            )
        return Reply("".join(answer.parts), answer.finish_reason, answer.usage)

    async def models(self) -> frozenset[str]:
        """See `Engine.models`."""
        url = f"{self.url}/models"
        async with open_response(
            self._client, "GET", url, headers=self._headers
        ) as response:
            found = (await read_object(response)).get("data")
        listed = (
            [m for m in found if isinstance(m, dict)] if isinstance(found, list) else []
        )
        return frozenset(str(model.get("id", "")) for model in listed)


class _Answer:
    """What the chunks of one stream add up to."""

    def __init__(self) -> None:
        self.parts: list[str] = []
        self.finish_reason: str | None = None
        self.usage = Usage()
        self.ended = False

    def take(self, line: str) -> str:
        """Fold one line; the text it adds. Comments, which keep connections alive, add nothing."""
        data = line.removeprefix("data:").strip() if line.startswith("data:") else ""
        if data == _END:
            self.finish_reason = self.finish_reason or "stop"
            self.ended = True
        return "" if self.ended or not data else self._take_chunk(parse_object(data))

    def _take_chunk(self, chunk: dict[str, Any]) -> str:
        if error := chunk.get("error"):
            words = error.get("message", error) if isinstance(error, dict) else error
            raise StreamBroken(f"the model stopped: {quote(str(words))}")
        if isinstance(usage := chunk.get("usage"), dict):
            self.usage = Usage(
                count(usage.get("prompt_tokens")), count(usage.get("completion_tokens"))
            )
        choices = chunk.get("choices")
        # The chunk that tells the usage has no choice.
        choice = choices[0] if isinstance(choices, list) and choices else None
        if not isinstance(choice, dict):
            return ""
        if isinstance(reason := choice.get("finish_reason"), str):
            self.finish_reason = reason
        delta = choice.get("delta")
        text = delta.get("content") if isinstance(delta, dict) else None
        if not isinstance(text, str):
            return ""
        text = valid_text(text)
        self.parts.append(text)
        return text


def _body(request: ChatRequest) -> dict[str, Any]:
    body: dict[str, Any] = {
        "model": request.model,
        "messages": [{"role": m.role, "content": m.content} for m in request.messages],
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    # Unasked, hosted models refuse a limit above their own, so none is sent.
    if request.max_tokens is not None:
        body["max_tokens"] = request.max_tokens
    if request.temperature is not None:
        body["temperature"] = request.temperature
    return body
