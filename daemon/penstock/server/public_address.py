"""How clients address the daemon, so that what it answers leads back to it: through proxies too.

A proxy is believed only if it is one of `trusted_proxies`: anybody else could write such headers.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network

from penstock.server.guard import RequestHead
from penstock.words.config import Config

#: Where a scope's state says how its client addresses the daemon.
BASE_STATE = "penstock.base"

_HOST = re.compile(r"[A-Za-z0-9.\-]+(:[0-9]{1,5})?|\[[0-9A-Fa-f:.]+\](:[0-9]{1,5})?")
_PREFIX = re.compile(r"(/[A-Za-z0-9._~-]+)+")

Network = IPv4Network | IPv6Network


@dataclass(frozen=True, slots=True)
class PublicAddress:
    """`local` is for clients of the Unix socket, `public` for all others if it is configured."""

    local: str
    public: str | None = None
    trusted: tuple[Network, ...] = ()

    def base_of(self, request_head: RequestHead, peer: str | None) -> str:
        """`http://127.0.0.1:9876`, without a slash at the end."""
        if request_head.local is None:
            return self.local
        if self.public is not None:
            return self.public
        host = request_head.one(b"host") or ""
        told = _told(request_head) if self._trusts(peer) else {}
        scheme = told.get("proto", "http").lower()
        scheme = scheme if scheme in ("http", "https") else "http"
        forwarded = told.get("host", host)
        host = forwarded if _HOST.fullmatch(forwarded) else host
        prefix = told.get("prefix", "").rstrip("/")
        return f"{scheme}://{host}{prefix if _PREFIX.fullmatch(prefix) else ''}"

    def _trusts(self, peer: str | None) -> bool:
        try:
            address = ip_address((peer or "").partition("%")[0])
        except ValueError:
            return False
        mapped = getattr(address, "ipv4_mapped", None) or address
        return any(mapped in network for network in self.trusted)


def make_public_address(config: Config, local: str) -> PublicAddress:
    """What the configuration says of it."""
    trusted = tuple(ip_network(name) for name in config.trusted_proxies)
    public = config.public_url
    return PublicAddress(local, public and public.rstrip("/"), trusted)


def _told(request_head: RequestHead) -> dict[str, str]:
    """What the nearest proxy says: of `Forwarded` (RFC 7239) or else of the older headers."""
    if forwarded := _last(request_head, b"forwarded"):
        pairs = (pair.partition("=") for pair in forwarded.split(";"))
        told = {n.strip().lower(): v.strip().strip('"') for n, _, v in pairs}
    else:
        names = {"proto": b"x-forwarded-proto", "host": b"x-forwarded-host"}
        told = {word: _last(request_head, name) for word, name in names.items()}
    told["prefix"] = _last(request_head, b"x-forwarded-prefix")
    return {word: value for word, value in told.items() if value}


def _last(request_head: RequestHead, name: bytes) -> str:
    """The last value of a header that proxies add to: that of the nearest one."""
    return ",".join(request_head.all(name)).rpartition(",")[2].strip()
