"""The guard, as a pure decision: every route against every way to be turned away."""

from __future__ import annotations

import pytest

from penstock.server.guard import (
    OPEN_PATHS,
    Guard,
    RequestHead,
    check_exposure,
    make_guard,
)
from penstock.server.http_answer import HttpRefused
from penstock.server.routes import ROUTES
from penstock.words.api import problem_of
from penstock.words.config import Config
from penstock.words.errors import Forbidden, Refused, StartRefused, Unauthorised

TOKEN = "right"
LOCAL = ("127.0.0.1", 9876)
PATHS = [(route.method, route.path) for route in ROUTES]
PATHS += [
    ("GET", "/ws"),
    ("GET", "/ws/a"),
    ("POST", "/mcp"),
    ("POST", "/mcp/"),
    ("GET", "/nothing"),
]


def request_head(
    method: str = "GET",
    path: str = "/runs",
    query: str = "",
    host: str | None = "127.0.0.1:9876",
    token: str | None = TOKEN,
    local: tuple[str, int] | None = LOCAL,
    **headers: str,
) -> RequestHead:
    pairs = [(name.replace("_", "-"), value) for name, value in headers.items()]
    if host is not None:
        pairs.append(("host", host))
    if token is not None:
        pairs.append(("authorization", f"Bearer {token}"))
    encoded = [(name.encode(), value.encode("latin1")) for name, value in pairs]
    return RequestHead(method, path, query.encode(), encoded, local)


GUARD = Guard(
    token=TOKEN,
    allowed_hosts=frozenset({"box.lan"}),
    allowed_origins=frozenset({"http://ok"}),
)


@pytest.mark.parametrize(("method", "path"), PATHS)
@pytest.mark.parametrize(
    ("wrong", "expected"),
    [
        ({"host": "evil.example"}, Forbidden),
        ({"host": "evil.example:9876"}, Forbidden),
        ({"host": None}, Forbidden),
        ({"host": "localhost:80"}, Forbidden),
        ({"origin": "http://evil.example"}, Forbidden),
        ({"origin": "null"}, Forbidden),
        ({"token": None}, Unauthorised),
        ({"token": "wrong"}, Unauthorised),
        ({"token": ""}, Unauthorised),
        ({"query": "token=right"}, Refused),
        ({"query": "a=1&%74oken=right"}, Refused),
    ],
)
def test_every_path_turns_every_stranger_away(
    method: str, path: str, wrong: dict[str, str | None], expected: type[Exception]
) -> None:
    """API-08, law 7: before routing, so unknown paths answer alike; /health is open but for its token."""
    refusal = GUARD.judge(request_head(method, path, **wrong))  # type: ignore[arg-type]
    if expected is Unauthorised and path in OPEN_PATHS:
        assert refusal is None
    else:
        assert type(refusal) is expected


@pytest.mark.parametrize(("method", "path"), PATHS)
def test_every_path_lets_its_user_in(method: str, path: str) -> None:
    """API-08"""
    assert GUARD.judge(request_head(method, path)) is None
    assert GUARD.judge(request_head(method, path, origin="http://ok")) is None


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1:9876",
        "localhost:9876",
        "LocalHost:9876",
        "[::1]:9876",
        "box.lan",
        "box.lan:1",
    ],
)
def test_the_hosts_of_this_box_are_let_in(host: str) -> None:
    """APP-05"""
    assert GUARD.judge(request_head(host=host)) is None


def test_the_address_that_was_connected_to_is_a_host_of_this_box() -> None:
    """APP-05: bound to 0.0.0.0 it is reachable by its address, since an address cannot be rebound."""
    local = ("192.0.2.7", 9876)
    assert GUARD.judge(request_head(host="192.0.2.7:9876", local=local)) is None
    assert (
        GUARD.judge(
            request_head(host="192.0.2.7:9876", local=("::ffff:192.0.2.7", 9876))
        )
        is None
    )
    assert isinstance(
        GUARD.judge(request_head(host="192.0.2.8:9876", local=local)), Forbidden
    )


@pytest.mark.parametrize(
    "host", ["", ":9876", "[::1", "[::1]x", "localhost:x", "localhost:999999", "a b"]
)
def test_a_host_that_is_none_is_foreign(host: str) -> None:
    """API-08"""
    assert isinstance(GUARD.judge(request_head(host=host)), Forbidden)


def test_two_hosts_are_none() -> None:
    """API-08"""
    twice = request_head()
    both = RequestHead("GET", "/runs", b"", [*twice.headers, (b"host", b"evil")], LOCAL)
    assert isinstance(GUARD.judge(both), Forbidden)


def test_on_the_unix_socket_any_host_and_no_token_will_do() -> None:
    """Law 7: the peer's uid was checked; an origin is still a web page's."""
    assert GUARD.judge(request_head(host="whatever", token=None, local=None)) is None
    assert isinstance(
        GUARD.judge(request_head(local=None, origin="http://evil")), Forbidden
    )


def test_a_handshake_may_leave_its_token_to_the_first_frame() -> None:
    """WS-10: but a wrong one is refused at once."""
    quiet = request_head(path="/ws", token=None)
    assert GUARD.judge(quiet, handshake=True) is None
    assert not GUARD.has_shown_token(quiet)
    assert isinstance(
        GUARD.judge(request_head(path="/ws", token="wrong"), handshake=True),
        Unauthorised,
    )
    assert isinstance(
        GUARD.judge(request_head(path="/ws", host="evil"), handshake=True), Forbidden
    )


def test_writes_must_be_json() -> None:
    """API-08: a page can send a form across origins unasked, but never JSON."""
    for kind in ("text/plain", "application/x-www-form-urlencoded", ""):
        refusal = GUARD.judge(
            request_head("POST", content_type=kind, content_length="2")
        )
        assert isinstance(refusal, HttpRefused)
        assert refusal.status == 415
    json = "application/json; charset=utf-8"
    assert (
        GUARD.judge(request_head("POST", content_type=json, content_length="2")) is None
    )
    assert GUARD.judge(request_head("POST", content_length="0")) is None
    chunked = GUARD.judge(request_head("POST", transfer_encoding="chunked"))
    assert isinstance(chunked, HttpRefused)


def test_a_body_over_the_limit_is_refused_with_the_limit() -> None:
    """API-02"""
    for length in (str(9 * 1024 * 1024 + 1), "9" * 500):
        refusal = GUARD.judge(
            request_head("POST", content_type="application/json", content_length=length)
        )
        assert refusal is not None
        status, problem = problem_of(refusal)
        assert status == 413
        assert str(9 * 1024 * 1024) in problem.detail


def test_a_head_over_the_limit_is_refused() -> None:
    """API-08"""
    refusal = GUARD.judge(request_head(x="y" * 20_000))
    assert isinstance(refusal, HttpRefused)
    assert refusal.status == 431


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.7", "example.com"])
def test_off_loopback_without_a_token_does_not_start(host: str) -> None:
    """APP-05, D-10"""
    with pytest.raises(StartRefused, match="token"):
        check_exposure(Config(host=host), None)
    with pytest.raises(StartRefused, match="token"):
        check_exposure(Config(host=host, auth=False), TOKEN)
    with pytest.raises(StartRefused, match="token"):
        check_exposure(Config(auth=False), TOKEN, bound=[host])
    check_exposure(Config(host=host), TOKEN)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "::1", "127.1.2.3"])
def test_on_loopback_it_starts_without_one(host: str) -> None:
    """APP-05"""
    check_exposure(Config(host=host, auth=False), None)


def test_a_star_is_no_list() -> None:
    """Law 7"""
    with pytest.raises(StartRefused, match="allowed_hosts"):
        check_exposure(Config(allowed_hosts=("*",)), TOKEN)
    with pytest.raises(StartRefused, match="allowed_origins"):
        check_exposure(Config(allowed_origins=("https://*",)), TOKEN)


def test_the_token_is_never_shown() -> None:
    """API-07"""
    guard = make_guard(Config(), "a-secret")
    assert "a-secret" not in repr(guard)
    refusal = guard.judge(request_head(query="token=a-secret", token="a-secret"))
    assert refusal is not None
    assert "a-secret" not in str(refusal)
