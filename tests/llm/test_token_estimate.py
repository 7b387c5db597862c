"""CX-02: the estimate against chars/4 and against real tokenizers."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from fakes.texts import SAMPLES, SCRIPTS
from fakes.tokenizers import tokenizers
from penstock.llm.chat import Message
from penstock.llm.token_estimate import Calibration, estimate, estimate_messages


@pytest.mark.parametrize("text", ["x" * 10_000, "word " * 2_000, SAMPLES["plain"]])
def test_plain_text_is_about_a_quarter_of_its_characters(text: str) -> None:
    """CX-02: within 20 % of chars/4; 10 000 -> 2500."""
    assert abs(estimate(text) / (len(text) / 4) - 1) <= 0.20


TEXTS = SAMPLES | SCRIPTS

#: Tokens of these texts as Qwen 2.5's own tokenizer counts them: llama.cpp's `/tokenize` told them.
RECORDED: dict[str, int] = json.loads(
    Path(__file__).with_name("recorded_tokens.json").read_text()
)
#: Texts that older vocabularies cut into up to three times as many tokens: no estimate can be near both,
#: and a prompt that is too long loses its beginning, where one that only seems so costs a larger model.
#: With how often the estimate may be what Qwen counts.
APART = {"simplified": 1.4, "emoji": 1.5, "hebrew": 1.8, "arabic": 2.1, "thai": 2.4}


@pytest.mark.parametrize("name", TEXTS)
def test_it_is_never_thirty_percent_below_a_tokenizer_in_use(name: str) -> None:
    """CX-02: the dangerous side is below; p50k, out of use, knows no script but Latin."""
    text = TEXTS[name]
    for tokenizer, count in tokenizers().items():
        if tokenizer == "p50k":
            assert not text.isascii() or estimate(text) >= 0.6 * count(text)
        else:
            assert estimate(text) >= 0.7 * count(text), tokenizer


@pytest.mark.parametrize("name", sorted(RECORDED.keys() - APART.keys()))
def test_it_is_within_thirty_percent_of_a_small_models_tokenizer(name: str) -> None:
    """CX-02: for Chinese, Japanese, Korean and Russian too, whatever a script's bytes are."""
    assert 0.7 <= estimate(TEXTS[name]) / RECORDED[name] <= 1.3


@pytest.mark.parametrize(("name", "most"), APART.items())
def test_what_cannot_be_near_is_nearer_than_by_bytes(name: str, most: float) -> None:
    """CX-02"""
    by_bytes = 0.55 * len(TEXTS[name].encode())
    assert estimate(TEXTS[name]) <= min(most * RECORDED[name], by_bytes)


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
