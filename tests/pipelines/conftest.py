"""One fake model server for the pipelines that ask one; each test finds it empty."""

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
def unused_tcp_url() -> Iterator[str]:
    """An address where nobody listens: its port is bound for as long as the test runs."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{bound.getsockname()[1]}"
