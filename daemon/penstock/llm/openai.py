"""The OpenAI-compatible protocol: `/chat/completions`, server-sent events.

Spoken by vLLM, llama.cpp, LM Studio, OpenRouter and others. Of its many fields we use those that
all of them know.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
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
from penstock.llm.http import (
    LARGEST_COUNT,
    Api,
    count,
    merged,
    objects_in,
    parse_object,
    quote,
)
from penstock.words.errors import ModelFailed

_END = "[DONE]"

#: Statuses by which a server refuses a key.
NO_ENTRY = frozenset({401, 403})

#: Seconds for the question that only shows whether a key is good; who works on it has taken the key.
_KEY_SECONDS = 2.0


class OpenAIEngine:
    """Speaks to one OpenAI-compatible server; its address is the part before `/chat/completions`."""

    def __init__(self, api: Api) -> None:
        self.url = api.url
        self._api = api
        #: The server has taken our key.
        self._let_in = False

    async def chat(self, request: ChatRequest, on_heard: OnHeard) -> Reply:
        """A streamed answer, which ends with `finish_reason` or `[DONE]`; either will do."""
        path = "/chat/completions"
        return await self._api.ask(path, _body(request), _OpenAIAnswer(), on_heard)

    async def probe(self, names: Sequence[str]) -> ServerFacts:
        """What llama.cpp tells at `/props`, others in their list of models.

        Many lists are open to everybody, so a key is tried where it matters: with a question that has
        no messages, which costs nothing.
        """
        props, refused = await self._props()
        if props is None and (refused or self._api.has_key) and not self._let_in:
            await self._try_key(names)
        self._let_in = True
        listed = objects_in(await self._api.get("/models"), "data")
        windows = {
            str(one.get("id")): window
            for one in listed
            if (window := count(one.get("max_model_len"))) is not None
        }
        slots = None
        if props is not None:
            slots = count(props.get("total_slots")) or None
            generation = props.get("default_generation_settings")
            told = generation.get("n_ctx") if isinstance(generation, dict) else None
            if window := count(told):
                windows[""] = window
        known = frozenset(str(one.get("id", "")) for one in listed)
        return ServerFacts(known, windows, slots, llama_cpp=props is not None)

    async def busy_slots(self) -> int | None:
        """As llama.cpp tells it; None where its `/slots` is switched off, or of a version that says it otherwise."""
        try:
            slots = await self._api.get("../slots")
        except RequestRefused:
            return None
        told = [
            one.get("is_processing") if isinstance(one, dict) else None
            for one in (slots if isinstance(slots, list) else [None])
        ]
        if not all(isinstance(one, bool) for one in told):
            return None
        return told.count(True)

    async def count_tokens(self, text: str) -> int | None:
        """As llama.cpp counts them."""
        try:
            told = await self._api.post("../tokenize", {"content": valid_text(text)})
        except RequestRefused:
            return None
        tokens = told.get("tokens") if isinstance(told, dict) else None
        return len(tokens) if isinstance(tokens, list) else None

    async def _props(self) -> tuple[dict[str, Any] | None, bool]:
        """What `/props` tells, if the server is llama.cpp; and whether it lets us in there.

        RequestRefused while it loads its model: it answers 503 there, and lists the model all the same.
        """
        try:
            props = await self._api.get("../props")
        except RequestRefused as error:
            if error.status == 503:
                raise
            return None, error.status in NO_ENTRY
        except StreamBroken:
            # A page for people, say.
            return None, False
        known = isinstance(props, dict) and "default_generation_settings" in props
        return (props if known else None), False

    async def _try_key(self, names: Sequence[str]) -> None:
        """RequestRefused if the server does not take our key."""
        body = {"model": names[0] if names else "", "messages": [], "max_tokens": 1}
        with trio.move_on_after(_KEY_SECONDS):
            try:
                await self._api.post("/chat/completions", body)
            except RequestRefused as error:
                if error.status in NO_ENTRY:
                    raise
            except ModelFailed:
                # Whatever it says to a question without messages, the key was good.
                return


class _OpenAIAnswer:
    """What the chunks of one stream add up to."""

    def __init__(self) -> None:
        self.ended = False
        self._parts: list[str] = []
        self._thoughts: list[str] = []
        self._finish_reason: str | None = None
        self._usage = Usage()

    @property
    def finished(self) -> bool:
        return self._finish_reason is not None

    @property
    def reply(self) -> Reply | None:
        if self._finish_reason is None:
            return None
        text, thoughts = "".join(self._parts), "".join(self._thoughts)
        return Reply(text, self._finish_reason, self._usage, thoughts)

    def take(self, line: str) -> Heard:
        """Fold one line; what it adds. Comments, which keep connections alive, add nothing."""
        data = line.removeprefix("data:").strip() if line.startswith("data:") else ""
        if data == _END:
            self._finish_reason = self._finish_reason or "stop"
            self.ended = True
        if self.ended or not data:
            return NOTHING_HEARD
        return self._take_chunk(parse_object(data))

    def _take_chunk(self, chunk: dict[str, Any]) -> Heard:
        if error := chunk.get("error"):
            words = error.get("message", error) if isinstance(error, dict) else error
            raise ModelStopped(f"the model stopped: {quote(str(words))}")
        if isinstance(usage := chunk.get("usage"), dict):
            self._usage = Usage(
                count(usage.get("prompt_tokens")),
                count(usage.get("completion_tokens")),
                self._usage.seconds,
            )
        if isinstance(timings := chunk.get("timings"), dict):
            self._usage = replace(self._usage, seconds=_generated_in(timings))
        if isinstance(progress := chunk.get("prompt_progress"), dict):
            read, total = (count(progress.get(n)) for n in ("processed", "total"))
            return Heard(read=read or 0, of=total)
        choices = chunk.get("choices")
        # The chunk that tells the usage has no choice.
        choice = choices[0] if isinstance(choices, list) and choices else None
        if not isinstance(choice, dict):
            return NOTHING_HEARD
        reason = choice.get("finish_reason")
        # Some servers send "" with every piece.
        if reason and isinstance(reason, str):
            self._finish_reason = quote(reason)
        delta = choice.get("delta")
        if not isinstance(delta, dict):
            return NOTHING_HEARD
        if text := _text(delta, "content"):
            self._parts.append(text)
            return Heard(text)
        # llama.cpp and others call it one way, vLLM and OpenRouter the other.
        thought = _text(delta, "reasoning_content") or _text(delta, "reasoning")
        if thought:
            self._thoughts.append(thought)
        return Heard(thought=thought)


def _text(delta: dict[str, Any], name: str) -> str:
    text = delta.get(name)
    return valid_text(text) if isinstance(text, str) else ""


def _generated_in(timings: dict[str, Any]) -> float | None:
    """Seconds that llama.cpp says it generated for: what is sent in one piece tells no speed."""
    milliseconds = timings.get("predicted_ms")
    if isinstance(milliseconds, bool) or not isinstance(milliseconds, int | float):
        return None
    if 0 < milliseconds <= LARGEST_COUNT:
        return milliseconds / 1000
    return None


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
    if request.progress:
        body["return_progress"] = True
    if request.thinking is not None:
        body["chat_template_kwargs"] = {"enable_thinking": request.thinking}
    return merged(body, request.extra)
