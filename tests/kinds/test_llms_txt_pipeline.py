"""ML-01 to ML-04: the kind `llms-txt`, whole, on small trees of this machine."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import pytest
import trio
from llms_txt import parse_llms_file  # type: ignore[import-untyped]

from fakes.pipeline_run import FakeRun
from penstock.kinds.llms_txt.pipeline import KIND, LlmsTxtOutput
from penstock.words.config import Config
from penstock.words.errors import NotAvailable, SourceUnusable
from penstock.words.events import Fact, Milestone, Progress

if TYPE_CHECKING:
    from penstock.pipeline import Run

MILESTONES = [
    "repo_fetched",
    "analysis_started",
    "analysis_completed",
    "render_completed",
]
FILES = {
    "README.md": "# Thing\n\nThing does what things do. It is small.\n",
    "pyproject.toml": '[project]\nname = "thing"\ndescription = "Do [things](x)"\n',
    "src/thing/__init__.py": '"""Do things, ümlauts too."""\n',
    "src/thing/core.py": "class Thing: ...\n" * 200,
    "docs/guide (old).md": "# Guide ](x\n\nHow to do things with it.\n",
    "tests/test_thing.py": "raise SystemExit('must never run')\n",
}


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    root = tmp_path / "tree"
    for path, text in FILES.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text)
    (root / "logo.png").write_bytes(b"\x89PNG\0\0")
    return root


async def _run(run: FakeRun, source: Path | str, **inputs: Any) -> LlmsTxtOutput:
    parsed = KIND.parse({"source": str(source), **inputs})
    with trio.fail_after(30):
        output = await KIND.pipeline(cast("Run", run), parsed)
    assert isinstance(output, LlmsTxtOutput)
    return output


def _contents(folder: Path) -> dict[str, bytes]:
    return {
        str(file.relative_to(folder)): file.read_bytes()
        for file in sorted(folder.rglob("*"))
        if file.is_file()
    }


async def test_a_tree_becomes_two_files(tree: Path, tmp_path: Path) -> None:
    """ML-01 ML-04 Milestones in order; the files parse; the output tells sizes and counts."""
    run = FakeRun(tmp_path / "runs", KIND.milestones)
    out = tmp_path / "out"
    output = await _run(run, tree, out=str(out))
    assert run.names() == MILESTONES
    text = (out / "llms.txt").read_text()
    read = parse_llms_file(text)
    assert (read.title, read.summary) == ("thing", "Do things")
    assert sum(len(links) for links in read.sections.values()) == output.links == 6
    assert [link.url for link in read.sections["Docs"]] == [
        "README.md",
        "docs/guide%20%28old%29.md",
    ]
    assert read.sections["Code"][0].desc == "Do things, ümlauts too."
    assert output.model_dump() == {
        "title": "thing",
        "llms_txt": str(out / "llms.txt"),
        "llms_txt_bytes": (out / "llms.txt").stat().st_size,
        "llms_full": str(out / "llms-full.txt"),
        "llms_full_bytes": (out / "llms-full.txt").stat().st_size,
        "links": 6,
        "files": 7,
        "quoted": 4,
    }
    assert sorted(os.listdir(out)) == ["llms-full.txt", "llms.txt"]


@pytest.mark.parametrize("hold", [0, 37, 10**9])
async def test_partials_joined_are_the_artifact_and_the_file(
    tree: Path, tmp_path: Path, hold: int
) -> None:
    """ML-04 However the text is throttled, and complete only once the file is in place."""
    run = FakeRun(tmp_path / "runs", KIND.milestones, hold=hold)
    out = tmp_path / "out"
    await _run(run, tree, out=str(out))
    for name in ("llms.txt", "llms-full.txt"):
        data = (out / name).read_bytes()
        assert run.text_of(name).encode() == data
        (completed,) = run.completed(name)
        assert (completed.size, completed.path) == (len(data), str(out / name))
        assert completed.sha256 == hashlib.sha256(data).hexdigest()


async def test_the_same_tree_gives_the_same_facts_and_bytes(
    tree: Path, tmp_path: Path
) -> None:
    """ML-02 ML-03 Run into the tree itself, twice: the first result is not part of the second."""
    first, second = (FakeRun(tmp_path / "runs", KIND.milestones) for _ in range(2))
    await _run(first, tree, out=str(tree))
    after_first = _contents(tree)
    await _run(second, tree, out=str(tree))
    assert _contents(tree) == after_first
    assert first.facts == second.facts


async def test_nothing_is_written_but_in_the_output_folder(
    tree: Path, tmp_path: Path
) -> None:
    """ML-03 The source stays as it was; no code of it ran."""
    before = _contents(tree)
    run = FakeRun(tmp_path / "runs", KIND.milestones)
    await _run(run, tree, out=str(tmp_path / "out"))
    assert _contents(tree) == before
    assert sorted(os.listdir(tmp_path)) == ["out", "tree"]


async def test_without_an_output_folder_the_workspace_is_used(
    tree: Path, tmp_path: Path
) -> None:
    """ML-04 `out` null."""
    run = FakeRun(tmp_path / "runs", KIND.milestones)
    output = await _run(run, tree)
    assert output.llms_txt == str(tmp_path / "runs" / "run-1" / "llms.txt")


async def test_links_stand_behind_a_base_url(tree: Path, tmp_path: Path) -> None:
    """ML-04 Absolute links when an address is known."""
    run = FakeRun(tmp_path / "runs", KIND.milestones)
    await _run(
        run,
        tree,
        out=str(tmp_path),
        base_url="https://example.org/blob/HEAD",
        name="Other",
    )
    text = (tmp_path / "llms.txt").read_text()
    assert text.startswith("# Other\n")
    assert "(https://example.org/blob/HEAD/src/thing/core.py)" in text


async def test_the_byte_cap_comes_from_the_config(tree: Path, tmp_path: Path) -> None:
    """ML-04 Beyond `llms_full_bytes` files are named and not quoted."""
    run = FakeRun(
        tmp_path / "runs", KIND.milestones, config=Config(llms_full_bytes=800)
    )
    output = await _run(run, tree, out=str(tmp_path))
    text = (tmp_path / "llms-full.txt").read_text()
    assert output.llms_full_bytes == len(text.encode()) <= 800
    assert "## README.md" in text
    assert text.endswith("## Not quoted\n\n- src/thing/core.py\n")


async def test_progress_grows_within_each_part(tree: Path, tmp_path: Path) -> None:
    """ML-01 A person sees what is being done and how much of it is."""
    run = FakeRun(tmp_path / "runs", KIND.milestones)
    await _run(run, tree, out=str(tmp_path))
    told = [
        (fact.step, fact.fraction) for fact in run.facts if isinstance(fact, Progress)
    ]
    for step in ("analyse", "render"):
        fractions = [
            fraction for name, fraction in told if name == step and fraction is not None
        ]
        assert fractions == sorted(fractions)
        assert fractions[-1] == 1.0


@pytest.mark.parametrize("case", ["empty", "absent", "a file"])
async def test_a_source_without_files_fails_with_a_sentence(
    tmp_path: Path, case: str
) -> None:
    """ML-04 Nothing is written."""
    source = tmp_path / "source"
    if case == "empty":
        (source / "__pycache__").mkdir(parents=True)
    if case == "a file":
        source.write_text("x")
    run = FakeRun(tmp_path / "runs", KIND.milestones)
    match = "has no files to describe" if case == "empty" else "is not a folder"
    with pytest.raises(SourceUnusable, match=match):
        await _run(run, source, out=str(tmp_path / "out"))
    assert run.names() == []
    assert not (tmp_path / "out").exists()


async def test_an_output_folder_that_is_a_file_fails_with_a_sentence(
    tree: Path, tmp_path: Path
) -> None:
    """ML-04 The artifact is not called complete."""
    (tmp_path / "out").write_text("x")
    run = FakeRun(tmp_path / "runs", KIND.milestones)
    with pytest.raises(NotAvailable, match=r"llms\.txt cannot be written"):
        await _run(run, tree, out=str(tmp_path / "out"))
    assert run.completed("llms.txt") == []


@dataclass
class CancelledAtFact(FakeRun):
    """Is cancelled while its nth fact is recorded."""

    nth: int = 0
    scope: trio.CancelScope | None = None

    async def emit(self, event: Fact) -> None:
        if len(self.facts) >= self.nth and self.scope is not None:
            self.scope.cancel(reason="user")
        await super().emit(event)


async def test_a_cancel_at_any_fact_leaves_whole_files_or_none(
    tree: Path, tmp_path: Path
) -> None:
    """ML-04 QA-10 At every fact once: nothing unfinished in place or beside it."""
    whole = FakeRun(tmp_path / "runs", KIND.milestones)
    await _run(whole, tree, out=str(tmp_path / "whole"))
    expected = _contents(tmp_path / "whole")
    for nth in range(len(whole.facts) + 1):
        out = tmp_path / f"out-{nth}"
        with trio.fail_after(30), trio.CancelScope() as scope:
            run = CancelledAtFact(
                tmp_path / "runs", KIND.milestones, nth=nth, scope=scope
            )
            await _run(run, tree, out=str(out))
        found = _contents(out)
        assert found.items() <= expected.items()
        for name in ("llms.txt", "llms-full.txt"):
            assert not run.completed(name) or name in found
        assert scope.cancelled_caught == (nth < len(whole.facts))


@dataclass
class DiesWhileStreaming(FakeRun):
    """Recording fails once some text of the second file is written: the store is gone."""

    async def progress(self, step: str, fraction: float | None = None) -> None:
        if step == "render":
            raise ZeroDivisionError
        await super().progress(step, fraction)


async def test_a_failure_while_streaming_keeps_the_old_file(
    tree: Path, tmp_path: Path
) -> None:
    """ML-04 The file in place is the old one, and no artifact is called complete."""
    out = tmp_path / "out"
    out.mkdir()
    (out / "llms-full.txt").write_text("old")
    run = DiesWhileStreaming(tmp_path / "runs", KIND.milestones)
    with pytest.raises(ZeroDivisionError):
        await _run(run, tree, out=str(out))
    assert (out / "llms-full.txt").read_text() == "old"
    assert sorted(os.listdir(out)) == ["llms-full.txt", "llms.txt"]
    assert run.text_of("llms-full.txt").startswith("# thing\n")
    assert run.completed("llms-full.txt") == []
    assert "render_completed" not in run.names()


async def test_milestones_carry_json(tree: Path, tmp_path: Path) -> None:
    """ML-01 Metadata is JSON and says how much there is."""
    run = FakeRun(tmp_path / "runs", KIND.milestones)
    await _run(run, tree, out=str(tmp_path))
    said = {
        fact.name: fact.metadata for fact in run.facts if isinstance(fact, Milestone)
    }
    assert said["repo_fetched"] == {"files": 7, "cut": False}
    assert said["analysis_completed"] == {
        "links": 6,
        "sections": {"Docs": 2, "Code": 2, "Optional": 2},
    }
    assert KIND.milestones == {*MILESTONES, "model_described", "model_failed"}
    assert KIND.on_restart == "requeue"
