"""Who hears an agent, and how its turns end."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from penstock.kinds.agent.offered import PermissionWish, mapping, text_of


class AgentListener(Protocol):
    """Who hears the agent. While `updated` and `noise` are awaited, the agent is held back."""

    async def updated(self, update: dict[str, Any]) -> None:
        """The agent tells what it does; what it told in an earlier life is left out."""

    async def permit(self, wish: PermissionWish) -> str | None:
        """The id of the option that answers; None ends the turn. It is cancelled with the wish."""

    async def withdrawn(self, wish: PermissionWish, reason: str) -> None:
        """A wish that `permit` was cancelled for: nobody needs its answer any more."""

    async def noise(self, text: str) -> None:
        """The agent wrote something that is no message."""


@dataclass(frozen=True, slots=True)
class TurnEnd:
    """How a turn ended: its stop reason, and all that was told with it."""

    stop_reason: str
    result: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class AgentParting:
    """How an agent took the cancel of its turn; no stop reason if it did not end it in time."""

    seconds: float
    stop_reason: str | None


def read_turn_end(result: Any) -> TurnEnd:
    """The answer to a prompt."""
    told = mapping(result)
    return TurnEnd(text_of(told.get("stopReason")) or "unknown", told)
