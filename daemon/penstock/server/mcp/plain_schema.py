"""Schemas as the strictest of hosts take them: objects of named, typed values, and nothing cleverer.

Hosts turn a tool's schema into that of their model's maker, and each of those knows another part of
JSON Schema: alternatives, references, formats and booleans for schemas are where they fail. What is
left out here, bounds and defaults too, is still taken and checked; it is only not told.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Schema = dict[str, Any]

#: How deep objects are told; what lies deeper is just an object.
DEEPEST = 4
_SCALARS = ("string", "boolean", "integer", "number")


def plain_schema(schema: Mapping[str, Any]) -> Schema | None:
    """The schema in plain form; None if it has none, as that of any value at all."""
    return _plain(schema, schema.get("$defs", {}), 0)


def _plain(schema: Any, parts: Mapping[str, Any], depth: int) -> Schema | None:
    if not isinstance(schema, Mapping) or depth > DEEPEST + 1:
        return None
    schema = _resolved(schema, parts)
    told: Schema = {}
    kind = _type_of(schema)
    if kind is None:
        return None
    told["type"] = kind
    if about := schema.get("description"):
        told["description"] = about
    if kind == "string" and (choices := _choices(schema)):
        told["enum"] = choices
    if kind == "array":
        items = schema.get("items") or next(iter(schema.get("prefixItems", ())), None)
        entry = _plain(items, parts, depth + 1)
        if entry is None:
            return None
        told["items"] = entry
    if kind == "object" and depth < DEEPEST:
        told |= _members(schema, parts, depth)
    return told


def _members(schema: Mapping[str, Any], parts: Mapping[str, Any], depth: int) -> Schema:
    found = {
        name: plain
        for name, value in schema.get("properties", {}).items()
        if (plain := _plain(value, parts, depth + 1)) is not None
    }
    required = [name for name in schema.get("required", ()) if name in found]
    told: Schema = {"properties": found} if found else {}
    return told | ({"required": required} if required else {})


def _resolved(schema: Mapping[str, Any], parts: Mapping[str, Any]) -> Schema:
    """The schema without references and alternatives: the first one that is plain, texts before others."""
    told = dict(schema)
    # A part that refers to itself through alternatives is followed only so far.
    for _ in range(DEEPEST):
        if reference := told.pop("$ref", None):
            told = {**parts.get(str(reference).rpartition("/")[2], {}), **told}
        choices = told.pop("anyOf", None) or told.pop("oneOf", None)
        choices = choices or told.pop("allOf", None)
        if not choices:
            break
        some = [c for c in choices if isinstance(c, Mapping)]
        some = [c for c in some if c.get("type") != "null"]
        some.sort(key=lambda choice: choice.get("type") != "string")
        told = {**(some[0] if some else {}), **told}
    return told


def _type_of(schema: Mapping[str, Any]) -> str | None:
    kind = schema.get("type")
    if isinstance(kind, list):
        kind = next((one for one in kind if one != "null"), None)
    if kind is None and "properties" in schema:
        return "object"
    if kind is None and _choices(schema):
        return "string"
    return kind if kind in (*_SCALARS, "array", "object") else None


def _choices(schema: Mapping[str, Any]) -> list[str]:
    choices = schema.get("enum", [schema["const"]] if "const" in schema else [])
    return list(choices) if all(isinstance(one, str) for one in choices) else []
