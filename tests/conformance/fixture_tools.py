"""Fixture tools that talk to the client while they work, and the schemas of all."""

from __future__ import annotations

import warnings
from collections.abc import Awaitable, Callable
from typing import Any

import mcp.types as wire
import trio
from mcp.server.context import ServerRequestContext
from mcp.shared.exceptions import MCPDeprecationWarning

from conformance import fixture_questions as questions
from conformance.fixture_results import FIXED, said
from conformance.fixture_tasks import JOBS

Context = ServerRequestContext[Any, Any]
_NOTHING: dict[str, Any] = {"type": "object", "properties": {}}
_OPTIONS = ["option1", "option2", "option3"]


def _takes(**properties: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties}


TEXT = {"type": "string"}
SCHEMAS: dict[str, dict[str, Any]] = {
    **dict.fromkeys(FIXED, _NOTHING),
    **dict.fromkeys(JOBS, _NOTHING),
    **{name: _NOTHING for name in questions.ROUNDS if "prompt" not in name},
    **dict.fromkeys(
        (
            "test_trigger_tool_change",
            "test_trigger_prompt_change",
            "test_missing_capability",
            "test_logging_tool",
            "test_tool_with_logging",
            "test_tool_with_progress",
            "test_elicitation_sep1034_defaults",
            "test_elicitation_sep1330_enums",
            questions.CAPABLE,
        ),
        _NOTHING,
    ),
    "greet": _takes(name=TEXT),
    "slow_compute": _takes(seconds={"type": "number"}, label=TEXT),
    "confirm_delete": _takes(filename=TEXT),
    "test_sampling": _takes(prompt=TEXT),
    "test_elicitation": _takes(message=TEXT),
    "test_x_mcp_header": _takes(region={"type": "string", "x-mcp-header": "Region"}),
    "json_schema_2020_12_tool": {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "type": "object",
        "$defs": {
            "address": {
                "$anchor": "addressDef",
                "type": "object",
                "properties": {"street": TEXT, "city": TEXT},
            }
        },
        "properties": {
            "name": TEXT,
            "address": {"$ref": "#/$defs/address"},
            "contactMethod": {"type": "string", "enum": ["phone", "email"]},
            "phone": TEXT,
            "email": TEXT,
        },
        "allOf": [{"anyOf": [{"required": ["phone"]}, {"required": ["email"]}]}],
        "if": {
            "properties": {"contactMethod": {"const": "phone"}},
            "required": ["contactMethod"],
        },
        "then": {"required": ["phone"]},
        "else": {"required": ["email"]},
        "additionalProperties": False,
    },
}


async def tell(ctx: Context, name: str) -> wire.CallToolResult:
    """Tools that send notifications while they work."""
    match name:
        case "test_tool_with_progress":
            for done in (0.0, 50.0, 100.0):
                await ctx.session.report_progress(done, 100)
                await trio.sleep(0.05)
        case "test_tool_with_logging" | "test_logging_tool":
            for words in ("started", "processing data", "completed"):
                await _log(ctx, f"Tool execution {words}")
                await trio.sleep(0.05)
        case _:
            return said(f"there is no tool {name!r}", failed=True)
    return said("told")


async def _log(ctx: Context, words: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", MCPDeprecationWarning)
        await ctx.session.send_log_message(
            "info", words, related_request_id=ctx.request_id
        )


async def _sample(ctx: Context, arguments: dict[str, Any]) -> wire.CallToolResult:
    request = questions.sampling(str(arguments.get("prompt")), 100)
    answer = await _ask(ctx, request, wire.CreateMessageResult)
    return said(f"LLM response: {getattr(answer.content, 'text', '')}")


async def _elicit(ctx: Context, arguments: dict[str, Any]) -> wire.CallToolResult:
    fields = {"username": TEXT, "email": TEXT}
    request = questions.form(str(arguments.get("message")), **fields)
    answer = await _ask(ctx, request, wire.ElicitResult)
    return said(f"User response: action={answer.action}, content={answer.content}")


async def _defaults(ctx: Context, _arguments: dict[str, Any]) -> wire.CallToolResult:
    states = ["active", "inactive", "pending"]
    return await _form(
        ctx,
        name={"type": "string", "default": "John Doe"},
        age={"type": "integer", "default": 30},
        score={"type": "number", "default": 95.5},
        status={"type": "string", "enum": states, "default": "active"},
        verified={"type": "boolean", "default": True},
    )


async def _enums(ctx: Context, _arguments: dict[str, Any]) -> wire.CallToolResult:
    titled = [
        {"const": f"value{n}", "title": f"{word} Option"}
        for n, word in enumerate(("First", "Second", "Third"), 1)
    ]
    return await _form(
        ctx,
        untitledSingle={"type": "string", "enum": _OPTIONS},
        titledSingle={"type": "string", "oneOf": titled},
        legacyEnum={
            "type": "string",
            "enum": ["opt1", "opt2", "opt3"],
            "enumNames": ["Option One", "Option Two", "Option Three"],
        },
        untitledMulti={
            "type": "array",
            "items": {"type": "string", "enum": _OPTIONS},
        },
        titledMulti={"type": "array", "items": {"anyOf": titled}},
    )


async def _form(ctx: Context, **fields: Any) -> wire.CallToolResult:
    answer = await _ask(ctx, questions.form("Fill in", **fields), wire.ElicitResult)
    return said(
        f"Elicitation completed: action={answer.action}, content={answer.content}"
    )


async def _ask(ctx: Context, request: Any, answer: Any) -> Any:
    """A request to the client, as the older protocol has it."""
    from mcp.shared.message import ServerMessageMetadata

    metadata = ServerMessageMetadata(related_request_id=ctx.request_id)
    return await ctx.session.send_request(request, answer, metadata=metadata)


Asking = Callable[[Context, dict[str, Any]], Awaitable[wire.CallToolResult]]
old_questions: dict[str, Asking] = {
    "test_sampling": _sample,
    "test_elicitation": _elicit,
    "test_elicitation_sep1034_defaults": _defaults,
    "test_elicitation_sep1330_enums": _enums,
}
