"""Whether a model's words about a text are of that text, or its own. Pure: words in, verdict out.

What a model makes up is mostly a plausible thing that the file does not have. So each name that it uses
must stand in what it was told of, and of its other words at least half, however they are inflected;
words that would fit any file count for nothing.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

#: Characters of a text that are looked through.
LOOKED_THROUGH = 16 * 1024
#: Of a model's own words, the part that must be those of the text.
_LEAST_SHARE = 0.5
# Letters by which an inflected word is still known.
_STEM = 5
_SHORTEST = 4

_WORD = re.compile(r"[^\W_]+(?:[_.-][^\W_]+)*")
# `snake_case`, `camelCase`, `CamelCase`, `UPPER`, `v2`: what only names look like.
_NAME = re.compile(r"\w*(_|[a-z][A-Z]|[A-Z]{3}|\d)\w*")
_PARTS = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[^\W\d_A-Z]+")
_ANY_FILE = frozenset(
    {
        "about", "above", "also", "available", "based", "basic", "between", "both", "call", "called", "calls",
        "code", "common", "commonly", "contain", "contained", "containing", "contains", "core", "create",
        "created", "creates", "creating", "data", "define", "defined", "defines", "defining", "definition",
        "definitions", "describe", "described", "describes", "description", "different", "done", "each",
        "entry", "example", "examples", "feature", "features", "file", "files", "following", "from", "function",
        "functionality", "functions", "general", "handle", "handled", "handles", "handling", "have", "helper",
        "helpers", "implement", "implementation", "implements", "including", "into", "its", "like", "main",
        "make", "makes", "making", "manage", "managed", "manages", "managing", "many", "method", "methods",
        "module", "modules", "more", "most", "multiple", "object", "objects", "only", "other", "over",
        "overview", "package", "part", "parts", "perform", "performs", "point", "project", "provide",
        "provided", "provides", "providing", "purpose", "related", "set", "should", "simple", "some", "source",
        "specific", "such", "support", "supported", "supports", "than", "that", "their", "them", "these",
        "they", "this", "those", "through", "tool", "tools", "type", "types", "used", "user", "users", "using",
        "utilities", "utility", "value", "values", "various", "what", "when", "where", "which", "while", "with",
        "within", "work", "works", "your",
    }
)  # fmt: skip


def is_grounded(said: str, told_of: Iterable[str]) -> bool:
    """Whether `said` is about these texts, by its words; it is not, if it says nothing of its own."""
    text = "\n".join(one[:LOOKED_THROUGH] for one in told_of)
    lower = text.casefold()
    words = [word for word in _WORD.findall(said) if word.casefold() not in _ANY_FILE]
    if any(_NAME.fullmatch(word) and word.casefold() not in lower for word in words):
        return False
    known = _stems(text)
    own = [stem for word in words for stem in _stems(word)]
    return bool(own) and sum(stem in known for stem in own) >= len(own) * _LEAST_SHARE


def _stems(text: str) -> set[str]:
    """The words of a text, those inside names too, by their first letters."""
    parts = (part.casefold() for part in _PARTS.findall(text))
    return {
        part[:_STEM]
        for part in parts
        if len(part) >= _SHORTEST and part not in _ANY_FILE
    }
