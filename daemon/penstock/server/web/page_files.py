"""The files of the page, as they lie in the package, and what a browser is told of them.

They ask nobody but this daemon for anything: the policy forbids it, and inline code as well, so text
that a program printed can become nothing but text.
"""

from __future__ import annotations

from penstock.server.http_answer import HttpAnswer
from penstock.server.routes import Call, Handler, Route
from penstock.words.address import websocket_url

#: By name, below the page's path: "" is the page itself.
_TYPES = {"html": "text/html", "js": "text/javascript", "css": "text/css", "svg": "image/svg+xml"}  # fmt: skip
_FILES = {
    "": "index.html",
    **{name: name for name in ("page.css", "icon.svg", "page.js", "daemon.js", "list.js", "run.js", "printed.js", "words.js", "diff.js", "prose.js", "transcript.js")},
}  # fmt: skip
PAGE_PATH = "/web/"
KEYS_PATH = f"{PAGE_PATH}keys"
#: What is answered without a token: nothing in it is private, and a browser cannot show one.
PAGE_PATHS = frozenset({KEYS_PATH, *(PAGE_PATH + name for name in _FILES)})
PAGE_ROUTES = tuple(
    Route("GET", PAGE_PATH + name, f"web_{file}", "A file of the page")
    for name, file in _FILES.items()
)
_HEADERS = {
    # Nobody frames it, and no page that opened it, or that it opens, has a hold on it.
    "X-Frame-Options": "DENY",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
}


def page_file_handlers() -> dict[str, Handler]:
    """The handler of each file, by the name of its route."""
    # Here, since the guard imports this for the addresses alone.
    from importlib.resources import files

    folder = files("penstock.server.web") / "static"
    bodies = {file: (folder / file).read_bytes() for file in _FILES.values()}
    return {f"web_{file}": _serve(file, body) for file, body in bodies.items()}


def _serve(file: str, body: bytes) -> Handler:
    content_type = f"{_TYPES[file.rpartition('.')[2]]}; charset=utf-8"

    def serve(call: Call) -> HttpAnswer:
        headers = {**_HEADERS, "Content-Security-Policy": page_policy(call.base)}
        return HttpAnswer(200, body, content_type, headers)

    return serve


def page_policy(base: str) -> str:
    """What the page may load, run and talk to; `base` is how its browser addresses the daemon."""
    # Not every browser takes a stream of the page's own host for its own.
    streams = websocket_url(base)
    rules = {
        "default-src": "'none'",
        "script-src": "'self'",
        "style-src": "'self'",
        "img-src": "'self'",
        "connect-src": f"'self' {streams} {streams}/",
        "base-uri": "'none'",
        "form-action": "'none'",
        "frame-ancestors": "'none'",
        "require-trusted-types-for": "'script'",
        "trusted-types": "'none'",
    }
    return "; ".join(f"{name} {sources}" for name, sources in rules.items())
