"""The tools' schemas: what the makers of models can read, and no more than a model should have to.

The rules are those at which the converters of LangChain for Gemini, google-genai, google-adk and
OpenAI's strict mode were seen to fail or to warn.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, Literal

import jsonschema  # type: ignore[import-untyped]
import pytest
from pydantic import BaseModel, Field

from penstock.kinds.registry import load_kinds
from penstock.pipeline import Inputs, Kind, Output
from penstock.server.mcp.kind_tools import KindTool, kind_tools
from penstock.server.mcp.misfits import Misfits
from penstock.server.mcp.plain_schema import plain_schema
from penstock.server.mcp.tools import listed_tools

#: Bytes of all tools and of one, as they are sent. Codex takes the descriptions out of larger ones.
MOST_BYTES, MOST_OF_ONE = 12_000, 4_000
#: All that a schema may say. No alternatives, references, formats, bounds or `additionalProperties`.
WORDS = {"type", "description", "enum", "items", "properties", "required"}
TYPES = {"string", "boolean", "integer", "number", "array", "object"}


def tools() -> list[dict[str, Any]]:
    kinds = [kind for kind in load_kinds().values() if kind.name != "interview"]
    listed = listed_tools(kinds, kind_tools(kinds))
    return [t.model_dump(mode="json", by_alias=True, exclude_none=True) for t in listed]


def faults(schema: Any, at: str) -> Iterator[str]:
    """What a converter would fail at."""
    if not isinstance(schema, dict) or schema.get("type") not in TYPES:
        yield f"{at}: has no one type"
        return
    if others := set(schema) - WORDS:
        yield f"{at}: says {sorted(others)}"
    if "enum" in schema and not all(isinstance(one, str) for one in schema["enum"]):
        yield f"{at}: choices that are no texts"
    if schema["type"] == "array":
        yield from faults(schema.get("items"), f"{at}[]")
    if unknown := set(schema.get("required", ())) - set(schema.get("properties", {})):
        yield f"{at}: requires {unknown}"
    for name, value in schema.get("properties", {}).items():
        yield from faults(value, f"{at}.{name}")


@pytest.mark.parametrize("tool", tools(), ids=lambda tool: tool["name"])
def test_every_maker_of_models_can_read_a_tool(tool: dict[str, Any]) -> None:
    """MCP-01, HO-02"""
    schema = tool["inputSchema"]
    jsonschema.Draft202012Validator.check_schema(schema)
    assert list(faults(schema, tool["name"])) == []
    assert schema["type"] == "object"
    assert tool["description"]
    # Hosts check what is given against it, errors too.
    assert "outputSchema" not in tool
    for name, value in schema["properties"].items():
        assert value.get("description"), name
    assert len(json.dumps(tool, ensure_ascii=False)) < MOST_OF_ONE


def test_all_tools_together_leave_a_model_its_room() -> None:
    """MCP-01, HO-02"""
    assert sum(len(json.dumps(t, separators=(",", ":"))) for t in tools()) < MOST_BYTES


def test_a_tool_that_executes_programs_says_so() -> None:
    """MCP-01: and one that ends a run, or takes somebody's schedule away."""
    told = {tool["name"]: tool["annotations"] for tool in tools()}
    starts = {name for name in told if name.startswith(("run_", "start_", "retry_"))}
    for name, hints in told.items():
        assert hints["readOnlyHint"] is name.startswith(("get_", "wait_", "read_", "list_", "queue_"))  # fmt: skip
        assert hints["destructiveHint"] is (
            name in {*starts, "cancel_run", "change_queue"}
        )
        assert hints["openWorldHint"] is (name in starts)
        assert hints.get("idempotentHint", False) is (name == "cancel_run")


class Part(BaseModel):
    name: str = Field(description="Whose")
    parts: list[Part] = []


class Odd(Inputs):
    """Inputs with all that hosts stumble over."""

    whole: Part
    mode: Literal["a", "b"] | None = None
    number: Literal[1, 2] = 1
    either: int | str = 1
    anything: Any = None
    words: dict[str, int] | None = None
    pair: tuple[str, int] | None = None
    priority: Literal["kind's own"] | None = None
    name: str | None = None


class Given(Output):
    pass


async def nothing(_run: Any, _inputs: Any) -> Given:
    return Given()


def odd_tool(name: str = "odd") -> KindTool:
    [tool] = kind_tools([Kind(name, "Is odd", Odd, Given, nothing)])
    return tool


def test_whatever_a_plug_in_takes_is_told_plainly() -> None:
    """MCP-01"""
    tool = odd_tool()
    assert list(faults(tool.schema, "odd")) == []
    found = tool.schema["properties"]
    assert found["mode"] == {"type": "string", "enum": ["a", "b"]}
    assert found["either"]["type"] == "string"
    assert "anything" not in found
    assert tool.schema["required"] == ["whole"]
    # The kind's own word is meant where both have it.
    request = tool.request({"whole": {"name": "x"}, "name": "mine", "run_name": "run"})
    assert request.inputs == {"whole": {"name": "x"}, "name": "mine"}
    assert request.labels == {"name": "run"}


def test_all_that_is_wrong_with_a_call_is_said_at_once() -> None:
    """MCP-06"""
    with pytest.raises(Misfits) as caught:
        odd_tool().request({"mode": "c", "pair": 1, "timeout": -1, "nonsense": True})
    for part in ("whole: Field required", "mode: ", "pair: ", "timeout: ", "nonsense: unknown field", "the arguments are whole, mode"):  # fmt: skip
        assert part in str(caught.value)


def test_a_kind_that_cannot_be_told_has_no_tool_of_its_own() -> None:
    """MCP-01: nor has one whose name makes none, or a second of a name."""

    class Anything(Inputs):
        value: Any

    class Large(Inputs):
        value: str = Field("", description="x" * 5000)

    def kind(name: str, inputs: type[Inputs]) -> Kind:
        return Kind(name, "Takes it", inputs, Given, nothing)

    some = [kind("any", Anything), kind("large", Large), kind("ж", Odd)]
    assert kind_tools(some) == []
    twins = [kind("a-b", Odd), kind("a.b", Odd)]
    assert [tool.kind.name for tool in kind_tools(twins)] == ["a-b"]
    many = [kind(f"odd-{n}", Odd) for n in range(100)]
    assert 1 < len(kind_tools(many)) < 20


def test_a_schema_of_any_value_has_no_plain_form() -> None:
    assert plain_schema({}) is None
    assert plain_schema({"type": "array", "items": {}}) is None
    assert plain_schema({"type": ["null", "integer"]}) == {"type": "integer"}
    endless = {"$ref": "#/$defs/L", "$defs": {"L": {"type": "array", "items": {"$ref": "#/$defs/L"}}}}  # fmt: skip
    assert plain_schema(endless) is None
