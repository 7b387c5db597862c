"""CL-01 QA-08: settings and manifests that no library takes well are refused in words, at once."""

from __future__ import annotations

from pathlib import Path

import pytest

from penstock.words.config_sources import load_config
from penstock.words.errors import StartRefused
from penstock.words.toml_text import parse_toml

SHAPES = {
    "arrays": "a = " + "[" * 100_000,
    "tables": "a = " + "{a=" * 50_000,
    "a dotted key": "a." * 200_000 + "a = 1",
    "a dotted table": "[" + "a." * 200_000 + "a]",
}


@pytest.mark.parametrize("shape", SHAPES)
def test_what_is_nested_without_end_is_refused(shape: str) -> None:
    """The library recurses into the one, and looks at all parts of the other again for each."""
    with pytest.raises(ValueError, match="too"):
        parse_toml(SHAPES[shape])


def test_what_people_write_is_read() -> None:
    text = "[a.b.c]\nd.e = [[1, [2]], {f = 'x'}]\n"
    assert parse_toml(text) == {"a": {"b": {"c": {"d": {"e": [[1, [2]], {"f": "x"}]}}}}}


@pytest.mark.parametrize("shape", SHAPES)
def test_a_config_file_of_such_is_a_sentence(tmp_path: Path, shape: str) -> None:
    file = tmp_path / "config.toml"
    file.write_text(SHAPES[shape])
    with pytest.raises(StartRefused, match=r"cannot be read: .* too"):
        load_config({"PENSTOCK_CONFIG": str(file)})
