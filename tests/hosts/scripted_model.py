"""A model that says what a script wants, in four protocols: each host can be run without an account.

It keeps nothing of a conversation: what comes next is how many results of tools a request has. What a
host asks besides (a title, which model to take) has no tools of ours, and is answered with a word.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Protocol, TypeVar

from hosts.dialects import (
    DIALECTS,
    Call,
    Conversation,
    Dialect,
    Json,
    Say,
)

Model = TypeVar("Model", bound="Answering")

#: What a step does with the results before it: a tool's own name and its arguments.
Step = Callable[[Sequence[str]], tuple[str, Json]]

#: What the model says when it has gone through its script, and when it has nothing to work with.
FINISHED = "that was the script"
NO_TOOLS = "there are no tools for it"


class Answering(Protocol):
    """A model: what it says, and where it is."""

    port: int
    #: Requests that it did not understand.
    unknown: list[str]

    def answer(self, conversation: Conversation) -> Say | Call: ...


@dataclass
class ScriptedModel:
    """What it does, and what it saw."""

    steps: Sequence[Step]
    #: Done once, before the step of this number is taken.
    before: dict[int, Callable[[], None]] = field(default_factory=dict)
    port: int = 0
    #: The tools of a server as it was told of them, by their own names, and what they are for.
    offered: dict[str, str] = field(default_factory=dict)
    results: tuple[str, ...] = ()
    #: Requests that it did not understand.
    unknown: list[str] = field(default_factory=list)
    #: Requests of a model, whatever for.
    asked: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def answer(self, conversation: Conversation) -> Say | Call:
        """What comes next."""
        with self._lock:
            self.asked += 1
            return self._next(conversation)

    def _next(self, conversation: Conversation) -> Say | Call:
        ours = {own_name(n): n for n in conversation.tools if own_name(n) is not None}
        if not ours:
            return Say(NO_TOOLS)
        self.offered = {str(own): conversation.tools[n] for own, n in ours.items()}
        done = len(conversation.results)
        self.results = max(self.results, conversation.results, key=len)
        if (first := self.before.pop(done, None)) is not None:
            first()
        if done >= len(self.steps):
            return Say(FINISHED)
        try:
            tool, arguments = self.steps[done](conversation.results)
        except ValueError:
            # It hears no sentence of the host's: what was told is in the test's report.
            return Say(f"there is no going on from {conversation.results[-1:]}")
        return Call(ours[tool], arguments)


def own_name(offered: str) -> str | None:
    """The tool's own name under which its server knows it, where it is one of Penstock's.

    Hosts call them mcp__penstock__X, mcp_penstock_X or penstock_X; Codex has a namespace.
    """
    head, mark, own = offered.rpartition("penstock")
    if not mark or head not in ("", "mcp_", "mcp__"):
        return None
    return own.lstrip("_/")


@contextmanager
def open_scripted_model(model: Model) -> Iterator[Model]:
    """The model behind a port of loopback."""

    class Handler(Answers):
        scripted = model

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    model.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield model
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class Answers(BaseHTTPRequestHandler):
    """HTTP around a scripted model."""

    scripted: Answering
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self.send_json({"data": [], "models": []})

    do_HEAD = do_GET

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        path = self.path.partition("?")[0]
        if path.endswith(("count_tokens", "countTokens")):
            self.send_json({"input_tokens": 10, "totalTokens": 10})
            return
        for part, dialect in DIALECTS.items():
            if path.endswith(part):
                # A host that was ended hears no answer.
                with suppress(BrokenPipeError, ConnectionResetError):
                    self.send_answer(dialect, body)
                return
        if path.endswith(":generateContent"):
            # Gemini CLI asks which model to take.
            dialect = DIALECTS["GenerateContent"]
            [(_, told)] = dialect.events(Say('{"reasoning": "", "model_choice": "flash"}'))  # fmt: skip
            self.send_json(told)
            return
        self.scripted.unknown.append(path)
        self.send_json({})

    def send_answer(self, dialect: Dialect, body: Json) -> None:
        action = self.scripted.answer(dialect.read(body))
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Connection", "close")
        self.end_headers()
        for name, told in dialect.events(action):
            head = f"event: {name}\n" if name else ""
            self.wfile.write(f"{head}data: {json.dumps(told)}\n\n".encode())
        if "choices" in told:
            self.wfile.write(b"data: [DONE]\n\n")
        self.close_connection = True

    def send_json(self, told: Any) -> None:
        data = json.dumps(told).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        """Nobody reads it."""
