"""Design 6: kinds are found by entry point; a broken plug-in is told and left out."""

from __future__ import annotations

import ast
import json
import logging
import os
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Callable, Mapping
from importlib.metadata import EntryPoint
from pathlib import Path
from types import ModuleType

import pytest

import penstock.pipeline
import penstock.testing
from fakes.real_daemon import RealDaemon
from penstock.kinds.llms_txt.pipeline import KIND
from penstock.kinds.registry import GROUP, load_kinds

THIRD_PARTY = Path(__file__).parent / "thirdparty"
DOCUMENT = Path(__file__).parents[2] / "docs" / "pipelines.md"


def _entry(name: str, value: str) -> EntryPoint:
    return EntryPoint(name, value, GROUP)


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """A folder in which the third party's package is installed, as its wheel would be."""
    return _install(THIRD_PARTY, tmp_path / "site-packages")


def _install(project: Path, site: Path) -> Path:
    """What an installer leaves of a project's wheel."""
    about = tomllib.loads((project / "pyproject.toml").read_text())["project"]
    name, version = about["name"], about["version"]
    info = site / f"{name.replace('-', '_')}-{version}.dist-info"
    info.mkdir(parents=True)
    metadata = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
    (info / "METADATA").write_text(metadata)
    points = [
        line
        for group, entries in about["entry-points"].items()
        for line in (f"[{group}]", *(f"{k} = {v}" for k, v in entries.items()))
    ]
    (info / "entry_points.txt").write_text("\n".join(points) + "\n")
    for module in project.glob("[!t]*.py"):
        shutil.copy(module, site)
    return site


def _penstock(environ: Mapping[str, str], *words: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "penstock.cli.main", *words],
        env=environ, capture_output=True, timeout=60, text=True, check=True,
    )  # fmt: skip
    return done.stdout


def test_a_third_party_kind_is_found_by_the_daemon_and_runs(
    site: Path, start_daemon: Callable[..., RealDaemon]
) -> None:
    """WF The ten lines of docs/pipelines.md, and a kind that uses most of what a run offers."""
    daemon = start_daemon(PYTHONPATH=str(site))
    _penstock(daemon.environ, "run", "greet", "--name", "you", "--id", "g")
    _penstock(
        daemon.environ, "run", "errand", "--tool", "echo", "--to", "you", "--id", "e"
    )
    told = {
        run_id: json.loads(_penstock(daemon.environ, "show", run_id, "--json"))
        for run_id in ("g", "e")
    }
    assert told["g"]["result"] == {"text": "Hello, you"}
    assert told["e"]["result"] == {"said": "you", "greeted": ["you"]}


@pytest.mark.processes
def test_the_tests_of_a_third_party_pass_where_it_is_installed(
    site: Path, tmp_path: Path
) -> None:
    """WF penstock.testing is all that the author of a plug-in needs."""
    for test in THIRD_PARTY.glob("test_*.py"):
        shutil.copy(test, tmp_path)
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-o", "trio_mode=true"],
        env={**os.environ, "PYTHONPATH": str(site)}, cwd=tmp_path,
        capture_output=True, timeout=120, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout
    assert "6 passed" in done.stdout


def _shown() -> list[str]:
    """The Python that docs/pipelines.md shows."""
    return re.findall(r"```python\n(.*?)```", DOCUMENT.read_text(), re.DOTALL)


def _code(file: str) -> str:
    return (THIRD_PARTY / file).read_text().split("\n\n", 1)[1]


def test_the_document_shows_what_is_tested() -> None:
    """WF The kind and its test in the document are the code of the package."""
    assert _shown() == [_code("greet.py"), _code("test_greet.py")]


def _imported(source: str) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found.add(node.module or "")
    return {name for name in found if name.partition(".")[0] == "penstock"}


def test_plugins_import_the_public_face_and_nothing_else() -> None:
    """WF An outside package, and what the document shows."""
    sources = [*_shown(), *(path.read_text() for path in THIRD_PARTY.glob("*.py"))]
    assert set().union(*map(_imported, sources)) == {
        "penstock.pipeline",
        "penstock.testing",
    }


@pytest.mark.parametrize("face", [penstock.pipeline, penstock.testing])
def test_the_document_names_all_of_the_public_face(face: ModuleType) -> None:
    """WF What is public is documented."""
    words = set(re.findall(r"\w+", DOCUMENT.read_text()))
    assert set(face.__all__) - words == set()


BROKEN = {
    "gone": "no_such_module:KIND",
    "no_attribute": "penstock.pipeline:NOTHING",
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
