"""Three small coding tasks with a model's scripted answers, and a core that does them for real."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import trio

from penstock.kinds.coding import dead_code, pipeline
from penstock.llm.models import make_daemon_models, open_models
from penstock.log.sqlite.store import open_sqlite, threads
from penstock.log.store import Store
from penstock.processes.detection import detect_containment
from penstock.processes.forking import open_launcher
from penstock.runs.core import Core
from penstock.runs.open_core import open_core
from penstock.service.environment import real_environment
from penstock.words.address import find_paths
from penstock.words.api import SubmitRequest
from penstock.words.config import Config, Models
from penstock.words.events import ArtifactPartial
from penstock.words.recorded import Recorded

PLAN = "You plan small programs"
WRITE = "You write complete, plain, working code for one file"
CORRECT = "You repair one file"
CHOOSE = "You find the file of a program"
REVIEW = "You review code"

SLUG = '''import re


def slug(text):
    """Lower-case words joined by dashes."""
    return "-".join(re.findall(r"[a-z0-9]+", text.lower()))
'''
SLUG_TESTS = """import unittest

from slug import slug


class TestSlug(unittest.TestCase):
    def test_words_are_joined(self):
        self.assertEqual(slug("Hello,  World!"), "hello-world")

    def test_nothing_stays_nothing(self):
        self.assertEqual(slug(" - "), "")
"""
SLUG_PLAN = [
    {"name": "slug", "path": "slug.py", "purpose": "Make slugs.", "tests": "test_slug.py", "needs": []}
]  # fmt: skip

COUNT = '''def count_words(text):
    """How many words a text has."""
    return len(text.split())
'''
COUNT_TESTS = """import unittest

from count import count_words


class TestCount(unittest.TestCase):
    def test_words(self):
        self.assertEqual(count_words("a b  c"), 3)
"""
WRONG_CLI = """import argparse

from count import count_words


def main(argv):
    parser = argparse.ArgumentParser()
    parser.add_argument("text")
    print(count_words(parser.parse_args(argv).text) + 1)
"""
CLI = WRONG_CLI.replace(" + 1", "")
CLI_TESTS = """import contextlib
import io
import unittest

from cli import main


class TestCli(unittest.TestCase):
    def test_it_prints_the_number(self):
        said = io.StringIO()
        with contextlib.redirect_stdout(said):
            main(["one two"])
        self.assertEqual(said.getvalue(), "2\\n")
"""
# The order of the plan is not that of the needs.
CLI_PLAN = [
    {"name": "cli", "path": "cli.py", "purpose": "The command line.", "tests": "test_cli.py", "needs": ["count"]},
    {"name": "count", "path": "count.py", "purpose": "Count words.", "tests": "test_count.py", "needs": []},
]  # fmt: skip

WRONG_CALC = "def mean(numbers):\n    return sum(numbers) / 2\n"
CALC = "def mean(numbers):\n    return sum(numbers) / len(numbers)\n"
CALC_TESTS = """import unittest

from calc import mean


class TestMean(unittest.TestCase):
    def test_three(self):
        self.assertEqual(mean([1, 2, 3]), 2)
"""
CALC_PLAN = [
    {"name": "calc", "path": "calc.py", "purpose": "Mend `mean`.", "tests": "", "needs": []}
]  # fmt: skip


def plan(
    modules: list[dict[str, Any]], *questions: str, summary: str = "It is small."
) -> dict[str, str]:
    """The fields of a plan."""
    return {
        "summary": summary,
        "modules": json.dumps(modules),
        "questions": json.dumps(questions),
    }


def once(match: str, **fields: str) -> dict[str, Any]:
    return {"match": match, "fields": fields, "times": 1}


def slug_script() -> list[dict[str, Any]]:
    """A pure function, right at once."""
    return [
        once(PLAN, **plan(SLUG_PLAN)),
        once(WRITE, code=SLUG, tests=SLUG_TESTS),
    ]


def cli_script() -> list[dict[str, Any]]:
    """Two modules; the second is wrong at first, and fenced as small models do."""
    return [
        once(PLAN, **plan(CLI_PLAN)),
        once(WRITE, code=COUNT, tests=COUNT_TESTS),
        once(WRITE, code=f"```python\n{WRONG_CLI}```", tests=CLI_TESTS),
        once(CORRECT, module="cli", code=CLI, tests="unchanged"),
    ]


def calc_script() -> list[dict[str, Any]]:
    """A bug in a repository, mended at once."""
    return [once(PLAN, **plan(CALC_PLAN)), once(WRITE, code=CALC)]


def make_repository(folder: Path) -> Path:
    """A git repository with one commit, whose only test fails."""
    folder.mkdir()
    (folder / "calc.py").write_text(WRONG_CALC)
    (folder / "test_calc.py").write_text(CALC_TESTS)
    git(folder, "init", "-q", "-b", "main")
    git(folder, "add", ".")
    who = ("-c", "user.name=T", "-c", "user.email=t@localhost")
    git(folder, *who, "commit", "-q", "-m", "Begin")
    return folder


def git(folder: Path, *words: str, stdin: str = "") -> str:
    """What git says."""
    argv = ["git", "-C", str(folder), *words]
    return subprocess.run(
        argv, check=True, capture_output=True, text=True, input=stdin
    ).stdout


@dataclass(frozen=True)
class Place:
    """Where a coding core lives."""

    folder: Path
    url: str
    kinds: Mapping[str, Any]

    @property
    def database(self) -> Path:
        return self.folder / "log.db"


def place(folder: Path, url: str) -> Place:
    folder.mkdir(exist_ok=True)
    return Place(folder, url, {k.name: k for k in (pipeline.KIND, dead_code.KIND)})


@asynccontextmanager
async def open_log(
    where: Place, life: str = "life-1", *, memory: bool = False
) -> AsyncIterator[Store]:
    """The store of a coding core."""
    database: Path | Literal[":memory:"] = ":memory:" if memory else where.database
    async with open_sqlite(
        database, life=life, run_blocking=threads(1), run_reading=threads(2)
    ) as store:
        yield store


@asynccontextmanager
async def open_coding_core(
    where: Place, store: Store, life: str = "life-1", **settings: Any
) -> AsyncIterator[Core]:
    """A core with real processes, real files and models over real HTTP, and no surface at all."""
    models = Models(
        provider="ollama",
        url=where.url,
        chain=("mistral:7b", "qwen3:8b"),
        retries=0,
        # A server that fails on purpose does not come back.
        patience=0.0,
    )
    config = Config(models=models, throttle_seconds=0.02, **settings)
    environ = {"HOME": str(where.folder), "PATH": os.environ["PATH"]}
    paths = find_paths(environ, state_dir=where.folder, runtime_dir=where.folder)
    async with open_models(models, {}) as chain, open_launcher() as launcher:
        assert chain is not None
        environment = real_environment(
            config,
            paths,
            environ,
            containment=detect_containment({}),
            launcher=launcher,
            epoch=store.epoch,
            url="http://localhost",
            models=make_daemon_models(chain),
        )
        async with open_core(
            config, store=store, kinds=where.kinds, life=life, environment=environment
        ) as core:
            yield core


@asynccontextmanager
async def open_coding(
    where: Place, *, memory: bool = False, **settings: Any
) -> AsyncIterator[Core]:
    """A coding core with a store of its own."""
    async with (
        open_log(where, memory=memory) as store,
        open_coding_core(where, store, **settings) as core,
    ):
        yield core


def coding(
    prompt: str = "Do it.", run_id: str = "task", **inputs: Any
) -> SubmitRequest:
    """A coding task."""
    return SubmitRequest(
        kind="coding", run_id=run_id, inputs={"prompt": prompt, **inputs}
    )


async def history(core: Core, run_id: str = "task") -> list[Recorded]:
    """The run's whole history, once it has ended."""
    facts: list[Recorded] = []
    with trio.fail_after(60), core.bus.subscribe(run_id, 0) as subscription:
        async for batch in subscription:
            facts += batch.facts
    return facts


async def wait_fact(
    core: Core, type_: str, run_id: str = "task", count: int = 1
) -> Recorded:
    """The fact of this type, the so-many-th."""
    with trio.fail_after(60), core.bus.subscribe(run_id, 0) as subscription:
        async for batch in subscription:
            for fact in batch.facts:
                count -= fact.type == type_
                if count == 0:
                    return fact
    raise AssertionError(f"no {type_}")


QUIET = frozenset({"log", "progress", "artifact.partial", "artifact.completed", "step.completed",
                   "process.started", "process.exited", "run.waiting", "run.resumed", "model.used", "model.answered"})  # fmt: skip


def story(facts: list[Recorded]) -> list[str]:
    """The types of what happened, without the noise of work."""
    return [fact.type for fact in facts if fact.type not in QUIET]


def artifact_of(facts: list[Recorded], artifact_id: str) -> str:
    """The pieces of the newest attempt, joined."""
    pieces = [
        event
        for fact in facts
        if isinstance(event := fact.event, ArtifactPartial)
        and event.artifact_id == artifact_id
    ]
    newest = max(piece.attempt for piece in pieces)
    return "".join(piece.text for piece in pieces if piece.attempt == newest)
