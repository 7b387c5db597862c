"""A program that is an agent and tries what it may not: each way of asking the daemon, and what came of it.

Arguments: `penstock`'s own command as JSON, the Unix socket, the state folder. Standard library only,
and nothing of Penstock's.
"""

from __future__ import annotations

import base64
import json
import os
import socket
import subprocess
import sys
from typing import Any

PENSTOCK, SOCKET, STATE = json.loads(sys.argv[1]), sys.argv[2], sys.argv[3]
OWN = os.environ["PENSTOCK_RUN_ID"]
ASK = f"/runs/{OWN}/asks/may%20I%3F"
#: What has no parent, and asks for everything.
ORPHAN = """
import os, socket
with socket.socket(socket.AF_UNIX) as sock:
    sock.connect(SOCKET)
    sock.sendall(b"GET /runs HTTP/1.1\\r\\nHost: x\\r\\nConnection: close\\r\\n\\r\\n")
    os.write(FD, sock.recv(100))
"""
INITIALIZE = {
    "protocolVersion": "2025-11-25",
    "capabilities": {},
    "clientInfo": {"name": "naughty", "version": "1"},
}


def tell(name: str, came: Any) -> None:
    print(f"RESULT {json.dumps([name, came])}", flush=True)


def owners_token() -> str:
    with open(os.path.join(STATE, "token")) as file:
        return file.read().strip()


def ask(
    method: str, path: str, body: Any = None, headers: Any = ()
) -> tuple[int, str, str]:
    """Status and body of an answer on the socket."""
    with socket.socket(socket.AF_UNIX) as sock:
        sock.settimeout(30)
        sock.connect(SOCKET)
        data = b"" if body is None else json.dumps(body).encode()
        head = [f"{method} {path} HTTP/1.1", "Host: localhost", "Connection: close"]
        head += ["Accept: application/json, text/event-stream", *headers]
        if body is not None:
            head += ["Content-Type: application/json", f"Content-Length: {len(data)}"]
        sock.sendall("\r\n".join([*head, "", ""]).encode() + data)
        came = b""
        while piece := sock.recv(65536):
            came += piece
    told, _, rest = came.decode("utf-8", "replace").partition("\r\n\r\n")
    return int(told.split()[1]), told, rest


def by_the_command_line() -> None:
    for words in (
        ["answer", OWN, "may I?", "allow"],
        ["answer", "other", "which", "yes"],
        ["cancel", "other"],
        ["list"],
        ["token", "rotate", "--help"],
    ):
        ended = subprocess.run(
            [*PENSTOCK, *words],
            capture_output=True,
            text=True,
            stdin=subprocess.DEVNULL,
        )
        tell(f"cli {words[0]}", [ended.returncode, ended.stderr])


def by_curl() -> None:
    told = {"answer": "allow"}
    bearer = f"Authorization: Bearer {owners_token()}"
    for name, headers in (("plain", []), ("with the owner's token", [bearer])):
        tell(f"socket {name}", ask("POST", ASK, told, headers)[0])
        tell(f"socket list {name}", ask("GET", "/runs", None, headers)[0])
        tell(f"socket own {name}", ask("GET", f"/runs/{OWN}", None, headers)[0])


def by_websocket() -> None:
    for path in ("/ws", "/ws/other", f"/ws/{OWN}"):
        with socket.socket(socket.AF_UNIX) as sock:
            sock.settimeout(30)
            sock.connect(SOCKET)
            key = base64.b64encode(os.urandom(16)).decode()
            sock.sendall(
                f"GET {path} HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                f"Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n\r\n".encode()
            )
            status = int(sock.recv(4096).split()[1])
        tell(f"ws {path.replace(OWN, 'own')}", status)


def call(tool: str, arguments: Any, session: str | None = None) -> str:
    """What a tool said, in the older protocol with a session and in the newer without."""
    params = {"name": tool, "arguments": arguments}
    headers = [
        "Mcp-Method: tools/call",
        f"Mcp-Name: {tool}",
        "MCP-Protocol-Version: 2026-07-28",
    ]
    if session is not None:
        headers = [f"Mcp-Session-Id: {session}", "MCP-Protocol-Version: 2025-11-25"]
    else:
        params["_meta"] = {
            "io.modelcontextprotocol/protocolVersion": "2026-07-28",
            "io.modelcontextprotocol/clientInfo": INITIALIZE["clientInfo"],
            "io.modelcontextprotocol/clientCapabilities": {},
        }
    message = {"jsonrpc": "2.0", "id": 7, "method": "tools/call", "params": params}
    return ask("POST", "/mcp", message, headers)[2]


def by_mcp() -> None:
    opening = {"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": INITIALIZE}
    _, head, _ = ask("POST", "/mcp", opening)
    session = next(
        line.split(": ")[1]
        for line in head.split("\r\n")
        if line.lower().startswith("mcp-session-id")
    )
    headers = [f"Mcp-Session-Id: {session}", "MCP-Protocol-Version: 2025-11-25"]
    ask(
        "POST",
        "/mcp",
        {"jsonrpc": "2.0", "method": "notifications/initialized"},
        headers,
    )
    for era, opened in (("older", session), ("newer", None)):
        answer = {"run_id": OWN, "name": "may I?", "answer": "allow"}
        tell(f"mcp answer {era}", call("answer", answer, opened))
        tell(f"mcp cancel {era}", call("cancel_run", {"run_id": "other"}, opened))
        tell(f"mcp own {era}", call("get_run", {"run_id": OWN}, opened))
        tell(f"mcp other {era}", call("get_run", {"run_id": "other"}, opened))
        child = {
            "kind": "interview",
            "inputs": {"question": "?"},
            "run_id": f"{OWN}.{era}",
        }
        tell(f"mcp child {era}", call("start_run", child, opened))
        command = {"kind": "command", "inputs": {"argv": ["true"]}}
        tell(f"mcp command {era}", call("start_run", command, opened))
        schedule = {**child, "run_id": "often", "every": "1d"}
        tell(f"mcp schedule {era}", call("start_run", schedule, opened))


def by_its_server() -> None:
    """The tools that its kind gave it, on stdin and stdout, as hosts start a server."""
    argv, env = json.loads(os.environ["AGENT_SERVER"])
    server = subprocess.Popen(
        argv,
        env={"PATH": os.environ["PATH"], "HOME": os.environ["HOME"], **env},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert server.stdin is not None
    spoken, heard = server.stdin, server.stdout
    assert heard is not None

    def exchange(number: int, method: str, **params: Any) -> Any:
        message = {"jsonrpc": "2.0", "id": number, "method": method, "params": params}
        print(json.dumps(message), file=spoken, flush=True)
        return json.loads(heard.readline())

    exchange(1, "initialize", **INITIALIZE)
    print(
        json.dumps({"jsonrpc": "2.0", "method": "notifications/initialized"}),
        file=spoken,
        flush=True,
    )
    tools = exchange(2, "tools/list")["result"]["tools"]
    tell("server tools", sorted(tool["name"] for tool in tools))
    child = {
        "kind": "interview",
        "inputs": {"question": "?"},
        "run_id": f"{OWN}.tooled",
    }
    tell("server child", exchange(3, "tools/call", name="start_run", arguments=child))
    answer = {"run_id": f"{OWN}.tooled", "name": "which", "answer": "me"}
    tell("server answer", exchange(4, "tools/call", name="answer", arguments=answer))
    spoken.close()
    server.wait()


def by_an_orphan() -> None:
    """A process without a parent, in a session of its own, with an empty environment."""
    read_end, write_end = os.pipe()
    if not os.fork():
        os.setsid()
        parent = os.getpid()
        if not os.fork():
            while os.getppid() == parent:
                continue
            code = ORPHAN.replace("SOCKET", repr(SOCKET)).replace("FD", str(write_end))
            os.set_inheritable(write_end, True)
            os.execve(sys.executable, [sys.executable, "-c", code], {})
        os._exit(0)
    os.wait()
    os.close(write_end)
    tell("orphan", int(os.read(read_end, 100).split()[1]))


def by_leaving() -> None:
    """Ask, and be gone before anybody could look."""
    request = (
        b"POST /runs/other/cancel HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
        b"Content-Length: 2\r\n\r\n{}"
    )
    for _ in range(20):
        if not os.fork():
            sock = socket.socket(socket.AF_UNIX)
            sock.connect(SOCKET)
            sock.sendall(request)
            os._exit(0)
        os.wait()


for attempt in (
    by_the_command_line,
    by_curl,
    by_websocket,
    by_mcp,
    by_its_server,
    by_an_orphan,
    by_leaving,
):
    try:
        attempt()
    except Exception as error:  # noqa: BLE001  (that is what came of it)
        tell(attempt.__name__, repr(error))
tell("all", "done")
