"""What an agent's turn took, by whichever of their ways an agent tells it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from penstock.kinds.agent.offered import mapping, mappings, text_of

#: Beyond this a number of tokens is a mistake.
_MOST_TOKENS = 10**12


@dataclass(frozen=True, slots=True)
class TurnUsage:
    """Tokens that went in and came out, and of which model, where that is told."""

    tokens_in: int = 0
    tokens_out: int = 0
    model: str = ""

    def plus(self, other: TurnUsage) -> TurnUsage:
        """Both together."""
        return TurnUsage(
            self.tokens_in + other.tokens_in,
            self.tokens_out + other.tokens_out,
            other.model or self.model,
        )


def read_usage(told: Mapping[str, Any]) -> TurnUsage | None:
    """The usage in the answer to a prompt, or in a piece of a message; None if none is told."""
    meta = mapping(told.get("_meta"))
    quota = mapping(meta.get("quota"))
    models = [text_of(one.get("model")) for one in mappings(quota.get("model_usage"))]
    model = models[-1] if models else ""
    for counts in (told.get("usage"), meta.get("usage"), quota.get("token_count")):
        counted = mapping(counts)
        went_in = _count(counted, "inputTokens", "input_tokens")
        came_out = _count(counted, "outputTokens", "output_tokens")
        if went_in or came_out:
            return TurnUsage(went_in, came_out, model)
    return None


def told_cost(update: Mapping[str, Any]) -> float | None:
    """What the session cost so far, as `usage_update` tells it; None if it does not."""
    amount = mapping(update.get("cost")).get("amount")
    if isinstance(amount, bool) or not isinstance(amount, int | float):
        return None
    try:
        cost = float(amount)
    except OverflowError:
        return None
    return cost if math.isfinite(cost) and cost >= 0 else None


def _count(counts: Mapping[str, Any], *names: str) -> int:
    for name in names:
        value = counts.get(name)
        if isinstance(value, int) and not isinstance(value, bool):
            return min(max(value, 0), _MOST_TOKENS)
    return 0
