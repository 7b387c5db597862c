"""Where the coding tests work."""

from __future__ import annotations

from pathlib import Path

import pytest

from fakes.coding import Place, place
from fakes.model_server import ModelServer


@pytest.fixture
def where(tmp_path: Path, model_server: ModelServer) -> Place:
    return place(tmp_path / "state", model_server.url)
