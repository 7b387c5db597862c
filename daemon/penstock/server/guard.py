"""The guard: who may ask at all. It decides before anything is routed, on every surface alike.

A web page the user happens to visit can make the browser talk to this port. What stops it is the
Host header (a rebound name is not ours), the Origin header (a page's own address), and the token.
"""

from __future__ import annotations

import hmac
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from ipaddress import IPv6Address, ip_address
from urllib.parse import parse_qsl, urlsplit

from penstock.runs.run_scopes import RunScope, RunTokens, is_run_token
from penstock.server.http_answer import HttpRefused
from penstock.server.web.page_files import PAGE_PATHS
from penstock.server.web.page_keys import PageKeys
from penstock.words.address import is_loopback
from penstock.words.config import Config
from penstock.words.errors import (
    Forbidden,
    PenstockError,
    Refused,
    StartRefused,
    TooLarge,
    Unauthorised,
)

#: Answers without a token: monitoring must be able to ask, and it says nothing private.
OPEN_PATHS = frozenset({"/health"})
#: Names under which a token might be put into an address, where logs and histories keep it.
_TOKEN_NAMES = frozenset({"token", "access_token"})
_LOOPBACK_NAMES = frozenset({"127.0.0.1", "localhost", "::1"})
#: Methods whose body is parsed; that of others is read to its end, and nothing more.
WRITES = frozenset({"POST", "PUT", "PATCH"})
#: Bodies that are streams of bytes, of any length: nobody keeps them.
_STREAMED = re.compile(r"/runs/[^/]+/stdin")


@dataclass(frozen=True, slots=True)
class RequestHead:
    """A request before anything of it is believed."""

    method: str
    path: str
    query: bytes
    #: Names in lower case.
    headers: Sequence[tuple[bytes, bytes]]
    #: Our end of the connection; None on the Unix socket, where the peer's uid was checked.
    local: tuple[str, int] | None
    #: Of which run a process asks, where that is seen by itself, as on the Unix socket.
    within: RunScope | None = None

    def all(self, name: bytes) -> list[str]:
        """Every value of a header."""
        return [value.decode("latin1") for key, value in self.headers if key == name]

    def one(self, name: bytes) -> str | None:
        """A header's only value; None if it is missing or repeated."""
        values = self.all(name)
        return values[0].strip() if len(values) == 1 else None


@dataclass(frozen=True, slots=True)
class Guard:
    """The lists and the token; no token means that none is asked for.

    `web`: whether the daemon has a page, which `page_keys` let in; `own_origins` are its addresses
    besides that by which a request comes. Whoever is let in is the owner, unless `run_of` says
    of which run it asks.
    """

    allowed_hosts: frozenset[str] = frozenset()
    allowed_origins: frozenset[str] = frozenset()
    token: str | None = field(default=None, repr=False)
    web: bool = False
    own_origins: frozenset[str] = frozenset()
    page_keys: PageKeys | None = None
    #: What reads the tokens of runs; None where nobody has one.
    run_tokens: RunTokens | None = None
    max_header_bytes: int = 16 * 1024
    max_body_bytes: int = 9 * 1024 * 1024

    def judge(
        self, request_head: RequestHead, *, handshake: bool = False
    ) -> PenstockError | None:
        """Why the request is turned away, or None.

        A WebSocket `handshake` may leave the token to its first frame.
        """
        return (
            self._judge_host(request_head)
            or self._judge_origin(request_head)
            or _judge_query(request_head)
            or self._judge_run(request_head)
            or self._judge_token(request_head, handshake=handshake)
            or self._judge_size(request_head)
            or (None if handshake else _judge_content(request_head))
        )

    def judge_preflight(self, request_head: RequestHead) -> PenstockError | None:
        """As `judge`, of a browser's question whether a page may ask: it shows no token."""
        return (
            self._judge_host(request_head)
            or self._judge_origin(request_head)
            or _judge_query(request_head)
            or self._judge_size(request_head)
        )

    def shared_with(self, request_head: RequestHead) -> str | None:
        """The origin whose pages may read the answer, if a page of a listed one asks."""
        origin = request_head.one(b"origin")
        return origin if origin in self.allowed_origins else None

    def run_of(
        self, request_head: RequestHead, shown: str | None = None
    ) -> RunScope | None:
        """On behalf of which run is asked; None: the owner asks. Unauthorised if that run is over.

        A program of a guarded run is known as such, whatever it shows. `shown` came later than the
        head, in the first frame of a WebSocket.
        """
        if request_head.within is not None:
            request_head.within.check()
            return request_head.within
        if self.run_tokens is None:
            return None
        shown = _shown_in(request_head) if shown is None else shown
        return None if shown is None else self.run_tokens.read(shown)

    def has_shown_token(self, request_head: RequestHead) -> bool:
        """Whether nothing more is asked of this peer."""
        if self.token is None or request_head.local is None:
            return True
        shown = _shown_in(request_head)
        return shown is not None and self.admits(shown, request_head)

    def seconds_left(
        self, request_head: RequestHead, shown: str | None = None
    ) -> float | None:
        """How long what let this peer in is good: a page's key has an end; None for all else.

        `shown` came later than the head, in the first frame of a WebSocket.
        """
        if self.token is None or request_head.local is None or self.page_keys is None:
            return None
        if shown is None:
            shown = _shown_in(request_head) or ""
        if hmac.compare_digest(shown.encode(), self.token.encode()):
            return None
        if is_run_token(shown):
            # It ends with its run, and nobody knows when.
            return None
        return self.page_keys.seconds_left(shown)

    def admits(self, shown: str | None, request_head: RequestHead) -> bool:
        """Whether this is the token, or the key of a page that may ask this.

        Takes the same time however much of it is right. Unauthorised for the token of a run that is over.
        """
        if self.token is None:
            return True
        shown = shown or ""
        if hmac.compare_digest(shown.encode(), self.token.encode()):
            return True
        if self.run_tokens is not None and self.run_tokens.read(shown) is not None:
            return True
        method, path = request_head.method, request_head.path
        return self.page_keys is not None and self.page_keys.admits(shown, method, path)

    def is_open(self, path: str) -> bool:
        """Whether this path answers without a token."""
        return path in OPEN_PATHS or (self.web and path in PAGE_PATHS)

    def _judge_host(self, request_head: RequestHead) -> PenstockError | None:
        if request_head.local is None:
            return None
        host = request_head.one(b"host") or ""
        if _host_allowed(host, request_head.local, self.allowed_hosts):
            return None
        return Forbidden(f"the host {host[:100]!r} is not in allowed_hosts")

    def _judge_origin(self, request_head: RequestHead) -> PenstockError | None:
        for origin in request_head.all(b"origin"):
            if origin not in self.allowed_origins and not self._is_own(
                origin, request_head
            ):
                return Forbidden(
                    f"the origin {origin[:100]!r} is not in allowed_origins"
                )
        return None

    def _is_own(self, origin: str, request_head: RequestHead) -> bool:
        """Whether it is the page of this daemon that asks; the name by which it does was judged."""
        if not self.web or request_head.local is None:
            return False
        host = (request_head.one(b"host") or "").lower()
        return origin == f"http://{host}" or origin in self.own_origins

    def _judge_run(self, request_head: RequestHead) -> PenstockError | None:
        try:
            self.run_of(request_head)
        except Unauthorised as error:
            return error
        return None

    def _judge_token(
        self, request_head: RequestHead, *, handshake: bool
    ) -> PenstockError | None:
        if self.is_open(request_head.path) and not handshake:
            return None
        if handshake and not request_head.all(b"authorization"):
            return None
        return None if self.has_shown_token(request_head) else Unauthorised()

    def _judge_size(self, request_head: RequestHead) -> PenstockError | None:
        size = sum(len(name) + len(value) + 4 for name, value in request_head.headers)
        if (
            size + len(request_head.path) + len(request_head.query)
            > self.max_header_bytes
        ):
            why = f"the request head is larger than {self.max_header_bytes} bytes"
            return HttpRefused(431, why, limit=self.max_header_bytes)
        if is_streamed(request_head.method, request_head.path):
            return None
        length = request_head.one(b"content-length") or "0"
        # Whoever need not show who he is has nothing to say that takes a body.
        has_body = length != "0" or request_head.all(b"transfer-encoding")
        if has_body and not self.has_shown_token(request_head):
            return body_too_large(0)
        # A length of a thousand digits is refused for its length, before int() chews on it.
        if length.isdecimal() and (
            len(length) > 18 or int(length) > self.max_body_bytes
        ):
            return body_too_large(self.max_body_bytes)
        return None


def is_streamed(method: str, path: str) -> bool:
    """Whether the body of such a request is a stream of bytes."""
    return method == "POST" and _STREAMED.fullmatch(path) is not None


def body_too_large(limit: int) -> TooLarge:
    """The refusal of a body, naming the limit in bytes."""
    return TooLarge("body", f"larger than the limit of {limit} bytes", limit=limit)


def make_guard(
    config: Config, token: str | None, run_tokens: RunTokens | None = None
) -> Guard:
    """The guard that the configuration asks for; `token` is used only if `auth` is on."""
    names, own = [*config.allowed_hosts], set()
    if config.public_url is not None:
        public = urlsplit(config.public_url)
        names.append(public.netloc)
        own.add(f"{public.scheme}://{public.netloc}".lower())
    token = token if config.auth else None
    keys = PageKeys(token, config.web_key_seconds) if token and config.web else None
    return Guard(
        allowed_hosts=frozenset(name.lower() for name in names),
        allowed_origins=frozenset(config.allowed_origins),
        token=token,
        web=config.web,
        own_origins=frozenset(own),
        page_keys=keys,
        run_tokens=run_tokens,
        max_header_bytes=config.max_header_bytes,
        max_body_bytes=config.max_body_bytes,
    )


def check_exposure(
    config: Config, token: str | None, bound: Iterable[str] = ()
) -> None:
    """StartRefused if the daemon would be open to others than its user.

    `bound` are the addresses of sockets that were opened elsewhere.
    """
    for name, values in (
        ("hosts", config.allowed_hosts),
        ("origins", config.allowed_origins),
    ):
        if any("*" in value for value in values):
            raise StartRefused(
                f"allowed_{name} must name each one; '*' would allow them all"
            )
    exposed = [host for host in (config.host, *bound) if not is_loopback(host)]
    if not exposed:
        return
    if not config.auth:
        raise StartRefused(
            f"listening on {exposed[0]} without a token would let anybody run code"
        )
    if not token:
        raise StartRefused(
            f"listening on {exposed[0]} needs a token, and there is none"
        )


def _shown_in(request_head: RequestHead) -> str | None:
    scheme, _, shown = (request_head.one(b"authorization") or "").partition(" ")
    return shown.strip() if scheme.lower() == "bearer" else None


def _judge_query(request_head: RequestHead) -> PenstockError | None:
    pairs = parse_qsl(request_head.query.decode("latin1"), keep_blank_values=True)
    if any(name.lower() in _TOKEN_NAMES for name, _ in pairs):
        return Refused(
            "token", "belongs in the Authorization header, never in an address"
        )
    return None


def _judge_content(request_head: RequestHead) -> PenstockError | None:
    has_body = request_head.one(b"content-length") not in (
        None,
        "0",
    ) or request_head.all(b"transfer-encoding")
    if request_head.method not in WRITES or not has_body:
        return None
    # A page may send forms and plain text across origins unasked, but never these.
    streamed = is_streamed(request_head.method, request_head.path)
    wanted = "application/octet-stream" if streamed else "application/json"
    media_type = (
        (request_head.one(b"content-type") or "").partition(";")[0].strip().lower()
    )
    if media_type == wanted:
        return None
    return HttpRefused(415, f"the body must be {wanted}")


def _host_allowed(host: str, local: tuple[str, int], allowed: frozenset[str]) -> bool:
    name, port = _split_host(host.lower())
    if not name:
        return False
    if host.lower() in allowed or name in allowed or f"[{name}]" in allowed:
        return True
    if (80 if port is None else port) != local[1]:
        return False
    # A rebound name can lead to our address, but the address itself cannot be rebound.
    return name in _LOOPBACK_NAMES or _same_address(name, local[0])


def _split_host(host: str) -> tuple[str, int | None]:
    """Name without brackets, and port; ("", None) if it is not a host."""
    if host.startswith("["):
        name, bracket, rest = host[1:].partition("]")
        if not bracket or (rest and not rest.startswith(":")):
            return "", None
        port = rest[1:]
    else:
        name, colon, port = host.partition(":")
        rest = colon
    if not rest:
        return name, None
    return (name, int(port)) if port.isdecimal() and len(port) <= 5 else ("", None)


def _same_address(name: str, local: str) -> bool:
    try:
        one, other = ip_address(name), ip_address(local.partition("%")[0])
    except ValueError:
        return False
    return _unmapped(one) == _unmapped(other)


def _unmapped(address: object) -> object:
    """A dual-stack socket shows IPv4 peers inside IPv6."""
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return mapped or address
