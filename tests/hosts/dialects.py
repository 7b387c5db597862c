"""The four protocols in which hosts ask models: what a request holds, and an answer as a stream.

Each dialect reads a request into a `Conversation` and writes a `Say` or `Call` as server-sent events.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

Json = dict[str, Any]
_numbers = itertools.count(1)


@dataclass(frozen=True)
class Conversation:
    """What a host sent its model: the tools it offers, by name, and what was said before."""

    tools: Mapping[str, str]
    #: What people said and what calls gave, in order.
    turns: tuple[Said | Given, ...]
    #: All text of the request.
    told: str = ""

    @property
    def results(self) -> tuple[str, ...]:
        """The text of each result, in order."""
        return tuple(turn.text for turn in self.turns if isinstance(turn, Given))


@dataclass(frozen=True)
class Said:
    """What a person said, or the host in their name."""

    text: str


@dataclass(frozen=True)
class Given:
    """What a call gave."""

    text: str


@dataclass(frozen=True)
class Say:
    """The model's last word."""

    text: str


@dataclass(frozen=True)
class Call:
    """A call of a tool, by the name under which the host offers it."""

    tool: str
    arguments: Json


Event = tuple[str, Json]


class Dialect(Protocol):
    def read(self, body: Json) -> Conversation: ...

    def events(self, action: Say | Call) -> Iterator[Event]: ...


def texts_in(value: Any) -> str:
    """All text in a result, however its protocol wraps it."""
    if isinstance(value, str):
        return value
    if isinstance(value, Mapping):
        return "\n".join(map(texts_in, value.values()))
    if isinstance(value, list):
        return "\n".join(map(texts_in, value))
    return ""


class AnthropicMessages:
    """`POST /v1/messages`: Claude Code."""

    def read(self, body: Json) -> Conversation:
        turns: list[Said | Given] = []
        for message in body["messages"]:
            content = message["content"]
            parts = [{"type": "text", "text": content}] if isinstance(content, str) else content  # fmt: skip
            for part in parts:
                if part["type"] == "tool_result":
                    turns.append(Given(texts_in(part.get("content"))))
                elif message["role"] == "user" and part["type"] == "text":
                    turns.append(Said(part["text"]))
        tools = {t["name"]: t.get("description", "") for t in body.get("tools", [])}
        return Conversation(tools, tuple(turns), texts_in(body))

    def events(self, action: Say | Call) -> Iterator[Event]:
        number = next(_numbers)
        usage = {"input_tokens": 10, "output_tokens": 5}
        begun: Json = {"id": f"msg_{number}", "type": "message", "role": "assistant", "model": "scripted",
                 "content": [], "stop_reason": None, "stop_sequence": None, "usage": usage}  # fmt: skip
        if isinstance(action, Call):
            block = {"type": "tool_use", "id": f"toolu_{number}", "name": action.tool, "input": {}}  # fmt: skip
            delta = {"type": "input_json_delta", "partial_json": json.dumps(action.arguments)}  # fmt: skip
            reason = "tool_use"
        else:
            block = {"type": "text", "text": ""}
            delta = {"type": "text_delta", "text": action.text}
            reason = "end_turn"
        for told in (
            {"type": "message_start", "message": begun},
            {"type": "content_block_start", "index": 0, "content_block": block},
            {"type": "content_block_delta", "index": 0, "delta": delta},
            {"type": "content_block_stop", "index": 0},
            {"type": "message_delta", "delta": {"stop_reason": reason, "stop_sequence": None}, "usage": usage},
            {"type": "message_stop"},
        ):  # fmt: skip
            yield str(told["type"]), told


class OpenAIResponses:
    """`POST /v1/responses`: Codex, which offers the tools of a server as one namespace."""

    def read(self, body: Json) -> Conversation:
        tools: dict[str, str] = {}
        for tool in body.get("tools", []):
            if tool["type"] == "namespace":
                for one in tool["tools"]:
                    name = f"{tool['name']}/{one['name']}"
                    tools[name] = one.get("description", "")
            elif tool["type"] == "function":
                tools[tool["name"]] = tool.get("description", "")
        turns: list[Said | Given] = []
        for item in body["input"]:
            if item.get("type") == "function_call_output":
                turns.append(Given(texts_in(item["output"])))
            elif item.get("role") == "user":
                turns.append(Said(texts_in(item.get("content"))))
        return Conversation(tools, tuple(turns), texts_in(body))

    def events(self, action: Say | Call) -> Iterator[Event]:
        number = next(_numbers)
        answer: Json = {"id": f"resp_{number}", "object": "response"}
        if isinstance(action, Call):
            namespace, _, name = action.tool.rpartition("/")
            item: Json = {"type": "function_call", "id": f"fc_{number}", "call_id": f"call_{number}",
                          "name": name, "arguments": json.dumps(action.arguments)}  # fmt: skip
            item |= {"namespace": namespace} if namespace else {}
        else:
            content = [{"type": "output_text", "text": action.text, "annotations": []}]
            item = {"type": "message", "id": f"msg_{number}", "role": "assistant", "content": content}  # fmt: skip
        usage = {"input_tokens": 10, "input_tokens_details": None, "output_tokens": 5,
                 "output_tokens_details": None, "total_tokens": 15}  # fmt: skip
        for told in (
            {"type": "response.created", "response": answer},
            {"type": "response.output_item.added", "output_index": 0, "item": item},
            {"type": "response.output_item.done", "output_index": 0, "item": item},
            {"type": "response.completed", "response": {**answer, "usage": usage, "output": [item]}},
        ):  # fmt: skip
            yield str(told["type"]), told


class OpenAIChat:
    """`POST /v1/chat/completions`: opencode, and whatever is compatible."""

    def read(self, body: Json) -> Conversation:
        functions = [tool["function"] for tool in body.get("tools", [])]
        turns = tuple(
            Given(texts_in(m["content"])) if m["role"] == "tool" else Said(texts_in(m["content"]))
            for m in body["messages"]
            if m["role"] in ("tool", "user")
        )  # fmt: skip
        tools = {f["name"]: f.get("description", "") for f in functions}
        return Conversation(tools, turns, texts_in(body))

    def events(self, action: Say | Call) -> Iterator[Event]:
        number = next(_numbers)
        if isinstance(action, Call):
            function = {"name": action.tool, "arguments": json.dumps(action.arguments)}
            call = {"index": 0, "id": f"call_{number}", "type": "function", "function": function}  # fmt: skip
            delta: Json = {"role": "assistant", "content": None, "tool_calls": [call]}
            reason = "tool_calls"
        else:
            delta, reason = {"role": "assistant", "content": action.text}, "stop"
        chunk = {"id": f"chatcmpl-{number}", "object": "chat.completion.chunk", "created": 0,
                 "model": "scripted"}  # fmt: skip
        usage = {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15}
        first = {"index": 0, "delta": delta, "finish_reason": None}
        last = {"index": 0, "delta": {}, "finish_reason": reason}
        yield "", {**chunk, "choices": [first]}
        yield "", {**chunk, "choices": [last], "usage": usage}


class GeminiContent:
    """`POST /v1beta/models/M:streamGenerateContent`: Gemini CLI."""

    def read(self, body: Json) -> Conversation:
        declared = [
            one
            for tool in body.get("tools", [])
            for one in tool.get("functionDeclarations", [])
        ]
        parts = [part for content in body["contents"] for part in content["parts"]]
        turns = tuple(
            Given(texts_in(p["functionResponse"]["response"])) if "functionResponse" in p else Said(texts_in(p.get("text")))
            for p in parts
        )  # fmt: skip
        tools = {one["name"]: one.get("description", "") for one in declared}
        return Conversation(tools, turns, texts_in(body))

    def events(self, action: Say | Call) -> Iterator[Event]:
        number = next(_numbers)
        if isinstance(action, Call):
            called = {"id": f"call-{number}", "name": action.tool, "args": action.arguments}  # fmt: skip
            part: Json = {"functionCall": called}
        else:
            part = {"text": action.text}
        content = {"role": "model", "parts": [part]}
        usage = {"promptTokenCount": 10, "candidatesTokenCount": 5, "totalTokenCount": 15}  # fmt: skip
        candidate = {"index": 0, "content": content, "finishReason": "STOP"}
        yield "", {"candidates": [candidate], "usageMetadata": usage, "modelVersion": "scripted"}  # fmt: skip


#: Which dialect is spoken, by what is in a request's path.
DIALECTS: dict[str, Dialect] = {
    "/v1/messages": AnthropicMessages(),
    "/v1/responses": OpenAIResponses(),
    "/v1/chat/completions": OpenAIChat(),
    "GenerateContent": GeminiContent(),
}
