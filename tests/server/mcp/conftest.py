"""A real daemon for a whole module, and the SDK's own client."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from fakes.agent_daemons import start_mcp_daemon as start_mcp_daemon
from fakes.agents import Agents
from fakes.real_daemon import RealDaemon


@pytest.fixture(scope="module")
def mcp_daemon(start_mcp_daemon: Callable[..., RealDaemon]) -> RealDaemon:
    """One daemon for all tests of a module."""
    return start_mcp_daemon()


@pytest.fixture(scope="module")
def agents(mcp_daemon: RealDaemon) -> Agents:
    """Clients of that daemon."""
    return Agents(mcp_daemon)
