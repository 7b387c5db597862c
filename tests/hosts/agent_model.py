"""A model that plays what a prompt names: coding agents can do a task without an account.

The word behind `PLAY:` says what, and the one behind `FILE:` of which file. It keeps nothing of a
conversation: what comes next is how many calls gave something since the task was given.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field

from hosts.dialects import Call, Conversation, Given, Said, Say

#: What the model says of a task that it has done.
DONE = "That is done."
#: How agents tell the model where they work.
_WHERE = re.compile(r"(?:working directory: |<cwd>)(/[^\s<]+)", re.IGNORECASE)
#: Seconds that an answer is held, whatever the test does.
_HELD_SECONDS = 300.0


@dataclass
class AgentModel:
    """Plays by the prompt's word: edit, hold."""

    port: int = 0
    unknown: list[str] = field(default_factory=list)
    #: Prompts whose answer is held back at the moment.
    held: list[str] = field(default_factory=list)
    _free: threading.Event = field(default_factory=threading.Event)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def let_go(self) -> None:
        """Give the answers that were held back."""
        self._free.set()

    def answer(self, conversation: Conversation) -> Say | Call:
        """What comes next."""
        task, done = _task_in(conversation)
        if task is None or not conversation.tools:
            return Say("a title")
        play, file = task
        if play == "hold":
            self.held.append(file)
            self._free.wait(_HELD_SECONDS)
            return Say(DONE)
        if done:
            return Say(DONE)
        [*_, where] = _WHERE.findall(conversation.told) or ["."]
        return _write(conversation.tools, f"{where}/{file}")


def _task_in(conversation: Conversation) -> tuple[tuple[str, str] | None, int]:
    """The task that was given last, and how many calls gave something since."""
    task, done = None, 0
    for turn in conversation.turns:
        if isinstance(turn, Given):
            done += 1
        elif isinstance(turn, Said) and (told := re.findall(r"PLAY:(\w+) FILE:(\S+)", turn.text)):  # fmt: skip
            task, done = told[-1], 0
    return task, done


def _write(tools: Mapping[str, str], path: str) -> Call:
    """The call that writes a file, by the tool that the agent has for it."""
    names = {name.lower(): name for name in tools}
    text = "written by a scripted model\n"
    if "write" in names:
        key = "file_path" if names["write"] == "Write" else "filePath"
        return Call(names["write"], {key: path, "content": text})
    line = f"printf '%s' '{text}' > {path}"
    if "exec_command" in names:
        # Codex asks only for what its sandbox keeps it from.
        beyond = {"sandbox_permissions": "require_escalated", "justification": "for the test"}  # fmt: skip
        return Call(names["exec_command"], {"cmd": line, **beyond})
    return Call(names["bash"], {"command": line, "description": "for the test"})
