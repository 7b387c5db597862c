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
from typing import TYPE_CHECKING

import click

from penstock.cli.host_files import write_entry
from penstock.cli.mcp_hosts import HOSTS, LOCATING, Launch, Port, snippet
from penstock.cli.output import say, show_line
from penstock.cli.session import Session, pass_session, run_async
from penstock.words.errors import DaemonUnreachable
from penstock.words.holder import read_holder

if TYPE_CHECKING:
    from penstock.cli.stdio import Pipe
    from penstock.client.bridge import Bridge
    from penstock.words.address import Address

#: Seconds in which a daemon that holds its lock has surely begun to listen, or has ended; hosts give
#: a server about ten.
PASSING_SECONDS = 8.0
#: Seconds between two looks at it.
LOOK_SECONDS = 0.05
#: Seconds that answers may still take after the agent closed its end.
LAST_ANSWERS_SECONDS = 1.0


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
@click.argument("host", type=click.Choice(sorted(HOSTS)))
@click.option("--http", is_flag=True, help="For the daemon's port instead of stdio.")
@click.option("--write", is_flag=True, help="Put it into the host's own file.")
@pass_session
def config(session: Session, host: str, http: bool, write: bool) -> None:
    """Print what to paste so that a host finds the daemon, or write it there.

    `json` is for hosts that are not named. With --write what the file held before is kept beside it.
    """
    chosen = HOSTS[host]
    way = port_of(session) if http else launch_of(session)
    if not write:
        show_line(snippet(chosen, way))
        if http and host != "claude":
            say("the host needs PENSTOCK_TOKEN; `penstock token show --show` prints it")
        return
    path = chosen.path(session.environ, Path.cwd())
    if path is None:
        raise click.UsageError(f"{host} has no file of its own; leave --write out")
    changed = write_entry(chosen, way, path)
    say(f"{path} {'has it now' if changed else 'has it already'}")


async def carry(session: Session) -> None:
    """Carry messages between stdin, stdout and a daemon."""
    import trio

    from penstock.carried import keep_late_code
    from penstock.cli.stdio import open_pipe
    from penstock.client.bridge import open_bridge
    from penstock.client.surroundings import caller_of, trace_of

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
                    address,
                    pipe.send,
                    caller_of(session.environ, address),
                    session.heard,
                    trace_of(session.environ),
                ) as bridge,
            ):
                # An agent stays for days, and an upgrade may come meanwhile. It is in a hurry only
                # at first: hosts ask their model without the tools of who answers late.
                nursery.start_soon(trio.to_thread.run_sync, keep_late_code)
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
    address = await find_daemon(session)
    if address is not None:
        yield address
        return
    from penstock.service.embedded import open_embedded

    say("no daemon is running; runs live as long as this agent stays")
    config, _ = session.config()
    name = f"mcp-{secrets.token_hex(4)}"
    async with open_embedded(config, name, session.environ) as daemon:
        yield daemon.address


async def find_daemon(session: Session) -> Address | None:
    """The daemon that listens; None if there is none and the user named none.

    Nothing is asked of it, since the agent waits: its own first request tells the rest. While a lock
    is held its daemon starts or stops, and this waits for it: no other may stand in for it.
    """
    import trio

    deadline = trio.current_time() + PASSING_SECONDS
    while True:
        try:
            address = session.address()
            await _knock(address)
            return address
        except DaemonUnreachable:
            held = read_holder(session.paths().lock) is not None
            if not held and not session.named:
                return None
            if not held or trio.current_time() > deadline:
                raise
        await trio.sleep(LOOK_SECONDS)


async def _knock(address: Address) -> None:
    """Whether somebody listens at a socket of ours; DaemonUnreachable if not."""
    import trio

    from penstock.client.requests import not_there

    if address.socket is None:
        await trio.lowlevel.checkpoint()
        return
    try:
        stream = await trio.open_unix_socket(address.socket)
    except OSError:
        raise not_there(address) from None
    await stream.aclose()


def launch_of(session: Session) -> Launch:
    """This program and its arguments, and what says where the daemon is in a bare environment."""
    chosen = ["--url", session.url] if session.url else []
    if session.config_file:
        chosen += ["--config", str(Path(session.config_file).absolute())]
    told = {
        name: session.environ[name] for name in LOCATING if session.environ.get(name)
    }
    return Launch(_program(), (*chosen, "mcp"), told)


def port_of(session: Session) -> Port:
    """The port of the daemon that runs, or the configured one."""
    holder = read_holder(session.paths().lock)
    url = session.url or (holder.url if holder is not None else None)
    if url is None:
        values, _ = session.config()
        url = f"http://127.0.0.1:{values.port}"
    return Port(f"{url}/mcp", shlex.join([_program(), "token", "header"]))


def _program() -> str:
    beside = Path(sys.executable).with_name("penstock")
    return str(beside) if beside.is_file() else shutil.which("penstock") or "penstock"
