"""Questions to the client's user, as the judge of MCP wants them asked in either era."""

from __future__ import annotations

import hmac
import secrets
from typing import Any

import mcp.types as wire
from mcp.shared.exceptions import MCPError

_KEY = secrets.token_bytes(16)


def form(message: str, **properties: Any) -> wire.ElicitRequest:
    """A question with these fields, all required."""
    schema = {"type": "object", "properties": properties, "required": list(properties)}
    params = wire.ElicitRequestFormParams(message=message, requested_schema=schema)
    return wire.ElicitRequest(params=params)


def sampling(prompt: str, tokens: int) -> wire.CreateMessageRequest:
    message = wire.SamplingMessage(role="user", content=wire.TextContent(text=prompt))
    params = wire.CreateMessageRequestParams(messages=[message], max_tokens=tokens)
    return wire.CreateMessageRequest(params=params)


TEXT = {"type": "string"}
NAME = form("What is your name?", name=TEXT)
ROOTS = wire.ListRootsRequest()

#: Tool or prompt -> its rounds; each asks these questions.
ROUNDS: dict[str, list[dict[str, Any]]] = {
    "test_input_required_result_elicitation": [{"user_name": NAME}],
    "test_input_required_result_sampling": [
        {"capital_question": sampling("What is the capital of France?", 100)}
    ],
    "test_input_required_result_list_roots": [{"client_roots": ROOTS}],
    "test_input_required_result_request_state": [
        {"confirm": form("Please confirm", ok={"type": "boolean"})}
    ],
    "test_input_required_result_tampered_state": [
        {"confirm": form("Please confirm", ok={"type": "boolean"})}
    ],
    "test_input_required_result_multiple_inputs": [
        {
            "user_name": NAME,
            "greeting": sampling("Generate a greeting", 50),
            "client_roots": ROOTS,
        }
    ],
    "test_input_required_result_multi_round": [
        {"step1": form("Step 1: What is your name?", name=TEXT)},
        {"step2": form("Step 2: What is your favorite color?", color=TEXT)},
    ],
    "test_input_required_result_prompt": [
        {"user_context": form("What context should the prompt use?", context=TEXT)}
    ],
    "test_streaming_elicitation": [{"user_name": NAME}],
    "test_tool_with_task": [{"user_name": NAME}],
}
#: Those that keep nothing between two rounds.
STATELESS = {
    "test_input_required_result_elicitation",
    "test_input_required_result_sampling",
    "test_input_required_result_list_roots",
    "test_input_required_result_prompt",
    "test_streaming_elicitation",
}
#: Asks only what the client says it can answer.
CAPABLE = "test_input_required_result_capabilities"


def next_round(
    name: str, responses: dict[str, Any] | None, state: str | None
) -> wire.InputRequiredResult | None:
    """The next questions; None when all are answered. A state that is not ours is refused."""
    rounds = ROUNDS[name]
    number = 0
    if name not in STATELESS and (state is not None or responses):
        number = _read_state(name, state)
    asked = rounds[number]
    if any(key not in (responses or {}) for key in asked):
        return _ask(name, rounds, number)
    if number + 1 < len(rounds):
        return _ask(name, rounds, number + 1)
    return None


def capable(capabilities: wire.ClientCapabilities | None) -> dict[str, Any]:
    """The questions that a client with these capabilities can answer."""
    questions: dict[str, Any] = {}
    if capabilities and capabilities.elicitation is not None:
        questions["user_name"] = NAME
    if capabilities and capabilities.sampling is not None:
        questions["greeting"] = sampling("Generate a greeting", 50)
    if capabilities and capabilities.roots is not None:
        questions["client_roots"] = ROOTS
    return questions


def answer(name: str, responses: dict[str, Any] | None) -> str:
    """What the last round leads to, the answers in it."""
    told = {key: _plain(value) for key, value in (responses or {}).items()}
    greeting = f"Hello, {_name_of(told)}!"
    return f"{greeting} state-ok {name}: {told}"


def _ask(
    name: str, rounds: list[dict[str, Any]], number: int
) -> wire.InputRequiredResult:
    state = None if name in STATELESS else _write_state(name, number)
    return wire.InputRequiredResult(input_requests=rounds[number], request_state=state)


def _write_state(name: str, number: int) -> str:
    return f"{number}.{_sign(name, number)}"


def _read_state(name: str, state: str | None) -> int:
    number, _, signature = (state or "").partition(".")
    if not number.isdecimal() or not hmac.compare_digest(
        signature, _sign(name, int(number))
    ):
        raise MCPError(wire.INVALID_PARAMS, "requestState is not ours")
    return int(number)


def _sign(name: str, number: int) -> str:
    return hmac.new(_KEY, f"{name} {number}".encode(), "sha256").hexdigest()


def _plain(value: Any) -> Any:
    return value.model_dump(mode="json") if hasattr(value, "model_dump") else value


def _name_of(told: dict[str, Any]) -> str:
    for value in told.values():
        content = value.get("content") if isinstance(value, dict) else None
        if isinstance(content, dict) and "name" in content:
            return str(content["name"])
    return "you"
