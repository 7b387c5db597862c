"""What the tests of pipelines share."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

#: A package of somebody else's: its tests are run where it is installed.
collect_ignore = ["thirdparty"]


@pytest.fixture
def unused_tcp_url() -> Iterator[str]:
    """An address where nobody listens: its port is bound for as long as the test runs."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{bound.getsockname()[1]}"
