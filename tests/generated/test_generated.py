"""The OpenAPI document, judged by linters, and by clients made of it: they compile and drive a run."""

from __future__ import annotations

import compileall
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import httpx
import pytest

from fakes.real_daemon import RealDaemon

pytestmark = [pytest.mark.slow, pytest.mark.sockets]

HERE = Path(__file__).parent
BINARIES = HERE / "node_modules" / ".bin"
#: Where a generator looks for the formatter that it calls.
BESIDE = Path(sys.executable).parent
#: Seconds for one generator or compiler.
TOOL_SECONDS = 120


@pytest.fixture
def token(real_daemon: RealDaemon, home: Path) -> str:
    return (home / "state/penstock/token").read_text().strip()


@pytest.fixture
def document(real_daemon: RealDaemon, token: str, tmp_path: Path) -> Path:
    """What the daemon says of itself, with the kinds that are installed."""
    answer = httpx.get(
        f"{real_daemon.url}/openapi.json", headers={"Authorization": f"Bearer {token}"}
    )
    path = tmp_path / "openapi.json"
    path.write_bytes(answer.content)
    return path


def run(argv: Sequence[str], folder: Path) -> str:
    """What a tool printed; a failure of it is an AssertionError with all of it."""
    quiet = {"REDOCLY_TELEMETRY": "off", "REDOCLY_SUPPRESS_UPDATE_NOTICE": "true", "NO_COLOR": "1"}  # fmt: skip
    told = subprocess.run(
        argv,
        cwd=folder,
        env={**os.environ, **quiet, "PATH": f"{BESIDE}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        timeout=TOOL_SECONDS,
    )
    assert told.returncode == 0, told.stdout + told.stderr
    return told.stdout + told.stderr


def check_driven(told: str) -> None:
    """What each driver says, in its own language, when all went as it should."""
    seen = json.loads(told)
    assert (seen["state"], seen["number"], seen["output"]) == ("completed", 1, "hello\n")  # fmt: skip
    assert seen["missing"] == "there is no run 'nobody'"


def test_linters_find_nothing(node: str, document: Path, tmp_path: Path) -> None:
    """API-03 Not even a hint."""
    rules = ["--ruleset", str(HERE / "spectral.yaml"), "--fail-severity", "hint"]
    run([node, str(BINARIES / "spectral"), "lint", *rules, str(document)], tmp_path)
    rules = ["--config", str(HERE / "redocly.yaml")]
    told = run([node, str(BINARIES / "redocly"), "lint", *rules, str(document)], tmp_path)  # fmt: skip
    assert "warning" not in told.lower()


@pytest.mark.parametrize(
    ("driver", "generator"),
    [
        ("typed", ["openapi-typescript", "openapi.json", "-o", "schema.d.ts"]),
        ("hey", ["openapi-ts", "-f", "openapi-ts.config.mjs"]),
    ],
    ids=["openapi-typescript", "hey-api"],
)  # fmt: skip
def test_a_client_in_typescript_compiles_and_drives_a_run(
    node: str,
    document: Path,
    real_daemon: RealDaemon,
    token: str,
    tmp_path: Path,
    driver: str,
    generator: list[str],
) -> None:
    """API-03"""
    folder = tmp_path / "client"
    folder.mkdir()
    (folder / "package.json").write_text('{"type": "module"}')
    (folder / "node_modules").symlink_to(HERE / "node_modules")
    for file in (HERE / "tsconfig.json", HERE / "openapi-ts.config.mjs", document):
        shutil.copy(file, folder)
    name, *arguments = generator
    run([node, str(BINARIES / name), *arguments], folder)
    source = f"drive_{driver}.ts"
    shutil.copy(HERE / source, folder)
    run([node, str(BINARIES / "tsc")], folder)
    compiled = str(folder / "out" / f"drive_{driver}.js")
    check_driven(run([node, compiled, real_daemon.url, token], folder))


def test_a_client_in_python_compiles_and_drives_a_run(
    document: Path, real_daemon: RealDaemon, token: str, tmp_path: Path
) -> None:
    """API-03 With nothing left out of it."""
    out = tmp_path / "penstock_client"
    chosen = ["--config", str(HERE / "python-client.yaml"), "--meta", "none"]
    generator = [sys.executable, "-m", "openapi_python_client", "generate"]
    told = run([*generator, *chosen, "--path", str(document), "--output-path", str(out)], tmp_path)  # fmt: skip
    assert "warning" not in told.lower()
    assert compileall.compile_dir(out, quiet=1)
    driver = [sys.executable, str(HERE / "drive_python.py"), str(tmp_path)]
    check_driven(run([*driver, real_daemon.url, token], tmp_path))
