"""CX-02: the estimate against chars/4 and against real tokenizers."""

from __future__ import annotations

import pytest

from fakes.texts import SAMPLES
from fakes.tokenizers import tokenizers
from penstock.llm.chat import Message
from penstock.llm.token_estimate import Calibration, estimate, estimate_messages


@pytest.mark.parametrize("text", ["x" * 10_000, "word " * 2_000, SAMPLES["plain"]])
def test_plain_text_is_about_a_quarter_of_its_characters(text: str) -> None:
    """CX-02: within 20 % of chars/4; 10 000 -> 2500."""
    assert abs(estimate(text) / (len(text) / 4) - 1) <= 0.20


@pytest.mark.parametrize("name", SAMPLES)
def test_it_is_never_thirty_percent_below_a_tokenizer_in_use(name: str) -> None:
    """CX-02: the dangerous side is below; p50k, out of use, stays within 40 % even in Korean."""
    text = SAMPLES[name]
    for tokenizer, count in tokenizers().items():
        least = 0.6 if tokenizer == "p50k" else 0.7
        assert estimate(text) >= least * count(text), tokenizer


@pytest.mark.parametrize("name", ["plain", "code", "json", "log"])
def test_it_is_not_far_above_for_what_runs_are_made_of(name: str) -> None:
    """CX-02: an estimate twice too large would waste half of every window."""
    text = SAMPLES[name]
    for count in tokenizers().values():
        assert estimate(text) <= 1.30 * count(text)


def test_nothing_is_nothing_and_more_text_is_never_fewer_tokens() -> None:
    assert estimate("") == 0
    text = SAMPLES["emoji"] + SAMPLES["json"][:500]
    counts = [estimate(text[:end]) for end in range(0, len(text), 7)]
    assert counts == sorted(counts)


def test_a_lone_surrogate_is_counted_and_does_not_raise() -> None:
    assert estimate("\ud800") >= 1


def test_a_long_system_prompt_is_counted() -> None:
    """CX-02: a 5K-token system prompt."""
    messages = [Message("system", "word " * 4_000), Message("user", "hi")]
    assert estimate_messages(messages) > 5_000


def test_reports_correct_the_estimate() -> None:
    """CX-02: by what the provider reports."""
    learned = Calibration().learn(1_000, 1_500)
    assert learned.apply(2_000) == 3_000
    assert 1.2 < learned.learn(1_000, 1_000).ratio < 1.5


@pytest.mark.parametrize("reported", [None, 0, 10, 100_000])
def test_an_unbelievable_report_changes_nothing(reported: int | None) -> None:
    """A provider that counts only what was not in its cache must not shrink the estimate."""
    assert Calibration().learn(1_000, reported) == Calibration()


def test_reports_never_shrink_the_estimate_much() -> None:
    """CX-04: too small an estimate would exceed a window."""
    learned = Calibration()
    for _ in range(50):
        learned = learned.learn(1_000, 450)
    assert learned.apply(1_000) >= 600
