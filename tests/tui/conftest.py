"""Daemons for the dashboard's tests."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from fakes.tui_processes import DaemonProcess, open_scene


@pytest.fixture(scope="module")
def busy() -> Iterator[DaemonProcess]:
    """A scripted daemon with a busy afternoon, shared by the tests of a module."""
    with open_scene("--scene", "busy") as daemon:
        yield daemon


@pytest.fixture
def fresh() -> Iterator[DaemonProcess]:
    """The same, for one test that changes it."""
    with open_scene("--scene", "busy") as daemon:
        yield daemon
