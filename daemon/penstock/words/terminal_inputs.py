"""What of a command's inputs gives its program a terminal: said once, for who starts it and who looks on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def gets_terminal(inputs: Mapping[str, Any]) -> bool:
    """Whether these inputs give the program one: by word, or by a size."""
    return inputs.get("stdin") == "tty" or inputs.get("tty") is not None
