"""CX-03 and CX-04: which model takes a prompt."""

from __future__ import annotations

import pytest

from penstock.llm.routing import ContextWindow, choose, fits
from penstock.words.errors import ContextTooLarge

CHAIN = (
    ContextWindow("mistral:7b", 8_000),
    ContextWindow("qwen3:8b", 32_000),
    ContextWindow("large", 128_000),
)


@pytest.mark.parametrize(
    ("tokens", "model"),
    [
        (0, "mistral:7b"),
        (6_400, "mistral:7b"),
        (6_401, "qwen3:8b"),
        (7_000, "qwen3:8b"),
        (7_500, "qwen3:8b"),
        (25_600, "qwen3:8b"),
        (28_000, "large"),
        (30_000, "large"),
        (50_000, "large"),
    ],
)
def test_above_eighty_percent_the_next_model_is_used(tokens: int, model: str) -> None:
    """CX-03: 7K, 7.5K -> the next; 28K, 30K -> the large one; exactly 80 % stays."""
    assert choose(CHAIN, lambda _: tokens).model == model


def test_what_fits_nowhere_is_refused_with_sizes() -> None:
    """CX-04, bad: no larger model -> a clear refusal."""
    with pytest.raises(
        ContextTooLarge, match=r"50000 tokens.*qwen3:8b.*32000"
    ) as caught:
        choose(CHAIN[:2], lambda _: 50_000)
    assert caught.value.facts == {
        "tokens": 50_000,
        "window": 32_000,
        "model": "qwen3:8b",
    }


def test_each_model_counts_for_itself() -> None:
    """CX-02: calibration is per model."""
    counts = {"mistral:7b": 9_000, "qwen3:8b": 5_000, "large": 5_000}
    assert choose(CHAIN, counts.__getitem__).model == "qwen3:8b"


@pytest.mark.parametrize("window", [1, 5, 999, 8_192])
def test_what_fits_never_exceeds_the_window(window: int) -> None:
    """CX-04."""
    assert not any(fits(tokens, window) for tokens in range(window, window * 2 + 2))
