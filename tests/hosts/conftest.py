"""The hosts' node."""

from __future__ import annotations

from pathlib import Path

import pytest

from fakes.node import require_node


@pytest.fixture(scope="session")
def node() -> str:
    """The node that can run the hosts; skips, telling how to get it."""
    return require_node(Path(__file__).parent)
