"""What docs/proxy.md has for nginx works, with nginx before a real daemon."""

from __future__ import annotations

import json
import re
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from websockets.sync.client import connect

from fakes.agents import INITIALIZE
from fakes.real_daemon import RealDaemon

pytestmark = [pytest.mark.slow, pytest.mark.sockets]

DOCUMENT = Path(__file__).parents[2] / "docs" / "proxy.md"
PUBLIC = "https://box.example/penstock"
#: Seconds for nginx to listen, and for one answer.
PATIENCE = 60.0


def documented(upstream: int, port: int) -> str:
    """The document's own lines for nginx, for these ports and without TLS."""
    [lines] = re.findall(r"```nginx\n(.*?)```", DOCUMENT.read_text(), re.DOTALL)
    lines = re.sub(r"listen 443 ssl;", f"listen 127.0.0.1:{port};", lines)
    lines = re.sub(r"\n.*ssl_certificate.*", "", lines)
    return str(lines).replace("127.0.0.1:9876", f"127.0.0.1:{upstream}")


@pytest.fixture
def daemon(start_daemon: Callable[..., RealDaemon]) -> RealDaemon:
    return start_daemon(
        PENSTOCK_PUBLIC_URL=PUBLIC, PENSTOCK_ALLOWED_HOSTS='["127.0.0.1"]'
    )


@pytest.fixture
def proxied(daemon: RealDaemon, tmp_path: Path, free_ports: Iterator[int]) -> Iterator[int]:  # fmt: skip
    """The port at which nginx stands before the daemon."""
    # Where Debian has it, and few have it on their PATH.
    program = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")
    if program is None:
        pytest.skip("needs nginx")
    port = next(free_ports)
    folders = "".join(
        f"{kind}_temp_path {tmp_path}/{kind};\n"
        for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    file = tmp_path / "nginx.conf"
    file.write_text(
        f"daemon off; master_process off; pid {tmp_path}/pid; error_log stderr;\n"
        "events {}\nhttp {\naccess_log off;\n"
        f"{folders}{documented(daemon.port, port)}}}\n"
    )
    log = tmp_path / "nginx.log"
    with log.open("wb") as said:
        process = subprocess.Popen([program, "-c", str(file)], stderr=said)
    with process:
        try:
            wait_listening(port, process, log)
            yield port
        finally:
            process.terminate()
            process.wait(PATIENCE)


def wait_listening(port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    give_up = time.monotonic() + PATIENCE
    while time.monotonic() < give_up and process.poll() is None:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            time.sleep(0.05)
        else:
            return
    raise AssertionError(log.read_text())


def followed(url: str, run_id: str, headers: dict[str, str]) -> str:
    """How a run ended, as its stream tells."""
    with connect(f"{url}/ws/{run_id}", additional_headers=headers) as stream:
        while True:
            frame = json.loads(stream.recv(PATIENCE))
            for envelope in frame.get("events", ()):
                kind = envelope["event"]["type"]
                if kind in ("run.completed", "run.failed", "run.cancelled"):
                    return str(kind)


def test_all_surfaces_work_behind_nginx_as_it_is_documented(
    proxied: int, home: Path
) -> None:
    """API-03 API-09 WS-08 HO-04: below a path, and over connections that are used again."""
    token = (home / "state/penstock/token").read_text().strip()
    headers = {"Authorization": f"Bearer {token}"}
    base = f"http://127.0.0.1:{proxied}/penstock"
    with httpx.Client(base_url=base, headers=headers, timeout=PATIENCE) as client:
        # More often than nginx keeps connections, so that handshakes come on used ones.
        for number in range(10):
            body: Any = {"kind": "command", "inputs": {"argv": ["echo", str(number)]}}
            started = client.post("/runs", json=body)
            assert started.status_code == 202, started.text
            run_id = started.json()["run_id"]
            assert started.headers["location"] == f"/penstock/runs/{run_id}"
            assert started.json()["websocket_url"] == f"wss://box.example/penstock/ws/{run_id}"  # fmt: skip
            websockets = f"ws://127.0.0.1:{proxied}/penstock"
            assert followed(websockets, run_id, headers) == "run.completed"
        events = client.get(f"/runs/{run_id}/events", headers={"Accept": "text/event-stream"})  # fmt: skip
        last = events.text.rpartition("id: ")[2].split()[0]
        resumed = {"Accept": "text/event-stream", "Last-Event-ID": last}
        assert client.get(f"/runs/{run_id}/events", headers=resumed).status_code == 204
        assert client.get(f"/runs/{run_id}/output").text == "9\n"
        assert client.get("/openapi.json").json()["servers"][0]["url"] == PUBLIC
        accepted = {"Accept": "application/json, text/event-stream"}
        opened = client.post("/mcp", json=INITIALIZE, headers=accepted)
        assert opened.status_code == 200, opened.text
        session = {**accepted, "Mcp-Session-Id": opened.headers["mcp-session-id"]}
        listed = {"jsonrpc": "2.0", "id": 2, "method": "tools/list", "params": {}}
        assert "run_command" in client.post("/mcp", json=listed, headers=session).text
        foreign = {"Host": "evil.example"}
        assert client.get("/queue", headers=foreign).status_code == 403
