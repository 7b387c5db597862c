"""What an agent says of one message, as it grows."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from penstock.pipeline import AgentSaid

#: Characters of one fact of what is said.
LONGEST_PIECE = 64 * 1024

Role = Literal["agent", "thought", "user"]


class GrowingText:
    """A text that grows by pieces, of which the end is wanted, in time that grows with the pieces."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._pieces: list[str] = []
        self.size = 0

    def add(self, piece: str) -> None:
        """The next piece."""
        self._pieces.append(piece)
        self.size += len(piece)
        if self.size > 2 * self._most:
            self._pieces = [str(self)]
            self.size = len(self._pieces[0])

    def __str__(self) -> str:
        return "".join(self._pieces)[-self._most :]


@dataclass(eq=False, slots=True)
class SaidPiece:
    """What is said of one message since the last time."""

    message: str
    role: Role
    words: GrowingText = field(default_factory=lambda: GrowingText(LONGEST_PIECE))

    def to_tell(self) -> AgentSaid:
        """The fact of it."""
        return AgentSaid(message=self.message, role=self.role, text=str(self.words))
