"""One fake model server for the coding tests; each test finds it empty."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from fakes.coding import Place, place
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
def where(tmp_path: Path, model_server: ModelServer) -> Place:
    return place(tmp_path / "state", model_server.url)
