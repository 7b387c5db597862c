"""Every configuration that the documentation shows is one that the daemon takes."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from penstock.llm.models import open_models
from penstock.words.config_sources import load_config

DOCUMENT = Path(__file__).parent.parent / "docs" / "models.md"
EXAMPLES = re.findall(
    r"^```toml\n(.*?)^```", DOCUMENT.read_text(), re.MULTILINE | re.DOTALL
)


@pytest.mark.parametrize("text", EXAMPLES, ids=range(len(EXAMPLES)))
async def test_an_example_is_a_valid_configuration(tmp_path: Path, text: str) -> None:
    file = tmp_path / "config.toml"
    file.write_text(text)
    config, _ = load_config({}, None, file)
    keys = {"OPENROUTER_API_KEY": "a key"}
    async with open_models(config.models, keys) as chain:
        if "[programs]" in text:
            assert chain is None
        elif "chain" in text:
            assert chain is not None
            known = {*config.models.windows, "mistral:7b", "qwen3:8b"}
            assert {window.model for window in chain.windows()} <= known
        else:
            assert config.models.tree_budget.tokens == 1_000_000


def test_there_is_one_example_for_each_server() -> None:
    text = "\n".join(EXAMPLES)
    assert len(EXAMPLES) == 8
    for word in ("ollama", ":8080/v1", ":8000/v1", "openrouter.ai"):
        assert word in text
