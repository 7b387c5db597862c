"""`penstock mcp`: a stdio server for agents, in front of the daemon that runs."""

from __future__ import annotations

import json
import secrets
import shlex
import shutil
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from penstock.cli.output import say, show_line
from penstock.cli.session import Session, pass_session, run_async

if TYPE_CHECKING:
    from penstock.cli.stdio import Pipe
    from penstock.client.bridge import Bridge
    from penstock.words.address import Address

#: Seconds that answers may still take after the agent closed its end.
LAST_ANSWERS_SECONDS = 1.0
CLIENTS = ("claude", "cursor", "vscode", "codex")


@click.group(invoke_without_command=True)
@click.pass_context
def mcp(ctx: click.Context) -> None:
    """Serve MCP on stdin and stdout, for agents that start their servers.

    It talks to the running daemon, or else to one of its own for as long as the agent stays. Runs
    on the running daemon go on when the agent leaves.
    """
    if ctx.invoked_subcommand is None:
        ctx.invoke(serve_stdio)


@click.command()
@pass_session
def serve_stdio(session: Session) -> None:
    """Carry messages until the agent leaves or a signal comes."""
    run_async(lambda: carry(session))


@mcp.command("config")
@click.argument("client", type=click.Choice(CLIENTS))
@click.option("--http", is_flag=True, help="For the daemon's port instead of stdio.")
@pass_session
def config(session: Session, client: str, http: bool) -> None:
    """Print what to paste so that an agent finds the daemon."""
    show_line(http_snippet(client, session) if http else stdio_snippet(client, session))
    if http:
        say("the agent needs PENSTOCK_TOKEN; `penstock token show --show` prints it")


async def carry(session: Session) -> None:
    """Carry messages between stdin, stdout and a daemon."""
    import trio

    from penstock.carried import keep_late_code
    from penstock.cli.stdio import open_pipe
    from penstock.client.bridge import open_bridge
    from penstock.client.surroundings import caller_of

    # An agent stays for days, and an upgrade may come meanwhile.
    keep_late_code()
    with (
        open_pipe() as pipe,
        trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals,
    ):
        async with trio.open_nursery() as nursery:

            async def leave_on_signal() -> None:
                async for _ in signals:
                    nursery.cancel_scope.cancel(reason="a signal")

            nursery.start_soon(leave_on_signal)
            async with (
                open_daemon(session) as address,
                open_bridge(
                    address, pipe.send, caller_of(session.environ, address)
                ) as bridge,
            ):
                await carry_messages(pipe, bridge)
            nursery.cancel_scope.cancel(reason="the agent has left")


async def carry_messages(pipe: Pipe, bridge: Bridge) -> None:
    """Until the agent closes its end; what it asked last is still answered, if that is quick."""
    import trio

    try:
        async for line in pipe:
            if not line.strip():
                continue
            try:
                message = json.loads(line)
            except ValueError:
                message = None
            if isinstance(message, dict):
                await bridge.take(message)
            else:
                error = {"code": -32700, "message": "not a JSON object"}
                told = {"jsonrpc": "2.0", "id": None, "error": error}
                await pipe.send(json.dumps(told).encode() + b"\n")
        with trio.move_on_after(LAST_ANSWERS_SECONDS):
            await bridge.wait_quiet()
    except BrokenPipeError:
        # Nobody hears us any more.
        await trio.lowlevel.checkpoint()


@asynccontextmanager
async def open_daemon(session: Session) -> AsyncIterator[Address]:
    """The running daemon; without one, one of our own. DaemonUnreachable if it was named."""
    from penstock.cli.connect import running
    from penstock.cli.session import off_loop

    address = await off_loop(running, session)
    if address is not None:
        yield address
        return
    from penstock.service.embedded import open_embedded

    say("no daemon is running; runs live as long as this agent stays")
    config, _ = session.config()
    name = f"mcp-{secrets.token_hex(4)}"
    async with open_embedded(config, name, session.environ) as address:
        yield address


def stdio_snippet(client: str, session: Session) -> str:
    """The entry of an agent that starts `penstock mcp` itself; it needs no token."""
    program, arguments = command_line(session)
    if client == "claude":
        return f"claude mcp add penstock -- {shlex.join([program, *arguments])}"
    if client == "codex":
        return (
            f"[mcp_servers.penstock]\ncommand = {json.dumps(program)}\n"
            f"args = {json.dumps(arguments)}"
        )
    entry: dict[str, Any] = {"command": program, "args": arguments}
    if client == "vscode":
        return _json({"servers": {"penstock": {"type": "stdio", **entry}}})
    return _json({"mcpServers": {"penstock": entry}})


def http_snippet(client: str, session: Session) -> str:
    """The entry of an agent that talks to the daemon's port; the token is its environment's."""
    values, _ = session.config()
    url = f"{session.url or f'http://127.0.0.1:{values.port}'}/mcp"
    if client == "claude":
        header = '"Authorization: Bearer $PENSTOCK_TOKEN"'
        return f"claude mcp add --transport http penstock {url} --header {header}"
    if client == "codex":
        return (
            f"[mcp_servers.penstock]\nurl = {json.dumps(url)}\n"
            'bearer_token_env_var = "PENSTOCK_TOKEN"'
        )
    if client == "vscode":
        asked = {
            "type": "promptString",
            "id": "penstock-token",
            "description": "Penstock's token",
            "password": True,
        }
        headers = {"Authorization": "Bearer ${input:penstock-token}"}
        entry = {"type": "http", "url": url, "headers": headers}
        return _json({"inputs": [asked], "servers": {"penstock": entry}})
    headers = {"Authorization": "Bearer ${env:PENSTOCK_TOKEN}"}
    return _json({"mcpServers": {"penstock": {"url": url, "headers": headers}}})


def command_line(session: Session) -> tuple[str, list[str]]:
    """This program by its full path, since agents have another PATH, and its arguments."""
    beside = Path(sys.executable).with_name("penstock")
    program = str(beside) if beside.is_file() else shutil.which("penstock")
    chosen = ["--url", session.url] if session.url else []
    if session.config_file:
        chosen += ["--config", str(Path(session.config_file).absolute())]
    return program or "penstock", [*chosen, "mcp"]


def _json(value: Any) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False)
