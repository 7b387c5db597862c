"""The judges' node."""

from __future__ import annotations

from pathlib import Path

import pytest

from fakes.agent_daemons import start_mcp_daemon as start_mcp_daemon
from fakes.node import require_node


@pytest.fixture(scope="session")
def node() -> str:
    """The node that can run the judges; skips, telling how to get it."""
    return require_node(Path(__file__).parent)
