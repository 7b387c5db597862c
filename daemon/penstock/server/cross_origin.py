"""What browsers are told of pages of other origins: those listed in `allowed_origins` may ask and read.

No cookies are ours and none are allowed: a page shows the token itself.
"""

from __future__ import annotations

from collections.abc import Mapping

from penstock.server.guard import RequestHead

#: What a listed origin's page may do. Browsers keep it for ten minutes.
PREFLIGHT: Mapping[str, str] = {
    "Access-Control-Allow-Methods": "GET, HEAD, POST, DELETE, OPTIONS",
    "Access-Control-Allow-Headers": "Authorization, Content-Type, Accept, Last-Event-ID,"
    " If-None-Match, Mcp-Session-Id, Mcp-Protocol-Version, Mcp-Method, Mcp-Name",
    "Access-Control-Allow-Private-Network": "true",
    "Access-Control-Max-Age": "600",
}
#: Headers of answers that a page may read besides the few that all may.
_READABLE = b"Location, Retry-After, ETag, Server, WWW-Authenticate, Mcp-Session-Id"


def is_preflight(request_head: RequestHead) -> bool:
    """Whether a browser asks if a page may ask something."""
    wanted = request_head.one(b"access-control-request-method")
    return request_head.method == "OPTIONS" and wanted is not None


def sharing_headers(origin: str | None) -> list[tuple[bytes, bytes]]:
    """What lets the pages of this origin read an answer, errors too; nothing for no origin."""
    if origin is None:
        return []
    return [
        (b"access-control-allow-origin", origin.encode("latin1")),
        (b"access-control-expose-headers", _READABLE),
        (b"vary", b"Origin"),
    ]
