"""How many tokens a text is, without a tokenizer.

Every model family cuts text differently and few let us know how, so we count what makes tokens:
letters come about four to a token, digits and punctuation nearly alone, and what is not ASCII by
its script. The weights are fitted to be within 30 % of a small model's tokenizer (Qwen 2.5's recorded
counts), and never 30 % below the others that we can compare with (bench/tokens.py prints the table): where
both cannot be, as for emoji and Thai, the second holds. What a provider reports corrects them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from penstock.llm.chat import Message

# Prose has about four letters to a token, the spaces between words included.
_LETTER = 0.25
# Old vocabularies know single digits only, new ones groups of three.
_DIGIT = 0.6
_PUNCTUATION = 0.65
# A line's end and the indent behind it are one token, or part of one.
_GAP = 0.8
# Scripts that a vocabulary knows badly fall apart into bytes.
_WIDE_BYTE = 0.53
# Tokens of a character, by script: how well vocabularies of today know it.
_SCRIPTS = (
    # Han; kana; their punctuation.
    (re.compile("[\u3400-\u9fff\uf900-\ufaff]"), 1.02),
    (re.compile("[\u3040-\u30ff]"), 0.8),
    (re.compile("[\u3000-\u303f\uff00-\uffef]"), 0.1),
    # Hangul.
    (re.compile("[\u1100-\u11ff\uac00-\ud7af]"), 1.05),
    # Cyrillic.
    (re.compile("[\u0400-\u052f]"), 0.44),
    # Hebrew and Arabic.
    (re.compile("[\u0590-\u06ff]"), 0.78),
    # Greek and Devanagari.
    (re.compile("[\u0370-\u03ff\u0900-\u097f]"), 1.1),
    # Thai.
    (re.compile("[\u0e00-\u0e7f]"), 1.3),
    # Dashes, quotes, arrows, boxes.
    (re.compile("[\u2000-\u2bff]"), 0.9),
    # Letters of Latin with marks: the words around them are longer in tokens than English ones, too.
    (re.compile("[\u0080-\u024f]"), 1.6),
)
# Where case or kind changes inside a word, words of code and encoded data fall apart.
_SEAM = 0.6

_DIGITS = re.compile(r"[0-9]")
_PUNCTUATIONS = re.compile(r"[!-/:-@\[-`{-~]")
# A run of blanks is looked through from its beginning only, and what was taken is not given back.
_GAPS = re.compile(r"(?<![^\S\n])[^\S\n]*+\n\s*+|[ \t]{2,}+")
_SEAMS = re.compile(r"[a-z](?=[A-Z0-9])|[0-9](?=[A-Za-z])|[A-Z](?=[0-9])")
_WIDES = re.compile(r"[^\x00-\x7f]")

#: Tokens that a chat format adds around each message.
PER_MESSAGE = 5

#: A report further off than this is no count of the same text: a provider that had part of the
#: prompt in its cache counts only the rest.
_BELIEVABLE = (0.4, 4.0)
#: Reports make the estimate no smaller than this: too large costs a larger model, too small a prompt
#: whose beginning is lost.
_SMALLEST_RATIO = 0.6
#: Weight of the newest report: one odd prompt must not spoil the estimate.
_NEWEST = 0.3


def estimate(text: str) -> int:
    """Tokens of `text`, rounded up."""
    characters = len(text)
    wide = 0.0
    if not text.isascii():
        wides = _WIDES.findall(text)
        characters -= len(wides)
        wide = _estimate_wide("".join(wides))
    digits = len(_DIGITS.findall(text))
    punctuation = len(_PUNCTUATIONS.findall(text))
    gaps = _GAPS.findall(text)
    letters = max(0, characters - digits - punctuation - sum(map(len, gaps)))
    tokens = (
        _LETTER * letters
        + _DIGIT * digits
        + _PUNCTUATION * punctuation
        + _GAP * len(gaps)
        + wide
        + _SEAM * len(_SEAMS.findall(text))
    )
    return -int(-tokens // 1)


def _estimate_wide(text: str) -> float:
    """Tokens of characters none of which is ASCII."""
    tokens = 0.0
    for script, weight in _SCRIPTS:
        rest = script.sub("", text)
        tokens += weight * (len(text) - len(rest))
        text = rest
    return tokens + _WIDE_BYTE * len(text.encode("utf-8", "surrogatepass"))


def estimate_messages(messages: Iterable[Message]) -> int:
    """Tokens of a whole prompt, the chat format included."""
    return sum(estimate(message.content) + PER_MESSAGE for message in messages)


@dataclass(frozen=True, slots=True)
class Calibration:
    """What one model's reports say of our estimates."""

    #: Reported tokens per estimated one.
    ratio: float = 1.0
    reports: int = 0

    def apply(self, estimated: int) -> int:
        """The estimate, corrected and rounded up."""
        return -int(-estimated * self.ratio // 1)

    def learn(self, estimated: int, reported: int | None) -> Calibration:
        """With one more report; an unbelievable one changes nothing."""
        if not reported or estimated <= 0:
            return self
        ratio = reported / estimated
        if not _BELIEVABLE[0] <= ratio <= _BELIEVABLE[1]:
            return self
        # The first report counts whole, so that the second request is routed well already.
        weight = _NEWEST if self.reports else 1.0
        ratio = self.ratio + weight * (ratio - self.ratio)
        return Calibration(max(_SMALLEST_RATIO, ratio), self.reports + 1)
