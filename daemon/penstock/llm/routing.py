"""Which model of the chain takes a prompt: the smallest that has room for it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from penstock.words.errors import ContextTooLarge

#: Percent of a window that a prompt may fill; the rest is for the answer and our own error.
FILLED_AT_MOST = 80


@dataclass(frozen=True, slots=True)
class ContextWindow:
    """A model of the chain and the tokens it can take and give together."""

    model: str
    tokens: int


def fits(tokens: int, window: int) -> bool:
    """Whether a prompt fills at most 80 % of a window; exactly 80 % does."""
    return tokens * 100 <= window * FILLED_AT_MOST


def choose(
    chain: Sequence[ContextWindow], tokens_for: Callable[[str], int]
) -> ContextWindow:
    """The first model of the chain, small to large, that the prompt fits.

    `tokens_for` counts the prompt as one model does. ContextTooLarge names the sizes: nothing is
    ever cut without a word.
    """
    for window in chain:
        if fits(tokens_for(window.model), window.tokens):
            return window
    largest = max(chain, key=lambda window: window.tokens)
    needed = tokens_for(largest.model)
    raise ContextTooLarge(
        f"the text has about {needed} tokens; the largest configured model, {largest.model}, has a "
        f"window of {largest.tokens} and takes prompts up to {FILLED_AT_MOST} % of it",
        tokens=needed,
        window=largest.tokens,
        model=largest.model,
    )
