"""How soon the daemon answers while strangers' content is read: hostile trees, and bodies of `[]`.

The reference is the same daemon with nothing to do, asked by the same client.
"""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from bench._shared import Row, scratch, share
from bench.start import daemon

#: Seconds between two questions.
PACE = 0.01
#: Each of these held the interpreter for seconds when it was read inside the daemon.
HOSTILE = {
    "setup.cfg": f"[metadata]\nname{' ' * 9000}x\n",
    "package.json": json.dumps({"name": "p", "description": "a" + " " * 20_000 + "b"}),
    "pyproject.toml": f"{'.'.join('a' * 20_000)} = 1\n",
    "README.md": f"# Thing\n\n{'<a' + ' ' * 30_000}\n\nThing does what things do.\n",
    "docs/a.md": f"---\ntitle:{' ' * 1900}{'x' * 1900}\n---\n\nSome words of prose.\n",
    "docs/b.md": "<!---->" * 9000,
    "deep.py": "x = " + "(" * 50_000,
}
BODIES = [
    b'{"kind":"command","inputs":' + inputs + b"}"
    for inputs in (b"[" + b"[]," * 3_000_000 + b"[]]", b"[" + b"1," * 4_500_000 + b"1]")
]


def ask(path: Path, method: str, target: str, body: bytes = b"") -> bytes:
    """The whole answer to one request."""
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(str(path))
        head = f"{method} {target} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
        head += f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        answer = b""
        # What is refused before its end breaks the sending; the answer is there all the same.
        with suppress(OSError):
            client.sendall(head.encode())
            client.sendall(body)
        with suppress(ConnectionResetError):
            while data := client.recv(65_536):
                answer += data
        return answer


def health(path: Path, seconds: float) -> float:
    """Milliseconds in which 99 of 100 questions for health were answered."""
    taken = []
    end = time.monotonic() + seconds
    while (began := time.monotonic()) < end:
        assert b" 200 " in ask(path, "GET", "/health")[:20]
        taken.append((time.monotonic() - began) * 1000)
        time.sleep(PACE)
    return share(taken, 0.99)


@contextmanager
def over_and_over(act: Callable[[], object]) -> Iterator[None]:
    """Do something again and again meanwhile."""
    over = threading.Event()

    def work() -> None:
        while not over.is_set():
            act()

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def rows(long: bool) -> Iterator[Row]:
    """Health while nothing happens, while hostile trees are described, and while bodies come."""
    rounds, seconds = (5, 10.0) if long else (3, 4.0)
    idle, trees, bodies = [], [], []
    with scratch() as folder, daemon(folder):
        path = folder / "penstock" / "daemon.sock"
        tree = folder / "tree"
        for name, text in HOSTILE.items():
            (tree / name).parent.mkdir(parents=True, exist_ok=True)
            (tree / name).write_text(text)
        inputs = {"source": str(tree), "out": str(folder / "out"), "model": False}
        run = json.dumps({"kind": "llms-txt", "inputs": inputs}).encode()

        def describe() -> None:
            run_id = json.loads(
                ask(path, "POST", "/runs", run).partition(b"\r\n\r\n")[2]
            )
            state = b""
            while b'"ended_at":null' in state or not state:
                time.sleep(0.1)
                state = ask(path, "GET", f"/runs/{run_id['run_id']}")

        def refuse() -> None:
            for body in BODIES:
                ask(path, "POST", "/runs", body)

        for _ in range(rounds):
            idle.append(health(path, seconds))
            with over_and_over(describe):
                trees.append(health(path, seconds))
            with over_and_over(refuse):
                bodies.append(health(path, seconds))
    yield Row("/health p99, hostile trees / idle", "ms", "ours < 100", trees, idle)
    yield Row("/health p99, bodies of [] / idle", "ms", "ours < 100", bodies, idle)
