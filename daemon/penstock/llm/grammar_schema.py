"""JSON schemas as model servers take them: closed, whole, and without what only programs read."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_LEFT_OUT = frozenset({"$defs", "default", "examples", "title"})


def grammar_schema(schema: Mapping[str, Any]) -> dict[str, Any]:
    """The schema with references put in place, all keys required, and no others allowed.

    Grammars are made of it, so a key that may be missing would cost the model a decision.
    """
    made: dict[str, Any] = _plain(schema, schema.get("$defs", {}))
    return made


def _plain(node: Any, known: Mapping[str, Any]) -> Any:
    if isinstance(node, list):
        return [_plain(one, known) for one in node]
    if not isinstance(node, Mapping):
        return node
    if isinstance(reference := node.get("$ref"), str):
        return _plain(known[reference.rsplit("/", 1)[-1]], known)
    made = {k: _plain(v, known) for k, v in node.items() if k not in _LEFT_OUT}
    if isinstance(properties := node.get("properties"), Mapping):
        made["properties"] = {k: _plain(v, known) for k, v in properties.items()}
        made["required"] = list(properties)
        made["additionalProperties"] = False
    return made
