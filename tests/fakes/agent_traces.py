"""What real agents said, played through the client's half of the protocol."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from penstock.kinds.agent.messages import AgentAnswer, Fault, Noise
from penstock.kinds.agent.offered import PermissionWish
from penstock.kinds.agent.permissions import AgentAct
from penstock.kinds.agent.protocol import AgentProtocol, AgentReply, Update
from penstock.kinds.agent.transcript import Transcript
from penstock.kinds.agent.turns import TurnEnd, read_turn_end
from penstock.pipeline import AnyEvent

TRACES = sorted((Path(__file__).parent.parent / "kinds/agent/traces").glob("*.jsonl"))
#: In the traces each agent works in a folder of its name.
TREE = Path("/repo")


@dataclass
class PlayedTrace:
    """What came of a trace."""

    agent: str
    transcript: Transcript
    facts: list[AnyEvent] = field(default_factory=list)
    ends: list[TurnEnd] = field(default_factory=list)
    faults: dict[str, Fault] = field(default_factory=dict)
    results: dict[str, Any] = field(default_factory=dict)
    acts: list[AgentAct] = field(default_factory=list)
    wishes: list[PermissionWish] = field(default_factory=list)
    refused: int = 0
    noises: list[Noise] = field(default_factory=list)
    past: int = 0


def play_trace(path: Path, tree: Path | None = None) -> PlayedTrace:
    """Say and hear what a trace has, flushing at every turn of whoever speaks."""
    agent = path.stem.partition("-")[2]
    protocol = AgentProtocol()
    transcript = Transcript(1, tree or TREE / agent, agent)
    played = PlayedTrace(agent, transcript)
    methods: dict[int, str] = {}
    for line in path.read_text().splitlines():
        said = json.loads(line)
        message = said["msg"]
        if said["dir"] == ">":
            played.facts += transcript.flush()
            _say(protocol, message, methods)
            continue
        for happening in protocol.receive(json.dumps(message).encode() + b"\n"):
            _hear(played, happening, methods)
    played.facts += transcript.flush()
    assert not protocol.broken
    return played


def _say(
    protocol: AgentProtocol, message: dict[str, Any], methods: dict[int, str]
) -> None:
    method = message.get("method")
    if method == "session/cancel":
        assert protocol.cancel_turn()
    elif method is not None:
        number, _ = protocol.ask(method, message["params"])
        assert number == message["id"]
        methods[number] = method
    elif "result" in message:
        option = message["result"]["outcome"].get("optionId")
        assert protocol.answer_wish(message["id"], option)


def _hear(played: PlayedTrace, happening: Any, methods: dict[int, str]) -> None:
    if isinstance(happening, Update):
        played.past += happening.past
        if not happening.past:
            played.transcript.take(happening.update)
    elif isinstance(happening, PermissionWish):
        played.wishes.append(happening)
        played.acts.append(played.transcript.take_wish(happening.call))
    elif isinstance(happening, AgentReply):
        played.refused += 1
    elif isinstance(happening, AgentAnswer):
        method = methods[happening.number]
        if happening.fault is not None:
            played.faults[method] = happening.fault
        elif method == "session/prompt":
            end = read_turn_end(happening.result)
            played.transcript.end_turn(end.result)
            played.ends.append(end)
        else:
            played.results[method] = happening.result
    else:
        played.noises.append(happening)
