"""A text put together from its pieces, of which only size and digest are kept."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import Any


@dataclass(slots=True)
class JoinedText:
    """Size in UTF-8 bytes and SHA-256 of the pieces so far."""

    size: int = 0
    _digest: Any = field(default_factory=hashlib.sha256)

    def add(self, piece: str) -> None:
        """The next piece."""
        encoded = piece.encode("utf-8", "replace")
        self.size += len(encoded)
        self._digest.update(encoded)

    def agrees(self, size: int, sha256: str) -> bool:
        """Whether this is the text that was said to be whole."""
        return self.size == size and self._digest.hexdigest() == sha256
