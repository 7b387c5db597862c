"""One fake model server for all tests of this folder; each test finds it empty."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

from fakes.model_server import ModelServer, start_model_server


@pytest.fixture(scope="session")
def running_model_server() -> Iterator[ModelServer]:
    with start_model_server() as server:
        yield server


@pytest.fixture
def model_server(running_model_server: ModelServer) -> ModelServer:
    running_model_server.reset()
    return running_model_server


@pytest.fixture
def unused_port() -> Iterator[int]:
    """A port on which nobody listens: it is bound for as long as the test runs."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        yield bound.getsockname()[1]
