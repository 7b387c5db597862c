"""A coding agent that speaks the protocol and does what its scenario says, in memory or as a program.

As a program: `python scripted_agent.py SCENARIO`. It needs nothing of Penstock.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import trio

OPTIONS = [
    {"optionId": "always", "name": "Always allow", "kind": "allow_always"},
    {"optionId": "once", "name": "Allow", "kind": "allow_once"},
    {"optionId": "reject", "name": "Reject", "kind": "reject_once"},
]
MODES = {
    "currentModeId": "default",
    "availableModes": [{"id": "default"}, {"id": "plan"}],
}
#: Seconds in which nobody who is to be ended ends by itself.
FOREVER = 600.0
#: Who says one of these opens a session again.
OLD_SESSIONS = {"s1"}

Json = dict[str, Any]


class Died(Exception):
    """The agent is no more."""


def die_in_memory(_code: int) -> None:
    """What `os._exit` is to a program, for one that is none."""
    raise Died


@dataclass(eq=False)
class ScriptedAgent:
    """One life. `die(code)` ends it: an exit with the code, or by a signal if it is negative."""

    scenario: str
    stdin: trio.abc.ReceiveStream
    stdout: trio.abc.SendStream
    cwd: Path
    die: Callable[[int], None] = die_in_memory
    #: What it was told, in order; and the answers to what it asked.
    told: list[Json] = field(default_factory=list)
    answers: dict[Any, Json] = field(default_factory=dict)
    cancelled: trio.Event = field(default_factory=trio.Event)
    turns: int = 0
    _news: trio.Event = field(default_factory=trio.Event)
    _lock: trio.Lock = field(default_factory=trio.Lock)
    _mode: str = "default"

    async def live(self) -> None:
        """Speak until the input ends, or the scenario does."""
        try:
            with suppress(trio.BrokenResourceError, trio.ClosedResourceError):
                await self._live()
        except* Died:
            pass
        finally:
            with trio.CancelScope(shield=True):
                await self.stdout.aclose()
                await self.stdin.aclose()

    async def _live(self) -> None:
        if self.scenario == "dead":
            self.die(3)
        if self.scenario == "deaf":
            await trio.sleep(FOREVER)
        async with trio.open_nursery() as nursery:
            pending = b""
            async for data in self.stdin:
                *lines, pending = (pending + data).split(b"\n")
                for line in lines:
                    await self._hear(json.loads(line), nursery)
            nursery.cancel_scope.cancel()

    # -- saying

    async def write(self, data: bytes) -> None:
        """These bytes, as they are."""
        async with self._lock:
            await self.stdout.send_all(data)

    async def send(self, **message: Any) -> None:
        """A message."""
        await self.write(json.dumps({"jsonrpc": "2.0", **message}).encode() + b"\n")

    async def update(self, name: str, /, **update: Any) -> None:
        """Tell of the session."""
        update = {"sessionUpdate": name, **update}
        params = {"sessionId": "s1", "update": update}
        await self.send(method="session/update", params=params)

    async def say(self, text: str, message: str | None = "m1") -> None:
        """A piece of a message."""
        named = {"messageId": message} if message is not None else {}
        content = {"type": "text", "text": text}
        await self.update("agent_message_chunk", content=content, **named)

    async def ask(self, number: Any, call: str, **told: Any) -> str:
        """Ask for a permission: the option that was chosen, or `cancelled`, or what went wrong."""
        tool = {"toolCallId": call, "status": "pending", **told}
        params = {"sessionId": "s1", "toolCall": tool, "options": OPTIONS}
        await self.send(id=number, method="session/request_permission", params=params)
        return await self.answer_to(number)

    async def answer_to(self, number: Any) -> str:
        """The answer to a question of this number."""
        while number not in self.answers:
            await self._news.wait()
        answer = self.answers[number]
        if "error" in answer:
            return f"error {answer['error']['code']}"
        outcome: Json = answer["result"]["outcome"]
        return str(outcome.get("optionId", outcome["outcome"]))

    # -- hearing

    async def _hear(self, message: Json, nursery: trio.Nursery) -> None:
        self.told.append(message)
        method, number = message.get("method"), message.get("id")
        if method is None:
            self.answers[number] = message
            self._news.set()
            self._news = trio.Event()
        elif method == "session/prompt":
            text = "".join(part["text"] for part in message["params"]["prompt"])
            self.cancelled = trio.Event()
            nursery.start_soon(self._turn, number, text)
        elif method == "session/cancel":
            self.cancelled.set()
        else:
            await self._reply(number, method, message["params"])

    async def _reply(self, number: Any, method: str, params: Json) -> None:
        said = self.scenario
        if method == "initialize" and said == "hang-initialize":
            await trio.sleep(FOREVER)
        if said == "auth" and method == "session/new":
            return await self._refuse(number, -32000, "Authentication required")
        results: dict[str, Callable[[], Json]] = {
            "initialize": self._greeting,
            "session/new": lambda: {"sessionId": "s1", "modes": MODES},
            "session/set_mode": dict,
            "session/load": dict,
            "session/resume": dict,
        }
        known = params.get("sessionId") in OLD_SESSIONS
        if method == "session/resume" and (said != "resume" or not known):
            return await self._refuse(number, -32601, "Method not found")
        if method == "session/load":
            if not known:
                return await self._refuse(number, -32603, "Invalid session identifier")
            await self.update("user_message_chunk", content={"type": "text", "text": "the past"})  # fmt: skip
            await self.say("what was said")
        if method not in results:
            return await self._refuse(number, -32601, "Method not found")
        await self.send(id=number, result=results[method]())
        return None

    async def _refuse(
        self, number: Any, code: int, message: str, data: Any = None
    ) -> None:
        told = {"data": data} if data is not None else {}
        await self.send(id=number, error={"code": code, "message": message, **told})

    def _greeting(self) -> Json:
        resumes: Json = {"resume": {}} if self.scenario.startswith("resume") else {}
        return {
            "protocolVersion": 7 if self.scenario == "version" else 1,
            "agentInfo": {"name": "scripted", "version": "1.0"},
            "agentCapabilities": {
                "loadSession": self.scenario in ("load", "resume-refused"),
                "sessionCapabilities": resumes,
            },
            "authMethods": [{"id": "login", "name": "Log in", "description": "Run `scripted login`"}],
        }  # fmt: skip

    async def _turn(self, number: Any, text: str) -> None:
        self.turns += 1
        turn = SCENARIOS.get(self.scenario, _nothing)
        end = await turn(self, text)
        if isinstance(end, str):
            await self.send(id=number, result={"stopReason": end})
        elif "code" in end:
            await self._refuse(number, **end)
        elif end:
            await self.send(id=number, result=end)


#: What a turn does: the stop reason, a whole result, an error, or {} for no answer.
Turn = Callable[[ScriptedAgent, str], Awaitable[str | Json]]


def _diff(path: str) -> list[Json]:
    return [{"type": "diff", "path": path, "oldText": None, "newText": "x\n"}]


async def _nothing(_agent: ScriptedAgent, _text: str) -> str:
    return "end_turn"


async def _echo(agent: ScriptedAgent, text: str) -> str:
    await agent.say(f"you said: {text}", None)
    return "end_turn"


async def _edit(agent: ScriptedAgent, _text: str) -> str | Json:
    path = str(agent.cwd / "f.txt")
    entries = [
        {"content": "write", "priority": "high", "status": "in_progress"},
        {"content": "tell", "priority": "low", "status": "pending"},
    ]
    await agent.update("plan", entries=entries)
    call = {"title": "Write f.txt", "kind": "edit", "rawInput": {"path": path}}
    where = {"locations": [{"path": path}], "content": _diff(path)}
    await agent.update("tool_call", toolCallId="t1", status="pending", **call, **where)
    chosen = await agent.ask("q1", "t1", **call, **where)
    if chosen == "cancelled":
        return "cancelled"
    if chosen == "once":
        _write(path)
    status = "completed" if chosen == "once" else "failed"
    await agent.update("tool_call_update", toolCallId="t1", status=status)
    await agent.say(f"done {chosen}")
    usage = {"inputTokens": 5, "outputTokens": 6, "totalTokens": 11}
    return {"stopReason": "end_turn", "usage": usage}


def _write(path: str) -> None:
    Path(path).write_text("x\n")


async def _unasked(agent: ScriptedAgent, _text: str) -> str:
    path = str(agent.cwd / "f.txt")
    call = {"toolCallId": "t1", "title": "Write f.txt", "kind": "edit", "rawInput": {"path": path}}  # fmt: skip
    await agent.update("tool_call", status="in_progress", **call)
    _write(path)
    await agent.update("tool_call_update", toolCallId="t1", status="completed")
    return "end_turn"


async def _outside(agent: ScriptedAgent, _text: str) -> str:
    told = {"title": "Write passwd", "kind": "edit", "locations": [{"path": "/etc/passwd"}]}  # fmt: skip
    await agent.say(await agent.ask("q1", "t1", **told))
    return "end_turn"


async def _two_asks(agent: ScriptedAgent, _text: str) -> str:
    chosen: dict[int, str] = {}

    async def one(k: int) -> None:
        command = f"make {k}"
        told = {"kind": "execute", "title": command, "rawInput": {"command": command}}
        chosen[k] = await agent.ask(f"q{k}", f"t{k}", **told)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(one, 0)
        nursery.start_soon(one, 1)
    await agent.say(f"{chosen[0]} {chosen[1]}")
    return "end_turn"


async def _many_asks(agent: ScriptedAgent, _text: str) -> str:
    """A thousand, the first few hundred of them at once."""
    chosen: list[str] = []

    async def one(k: int) -> None:
        told = {"kind": "execute", "title": f"make {k}", "rawInput": {"command": f"make {k}"}}  # fmt: skip
        chosen.append(await agent.ask(k, f"t{k}", **told))

    async with trio.open_nursery() as nursery:
        for k in range(300):
            nursery.start_soon(one, k)
    for k in range(300, 1000):
        await one(k)
    counts = {one: chosen.count(one) for one in sorted(set(chosen))}
    await agent.say(json.dumps(counts))
    return "end_turn"


async def _withdraw(agent: ScriptedAgent, _text: str) -> str:
    async with trio.open_nursery() as nursery:
        nursery.start_soon(_take_back, agent)
        told = {"kind": "execute", "title": "rm -rf /"}
        await agent.say(f"withdrawn: {await agent.ask('q9', 't9', **told)}")
    return "end_turn"


async def _take_back(agent: ScriptedAgent) -> None:
    await trio.sleep(1.5)
    await agent.send(method="$/cancel_request", params={"requestId": "q9"})


async def _fs(agent: ScriptedAgent, _text: str) -> str:
    params = {"sessionId": "s1", "path": "/x", "content": ""}
    await agent.send(id="f1", method="fs/write_text_file", params=params)
    await agent.say(await agent.answer_to("f1"))
    return "end_turn"


async def _same_id(agent: ScriptedAgent, _text: str) -> str:
    """Asks twice under one id, of its own session and of another."""
    params = {"sessionId": "other", "toolCall": {"toolCallId": "t"}, "options": OPTIONS}
    await agent.send(id="q0", method="session/request_permission", params=params)
    told = {"sessionId": "s1", "toolCall": {"toolCallId": "t1"}, "options": OPTIONS}
    await agent.send(id="q1", method="session/request_permission", params=told)
    answers = [await agent.answer_to("q0"), await agent.ask("q1", "t1")]
    await agent.say(" ".join(answers))
    return "end_turn"


async def _wrong_ids(agent: ScriptedAgent, _text: str) -> Json:
    await agent.send(id=999, result={})
    await agent.send(id=None, error={"code": -1, "message": "x"})
    await agent.send(method="session/update", params={"sessionId": "s2", "update": {"sessionUpdate": "plan"}})  # fmt: skip
    number = next(m["id"] for m in reversed(agent.told) if m.get("method") == "session/prompt")  # fmt: skip
    await agent.send(id=number, result={"stopReason": "end_turn"})
    return {"stopReason": "refusal"}


async def _garbage(agent: ScriptedAgent, _text: str) -> str:
    await agent.write(b"npm WARN something is not right\n" * 20)
    await agent.say("after the garbage")
    return "end_turn"


async def _flood_garbage(agent: ScriptedAgent, _text: str) -> str:
    while True:
        await agent.write(b"x" * 100 + b"\n")


async def _binary(agent: ScriptedAgent, _text: str) -> str:
    await agent.write(bytes(range(256)).replace(b"\n", b"") * 20 + b"\n")
    await agent.say("still here")
    return "end_turn"


async def _endless_line(agent: ScriptedAgent, _text: str) -> str:
    await agent.write(b'{"jsonrpc":"2.0","method":"session/update","params":{"x":"')
    while True:
        await agent.write(b"x" * 65536)


async def _many_values(agent: ScriptedAgent, _text: str) -> str:
    await agent.write(b'{"method":"session/update","params":{"x":[' + b"[]," * 2_000_000 + b"1]}}\n")  # fmt: skip
    return "end_turn"


async def _deep(agent: ScriptedAgent, _text: str) -> str:
    await agent.write(b'{"method":"x","params":' + b"[" * 5000 + b"]" * 5000 + b"}\n")
    await agent.say("after the depth")
    return "end_turn"


async def _flood(agent: ScriptedAgent, _text: str, messages: int = 20) -> str:
    """A thousand words a message."""
    for k in range(messages):
        content = {"type": "text", "text": "w "}
        update = {"sessionUpdate": "agent_message_chunk", "messageId": f"m{k}", "content": content}  # fmt: skip
        params = {"sessionId": "s1", "update": update}
        line = json.dumps({"jsonrpc": "2.0", "method": "session/update", "params": params})  # fmt: skip
        await agent.write((line.encode() + b"\n") * 1000)
    return "end_turn"


async def _long_flood(agent: ScriptedAgent, text: str) -> str:
    return await _flood(agent, text, messages=200)


async def _flood_ids(agent: ScriptedAgent, _text: str) -> str:
    """Every word a message of its own, and every tool call another."""
    for k in range(5000):
        await agent.say("w ", f"m{k}")
        await agent.update("tool_call", toolCallId=f"t{k}", title="x", kind="read", status="in_progress")  # fmt: skip
    return "end_turn"


async def _silent(agent: ScriptedAgent, _text: str) -> str:
    await agent.say("hm")
    await trio.sleep(FOREVER)
    return "end_turn"


async def _slow(agent: ScriptedAgent, _text: str) -> str:
    for k in range(3000):
        if agent.cancelled.is_set():
            return "cancelled"
        await agent.say(f"w{k} ")
        await trio.sleep(0.05)
    return "end_turn"


async def _late_cancel(agent: ScriptedAgent, _text: str) -> str:
    """Takes longer to end its turn than anybody waits."""
    await agent.say("working")
    await agent.cancelled.wait()
    await trio.sleep(30)
    return "cancelled"


async def _deaf_cancel(agent: ScriptedAgent, _text: str) -> str:
    await agent.say("working")
    await trio.sleep(FOREVER)
    return "end_turn"


async def _die_in_turn(agent: ScriptedAgent, _text: str) -> str:
    await agent.say("half")
    await trio.sleep(0.3)
    agent.die(-signal.SIGKILL)
    return "end_turn"


async def _exit_in_turn(agent: ScriptedAgent, _text: str) -> str:
    await agent.say("half")
    await trio.sleep(0.3)
    agent.die(0)
    return "end_turn"


async def _die_asking(agent: ScriptedAgent, _text: str) -> str:
    async with trio.open_nursery() as nursery:
        nursery.start_soon(_die_in_turn, agent, "")
        await agent.ask("q1", "t1", kind="execute", title="make", rawInput={"command": "make"})  # fmt: skip
    return "end_turn"


async def _limit(agent: ScriptedAgent, _text: str) -> str | Json:
    """Has its quota spent in its first turn, and not in the second."""
    if agent.turns > 1 or (agent.cwd / "second").exists():
        await agent.say("went on")
        return "end_turn"
    _write(str(agent.cwd / "second"))
    await agent.say("begun")
    span = "2 hours" if agent.scenario == "long-limit" else "4 seconds"
    said = f"You've hit your usage limit. Try again in {span}."
    data = {"message": said, "codexErrorInfo": "usageLimitExceeded"}
    return {"code": -32603, "message": "Internal error", "data": data}


async def _auth_at_prompt(_agent: ScriptedAgent, _text: str) -> Json:
    return {"code": -32000, "message": "Please run /login"}


async def _spend(agent: ScriptedAgent, _text: str) -> str:
    for k in range(1, 100):
        if agent.cancelled.is_set():
            return "cancelled"
        cost = {"amount": k * 0.1, "currency": "USD"}
        await agent.update("usage_update", used=k, size=100, cost=cost)
        await trio.sleep(0.1)
    return "end_turn"


async def _spend_on(agent: ScriptedAgent, _text: str) -> str:
    """Takes no notice of a cancel, and never stops talking."""
    for k in range(1, 6000):
        cost = {"amount": k * 0.1, "currency": "USD"}
        await agent.update("usage_update", used=k, size=100, cost=cost)
        await trio.sleep(0.1)
    return "end_turn"


async def _ponder(agent: ScriptedAgent, _text: str) -> str:
    """Asks, and says nothing for a while once it is answered."""
    await agent.ask("q1", "t1", kind="execute", title="make", rawInput={"command": "make"})  # fmt: skip
    await trio.sleep(50)
    await agent.say("made")
    return "end_turn"


async def _mode(agent: ScriptedAgent, _text: str) -> str:
    """Leaves the mode it was given."""
    await agent.update("current_mode_update", currentModeId="plan")
    return "end_turn"


async def _talk(agent: ScriptedAgent, _text: str) -> str:
    """Thinks, speaks in two messages with a tool between them, and shows more than text."""
    thought = {"type": "text", "text": "let me see"}
    await agent.update("agent_thought_chunk", content=thought)
    await agent.say("I look ", None)
    await agent.say("at it.", None)
    await agent.update("tool_call", toolCallId="t1", title="Read f", kind="read", status="in_progress", rawInput={"path": "f"})  # fmt: skip
    shown = [{"type": "content", "content": {"type": "text", "text": "what f holds"}}]
    await agent.update("tool_call_update", toolCallId="t1", status="completed", content=shown)  # fmt: skip
    await agent.say("It is ", None)
    await agent.update("agent_message_chunk", content={"type": "image", "data": "", "mimeType": "image/png"})  # fmt: skip
    return "end_turn"


async def _stop(_agent: ScriptedAgent, text: str) -> str:
    return text


SCENARIOS: dict[str, Turn] = {
    "auth-at-prompt": _auth_at_prompt, "binary": _binary, "deaf-cancel": _deaf_cancel, "deep": _deep,
    "die-asking": _die_asking, "die-in-turn": _die_in_turn, "echo": _echo, "edit": _edit,
    "endless-line": _endless_line, "exit-in-turn": _exit_in_turn, "flood": _flood, "flood-garbage": _flood_garbage,
    "flood-ids": _flood_ids, "long-flood": _long_flood, "fs": _fs, "garbage": _garbage, "late-cancel": _late_cancel, "limit": _limit, "long-limit": _limit,
    "many-asks": _many_asks, "many-values": _many_values, "mode": _mode, "nothing": _nothing, "outside": _outside,
    "load": _echo, "resume": _echo, "resume-refused": _echo, "same-id": _same_id, "silent": _silent, "slow": _slow,
    "ponder": _ponder, "spend": _spend, "spend-on": _spend_on, "stop": _stop, "talk": _talk, "two-asks": _two_asks, "unasked": _unasked, "withdraw": _withdraw,
    "wrong-ids": _wrong_ids,
}  # fmt: skip
#: What it does instead of coming to a turn.
NO_TURN = ("auth", "dead", "deaf", "hang-initialize", "version")


def _die(code: int) -> None:
    if code < 0:
        os.kill(os.getpid(), -code)
    sys.stderr.write("cannot find module\n" if code else "")
    sys.stderr.flush()
    os._exit(code)


async def _main(scenario: str) -> None:
    if scenario == "deaf-cancel":
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    stdin, stdout = trio.lowlevel.FdStream(os.dup(0)), trio.lowlevel.FdStream(os.dup(1))
    await ScriptedAgent(scenario, stdin, stdout, Path.cwd(), _die).live()


if __name__ == "__main__":
    trio.run(_main, sys.argv[1] if len(sys.argv) > 1 else "edit")
