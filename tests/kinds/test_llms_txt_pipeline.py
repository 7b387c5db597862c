"""ML-01 to ML-04: the kind `llms-txt`, whole, on small trees of this machine."""

from __future__ import annotations

import hashlib
import os
import re
from pathlib import Path
from typing import Any

import pytest
import trio
from llms_txt import parse_llms_file  # type: ignore[import-untyped]

from fakes.kind_runs import (
    Ended,
    RunWithFault,
    ended,
    open_kinds,
    run_in,
    run_kind,
    with_fault,
)
from penstock.kinds.llms_txt.pipeline import KIND
from penstock.pipeline import estimate_tokens
from penstock.words.events import Log, Milestone, Progress

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


async def _run(
    tmp_path: Path,
    source: Path | str,
    *,
    settings: dict[str, Any] | None = None,
    **inputs: Any,
) -> Ended:
    inputs["source"] = str(source)
    return await run_kind(KIND, inputs, tmp_path / "runs", **(settings or {}))


def _result(run: Ended) -> dict[str, Any]:
    assert run.view.state == "completed", run.view.error
    return dict(run.view.result or {})


def _contents(folder: Path) -> dict[str, bytes]:
    return {
        str(file.relative_to(folder)): file.read_bytes()
        for file in sorted(folder.rglob("*"))
        if file.is_file()
    }


async def test_a_tree_becomes_two_files(tree: Path, tmp_path: Path) -> None:
    """ML-01 ML-04 Milestones in order; the files parse; the output tells sizes and counts."""
    out = tmp_path / "out"
    run = await _run(tmp_path, tree, out=str(out))
    output = _result(run)
    assert run.names() == MILESTONES
    text = (out / "llms.txt").read_text()
    read = parse_llms_file(text)
    assert (read.title, read.summary) == ("thing", "Do things")
    assert sum(len(links) for links in read.sections.values()) == output["links"] == 6
    assert [link.url for link in read.sections["Docs"]] == [
        "README.md",
        "docs/guide%20%28old%29.md",
    ]
    assert read.sections["Code"][0].desc == "Do things, ümlauts too."
    full = (out / "llms-full.txt").read_text()
    assert output == {
        "title": "thing",
        "llms_txt": str(out / "llms.txt"),
        "llms_txt_bytes": (out / "llms.txt").stat().st_size,
        "llms_txt_tokens": estimate_tokens(text),
        "llms_full": str(out / "llms-full.txt"),
        "llms_full_bytes": (out / "llms-full.txt").stat().st_size,
        "llms_full_tokens": pytest.approx(estimate_tokens(full), abs=5),
        "llms_ctx": None,
        "llms_ctx_bytes": 0,
        "llms_ctx_tokens": 0,
        "links": 6,
        "files": 7,
        "quoted": 4,
        "not_quoted": 0,
        "added": 0,
        "removed": 0,
    }
    told = run.of(Log)[-1].text or ""
    assert f"about {output['llms_full_tokens']:,} tokens, 4 files whole" in told
    assert sorted(os.listdir(out)) == ["llms-full.txt", "llms.txt"]


@pytest.mark.parametrize("held", [200, 10**6])
async def test_partials_joined_are_the_artifact_and_the_file(
    tree: Path, tmp_path: Path, held: int
) -> None:
    """ML-04 However the text is throttled, and complete only once the file is in place."""
    out = tmp_path / "out"
    settings = {"throttle_bytes": held, "throttle_seconds": 0.001}
    run = await _run(tmp_path, tree, settings=settings, out=str(out))
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
    first = await _run(tmp_path, tree, out=str(tree))
    after_first = _contents(tree)
    second = await _run(tmp_path, tree, out=str(tree))
    assert _contents(tree) == after_first
    assert first.view.state == "completed"
    assert first.events == second.events


async def test_nothing_is_written_but_in_the_output_folder(
    tree: Path, tmp_path: Path
) -> None:
    """ML-03 The source stays as it was; no code of it ran."""
    before = _contents(tree)
    _result(await _run(tmp_path, tree, out=str(tmp_path / "out")))
    assert _contents(tree) == before
    assert sorted(os.listdir(tmp_path)) == ["out", "tree"]


async def test_without_an_output_folder_the_command_that_prints_is_told(
    tree: Path, tmp_path: Path
) -> None:
    """ML-04 A path in the workspace would be gone with the run."""
    run = await _run(tmp_path, tree)
    output = _result(run)
    assert output["llms_txt"] == "penstock artifacts run-1 llms.txt"
    assert output["llms_full"] == "penstock artifacts run-1 llms-full.txt"
    (completed,) = run.completed("llms.txt")
    assert (completed.size, completed.path) == (output["llms_txt_bytes"], None)
    assert run.text_of("llms.txt").startswith("# thing\n")
    assert not (tmp_path / "runs" / "run-1" / "llms.txt").exists()


async def test_the_context_has_the_listed_files_whole(
    tree: Path, tmp_path: Path
) -> None:
    """ML-04 In the form of llms_txt2ctx: a project, its sections, a doc a file; nothing optional."""
    output = _result(await _run(tmp_path, tree, out=str(tmp_path), ctx=True))
    text = (tmp_path / "llms-ctx.txt").read_text()
    assert output["llms_ctx"] == str(tmp_path / "llms-ctx.txt")
    assert output["llms_ctx_bytes"] == len(text.encode())
    assert text.startswith('<project title="thing" summary="Do things">\n')
    assert re.findall(r"^</?\w+", text, re.MULTILINE) == [
        "<project",
        *("<docs", "<doc", "</doc", "<doc", "</doc", "</docs"),
        *("<code", "<doc", "</doc", "<doc", "</doc", "</code"),
        "</project",
    ]
    assert FILES["src/thing/core.py"] in text


async def test_documents_are_quoted_before_code_up_to_the_tokens(
    tree: Path, tmp_path: Path
) -> None:
    """ML-04 What is cut is told, and counted in the result."""
    run = await _run(tmp_path, tree, out=str(tmp_path), max_tokens=250)
    output = _result(run)
    text = (tmp_path / "llms-full.txt").read_text()
    assert output["llms_full_tokens"] <= 250
    assert (output["quoted"], output["not_quoted"]) == (3, 1)
    assert text.endswith("## Not quoted\n\n- src/thing/core.py\n")
    assert "1 for which there is no room" in (run.of(Log)[-1].text or "")


async def test_links_stand_behind_a_base_url(tree: Path, tmp_path: Path) -> None:
    """ML-04 Absolute links when an address is known."""
    await _run(
        tmp_path,
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
    settings = {"llms_full_bytes": 800}
    output = _result(await _run(tmp_path, tree, settings=settings, out=str(tmp_path)))
    text = (tmp_path / "llms-full.txt").read_text()
    assert output["llms_full_bytes"] == len(text.encode()) <= 800
    assert "## README.md" in text
    assert text.endswith("## Not quoted\n\n- src/thing/core.py\n")


async def test_progress_grows_within_each_part(tree: Path, tmp_path: Path) -> None:
    """ML-01 A person sees what is being done and how much of it is."""
    run = await _run(tmp_path, tree, out=str(tmp_path))
    told = [(fact.step, fact.fraction) for fact in run.of(Progress)]
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
    run = await _run(tmp_path, source, out=str(tmp_path / "out"))
    why = "has no files to describe" if case == "empty" else "is not a folder"
    assert run.view.state == "failed"
    assert why in (run.view.error or "")
    assert run.names() == []
    assert not (tmp_path / "out").exists()


async def test_an_output_folder_that_is_a_file_fails_with_a_sentence(
    tree: Path, tmp_path: Path
) -> None:
    """ML-04 The artifact is not called complete."""
    (tmp_path / "out").write_text("x")
    run = await _run(tmp_path, tree, out=str(tmp_path / "out"))
    assert run.view.state == "failed"
    assert "llms.txt cannot be written" in (run.view.error or "")
    assert run.completed("llms.txt") == []


async def test_a_cancel_at_any_fact_leaves_whole_files_or_none(
    tree: Path, tmp_path: Path
) -> None:
    """ML-04 QA-10 At every fact once: nothing unfinished in place or beside it."""
    states = set()
    async with open_kinds(KIND, home=tmp_path / "runs") as core:
        given = {"source": str(tree), "out": str(tmp_path / "whole")}
        whole = await run_in(core, KIND, given, "whole")
        expected = _contents(tmp_path / "whole")
        for nth in range(1, len(whole.events)):
            out, run_id = tmp_path / f"out-{nth}", f"run-{nth}"
            await core.submit(KIND.name, {**given, "out": str(out)}, run_id=run_id)
            with trio.fail_after(30):
                while (await core.view(run_id)).sequence < nth:
                    await core.core.bus.wait_published(run_id)
                await core.cancel(run_id)
                await core.wait_ended(run_id)
            run, found = await ended(core, run_id), _contents(out)
            states.add(run.view.state)
            assert found.items() <= expected.items()
            for name in ("llms.txt", "llms-full.txt"):
                assert not run.completed(name) or name in found
            assert (run.view.state == "completed") <= (found == expected)
    assert "cancelled" in states


class DiesWhileStreaming(RunWithFault):
    """It fails once some text of the second file is written."""

    async def progress(self, step: str, fraction: float | None = None) -> None:
        if step == "render":
            raise ZeroDivisionError
        await self.real.progress(step, fraction)


async def test_a_failure_while_streaming_keeps_the_old_file(
    tree: Path, tmp_path: Path
) -> None:
    """ML-04 The file in place is the old one, and no artifact is called complete."""
    out = tmp_path / "out"
    out.mkdir()
    (out / "llms-full.txt").write_text("old")
    dying = with_fault(KIND, DiesWhileStreaming)
    given = {"source": str(tree), "out": str(out)}
    run = await run_kind(dying, given, tmp_path / "runs")
    assert run.view.state == "failed"
    assert "ZeroDivisionError" in (run.view.error or "")
    assert (out / "llms-full.txt").read_text() == "old"
    assert sorted(os.listdir(out)) == ["llms-full.txt", "llms.txt"]
    assert run.text_of("llms-full.txt").startswith("# thing\n")
    assert run.completed("llms-full.txt") == []
    assert "render_completed" not in run.names()


async def test_milestones_carry_json(tree: Path, tmp_path: Path) -> None:
    """ML-01 Metadata is JSON and says how much there is."""
    run = await _run(tmp_path, tree, out=str(tmp_path))
    said = {fact.name: fact.metadata for fact in run.of(Milestone)}
    assert said["repo_fetched"] == {"files": 7, "cut": False}
    assert said["analysis_completed"] == {
        "links": 6,
        "sections": {"Docs": 2, "Code": 2, "Optional": 2},
    }
    assert KIND.milestones == {*MILESTONES, "model_described", "model_failed"}
    assert KIND.on_restart == "requeue"
