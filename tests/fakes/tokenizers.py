"""Real tokenizers to compare with: those that come inside litellm, which DSPy requires."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Callable
from functools import cache
from pathlib import Path

Count = Callable[[str], int]


@cache
def tokenizers() -> dict[str, Count]:
    """By name: what counts the tokens of a text. Nothing is fetched."""
    spec = importlib.util.find_spec("litellm")
    assert spec is not None
    assert spec.submodule_search_locations
    folder = Path(
        spec.submodule_search_locations[0], "litellm_core_utils", "tokenizers"
    )
    os.environ["TIKTOKEN_CACHE_DIR"] = str(folder)
    import tiktoken
    from tokenizers import Tokenizer

    counts: dict[str, Count] = {
        name: _tiktoken(tiktoken.get_encoding(f"{name}_base"))
        for name in ("cl100k", "o200k", "p50k")
    }
    anthropic = Tokenizer.from_file(str(folder / "anthropic_tokenizer.json"))
    counts["anthropic"] = lambda text: len(anthropic.encode(text).ids)
    return counts


def _tiktoken(encoding: object) -> Count:
    return lambda text: len(encoding.encode(text, disallowed_special=()))  # type: ignore[attr-defined]
