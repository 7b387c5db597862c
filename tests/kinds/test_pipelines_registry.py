"""Design 6: kinds are found by entry point; a broken plug-in is told and left out."""

from __future__ import annotations

import logging
import re
import sys
from importlib.metadata import EntryPoint, distributions
from pathlib import Path

import pytest

from fakes.kind_runs import run_kind
from penstock.kinds.llms_txt.pipeline import KIND
from penstock.kinds.registry import GROUP, load_kinds

THIRD_PARTY = Path(__file__).parent / "thirdparty"


def _entry(name: str, value: str) -> EntryPoint:
    return EntryPoint(name, value, GROUP)


async def test_a_third_party_pipeline_is_found_and_runs(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """WF The ten lines of docs/pipelines.md, found by the entry point of an installed package."""
    monkeypatch.syspath_prepend(str(THIRD_PARTY))
    found = [
        entry
        for distribution in distributions(path=[str(THIRD_PARTY)])
        for entry in distribution.entry_points.select(group=GROUP)
    ]
    kind = load_kinds(found)["greet"]
    assert load_kinds()["greet"] is kind
    ended = await run_kind(kind, {"name": "you"}, tmp_path)
    assert ended.view.result == {"text": "Hello, you"}
    assert ended.names() == ["greeted"]
    sys.modules.pop("greet")


def test_the_document_shows_the_pipeline_that_is_tested() -> None:
    """WF The text in the document is the code of the package."""
    document = (Path(__file__).parents[2] / "docs" / "pipelines.md").read_text()
    shown = re.search(r"```python\n(.*?)```", document, re.DOTALL)
    assert shown is not None
    code = (THIRD_PARTY / "greet.py").read_text()
    assert code.split("\n\n", 1)[1] == shown[1]


BROKEN = {
    "gone": "no_such_module:KIND",
    "no_attribute": "penstock.runs.run:NOTHING",
    "no_kind": "penstock.words.config:MIB",
    "raises": "raising_plugin:KIND",
    "exits": "exiting_plugin:KIND",
}


def test_a_broken_plugin_is_told_and_left_out(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """WF One broken package does not keep the daemon from starting."""
    (tmp_path / "raising_plugin.py").write_text("raise ZeroDivisionError('inside')\n")
    (tmp_path / "exiting_plugin.py").write_text("raise SystemExit(3)\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    good = _entry("llms-txt", "penstock.kinds.llms_txt.pipeline:KIND")
    entries = [_entry(name, value) for name, value in BROKEN.items()]
    with caplog.at_level(logging.ERROR):
        assert load_kinds([*entries, good]) == {"llms-txt": KIND}
    told = [record.getMessage() for record in caplog.records]
    assert len(told) == len(BROKEN)
    assert all(any(value in line for line in told) for value in BROKEN.values())


def test_a_plugin_cannot_replace_a_kind_of_the_daemon(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """WF The daemon's own kind wins, and the log says so."""
    (tmp_path / "usurper_plugin.py").write_text(
        "import dataclasses\nfrom penstock.kinds.llms_txt.pipeline import KIND\n"
        "KIND = dataclasses.replace(KIND, summary='mine')\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    good = _entry("llms-txt", "penstock.kinds.llms_txt.pipeline:KIND")
    with caplog.at_level(logging.ERROR):
        assert (
            load_kinds([_entry("a", "usurper_plugin:KIND"), good])["llms-txt"] is KIND
        )
    assert "usurper_plugin" in caplog.text
