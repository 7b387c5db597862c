"""What tools give, as content: JSON, and beside it text that is read better as it stands."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from mcp.types import CallToolResult, TextContent

#: The member of what a tool gives that is told as a text of its own, and not in JSON: output, in which
#: every line break and quote would be an escape.
APART = "text"


def texts_of(given: Mapping[str, Any]) -> list[str]:
    """The texts of a result: its JSON, and then what is told apart, if there is any."""
    plain = {name: value for name, value in given.items() if name != APART}
    apart = given.get(APART)
    return [json.dumps(plain, ensure_ascii=False), *([apart] if apart else [])]


def text_result(given: Mapping[str, Any]) -> CallToolResult:
    """A result that tells everything once; hosts send some of them whole to their model."""
    return CallToolResult(content=[TextContent(text=text) for text in texts_of(given)])
