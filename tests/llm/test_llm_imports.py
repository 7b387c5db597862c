"""What may be imported where: decisions know no I/O, and DSPy is loaded on first use only."""

from __future__ import annotations

import ast
import importlib
import subprocess
import sys
from pathlib import Path

import pytest

import penstock.llm

pytestmark = pytest.mark.processes

FOLDER = Path(next(iter(penstock.llm.__path__)))
MODULES = sorted(path.stem for path in FOLDER.glob("*.py") if path.stem != "__init__")

#: Decisions: values in, values out.
PURE = (
    "budget", "chat", "context", "prompts", "routing", "fields",
    "summaries", "token_estimate",
)  # fmt: skip
#: What `run_models.load_programs` loads.
DSPY = ("answer_forms", "dspy_programs")
FORBIDDEN = {
    "trio",
    "httpx",
    "dspy",
    "socket",
    "subprocess",
    "os",
    "pathlib",
    "time",
    "sqlite3",
}


def imported(module: str) -> set[str]:
    tree = ast.parse((FOLDER / f"{module}.py").read_text(encoding="utf-8"))
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found.add(node.module or "")
    return found


@pytest.mark.parametrize("module", PURE)
def test_a_decision_knows_no_io(module: str) -> None:
    names = imported(module)
    assert not {name.split(".")[0] for name in names} & FORBIDDEN
    ours = {
        name.removeprefix("penstock.llm.")
        for name in names
        if name.startswith("penstock.llm.")
    }
    assert ours <= set(PURE)


def test_dspy_is_loaded_on_first_use_only() -> None:
    """A daemon without models never pays for it: seconds and megabytes."""
    others = ", ".join(f"penstock.llm.{name}" for name in MODULES if name not in DSPY)
    code = f"import sys, {others}; sys.exit('dspy' in sys.modules or 'litellm' in sys.modules)"
    assert (
        subprocess.run([sys.executable, "-c", code], check=False, timeout=60).returncode
        == 0
    )


def test_litellm_is_never_loaded() -> None:
    """It costs ten seconds, and looks for prices on the network."""
    code = "import sys, penstock.llm.dspy_programs; sys.exit('litellm' in sys.modules or 'openai' in sys.modules)"
    assert (
        subprocess.run([sys.executable, "-c", code], check=False, timeout=60).returncode
        == 0
    )


def test_every_module_can_be_imported_alone() -> None:
    for name in MODULES:
        assert importlib.import_module(f"penstock.llm.{name}")


LOAD_TWICE = """
import sys, trio
from penstock.llm.run_models import load_programs

async def main():
    with trio.move_on_after(0.05) as impatient:
        await load_programs()
    assert impatient.cancelled_caught
    results = []

    async def load():
        results.append(await load_programs())

    with trio.fail_after(60):
        async with trio.open_nursery() as nursery:
            for _ in range(3):
                nursery.start_soon(load)
    assert all(callable(programs.execute) for programs in results)

trio.run(main)
"""


def test_loading_can_be_cancelled_and_runs_that_load_at_once_all_get_it_whole() -> None:
    """CN-01: seconds of loading must not hold a cancel; a half loaded module is no module."""
    command = [sys.executable, "-c", LOAD_TWICE]
    found = subprocess.run(
        command, check=False, timeout=90, capture_output=True, text=True
    )
    assert found.returncode == 0, found.stderr
