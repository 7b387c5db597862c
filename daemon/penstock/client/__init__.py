"""The daemon as a client sees it: requests by HTTP, the log by WebSocket, errors as in the daemon.

What is decided stands in `requests` and `log_reader`, without I/O; the others are shells around them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from penstock.client.log_reader import EpochChanged as EpochChanged
from penstock.client.log_reader import Ready as Ready
from penstock.client.log_reader import Reconnecting as Reconnecting
from penstock.client.log_reader import Skipped as Skipped
from penstock.client.log_reader import WentBack as WentBack

if TYPE_CHECKING:
    from penstock.client.rest import Client as Client
    from penstock.client.rest import open_client as open_client
    from penstock.client.stream import Facts as Facts
    from penstock.client.stream import News as News
    from penstock.client.stream import open_stream as open_stream


def __getattr__(name: str) -> object:
    """The shells, when they are asked for: Trio and the models of events take 0.4 s of CPU to import."""
    if name in {"Client", "open_client"}:
        from penstock.client import rest

        return getattr(rest, name)
    if name in {"Facts", "News", "open_stream"}:
        from penstock.client import stream

        return getattr(stream, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
