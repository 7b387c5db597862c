"""A coding agent that comes to a phase and stays there: `acting_agent.py PHASE MARK FOLDER`.

Each life makes a file `PHASE.PID` in FOLDER once it is there. What it starts carries MARK in its arguments.
Standard library only, since each run starts one.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

#: Where an agent may be when it is cancelled; from `asks` it goes on once it is answered.
PHASES = ("starts", "opens", "thinks", "talks", "works", "asks")
#: Every agent ends by itself after so many seconds, whatever becomes of the drill.
LIFE_SECONDS = 120
#: What it writes once it is allowed to.
FILE = "written.txt"

_OPTIONS = [
    {"optionId": "once", "name": "Allow", "kind": "allow_once"},
    {"optionId": "no", "name": "Reject", "kind": "reject_once"},
]


def main(phase: str, mark: str, folder: str) -> None:
    """Speak until the input ends, or stay for good where the phase is."""
    if phase == "starts":
        _stay(phase, folder)
    prompt: Any = None
    for line in sys.stdin:
        told = json.loads(line)
        method, number = told.get("method"), told.get("id")
        if method == "initialize":
            able = {"loadSession": True}
            _say(id=number, result={"protocolVersion": 1, "agentCapabilities": able})
        elif method in ("session/new", "session/load"):
            if phase == "opens":
                _stay(phase, folder)
            _say(id=number, result={"sessionId": "s1"})
        elif method == "session/prompt":
            prompt = number
            _act(phase, mark, folder)
        elif method == "session/cancel":
            _say(id=prompt, result={"stopReason": "cancelled"})
        elif number == "q1":
            _finish(told, prompt)


def _act(phase: str, mark: str, folder: str) -> None:
    """Come to where the phase is, within a turn."""
    if phase == "talks":
        for number in range(100):
            _update(
                "agent_message_chunk", content={"type": "text", "text": f"{number} "}
            )
    elif phase == "works":
        # One stays in its group, and one leaves its session.
        stay = f"import time; time.sleep({LIFE_SECONDS})"
        words = [sys.executable, "-I", "-S", "-c", stay, mark]
        for apart in (False, True):
            subprocess.Popen(words, stdout=subprocess.DEVNULL, start_new_session=apart)
    elif phase == "asks":
        call = {"toolCallId": "t1", "title": f"Write {FILE}", "kind": "edit", "rawInput": {"path": FILE}}  # fmt: skip
        _update("tool_call", status="pending", **call)
        wish = {"sessionId": "s1", "toolCall": call, "options": _OPTIONS}
        _say(id="q1", method="session/request_permission", params=wish)
    _arrive(phase, folder)


def _finish(told: dict[str, Any], prompt: Any) -> None:
    """What it was answered, done."""
    outcome = told.get("result", {}).get("outcome", {})
    if outcome.get("optionId") == "once":
        Path(FILE).write_text("allowed\n", encoding="utf-8")
    if "optionId" in outcome:
        _update("tool_call_update", toolCallId="t1", status="completed")
        _say(id=prompt, result={"stopReason": "end_turn"})


def _update(what: str, **told: Any) -> None:
    params = {"sessionId": "s1", "update": {"sessionUpdate": what, **told}}
    _say(method="session/update", params=params)


def _say(**message: Any) -> None:
    sys.stdout.write(json.dumps({"jsonrpc": "2.0", **message}) + "\n")
    sys.stdout.flush()


def _arrive(phase: str, folder: str) -> None:
    Path(folder, f"{phase}.{os.getpid()}").touch()


def _stay(phase: str, folder: str) -> None:
    _arrive(phase, folder)
    time.sleep(LIFE_SECONDS)
    raise SystemExit(1)


if __name__ == "__main__":
    main(*sys.argv[1:])
