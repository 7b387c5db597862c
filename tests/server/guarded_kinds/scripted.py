"""A kind of somebody else's whose program is an agent: it asks its user something, and may make runs of some kinds."""

import json

import trio

from penstock.pipeline import Inputs, Kind, Output, Run


class Script(Inputs):
    argv: tuple[str, ...]
    kinds: tuple[str, ...] = ()


class Played(Output):
    """Nothing to show."""


async def play(run: Run, inputs: Script) -> Played:
    server = await run.tools_server(inputs.kinds)
    told = {
        "AGENT_TOKEN": server.env["PENSTOCK_TOKEN"],
        "AGENT_SERVER": json.dumps([server.argv, dict(server.env)]),
    }

    async def ask() -> None:
        await run.ask("may I?", "May it?", ("allow", "deny"))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(ask)
        await run.exec(inputs.argv, env=told, check=False)
        nursery.cancel_scope.cancel()
    return Played()


KIND = Kind("scripted", "Is an agent", Script, Played, play, guarded=True)
