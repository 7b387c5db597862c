"""How things stand at the beginning of a turn: what commands say, and what the turn before printed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from penstock.kinds.loop.inputs import LoopInputs
from penstock.pipeline import (
    Log,
    ProcessFailed,
    Run,
    bytes_of,
    end_in_words,
    plain_text,
)

#: Characters of one output that a model is shown: its end tells what went wrong. A few
#: observations must fit a small window.
OBSERVED_CHARACTERS = 2000

# What a shell exits with when it cannot execute a line: trying again will not help.
_NOT_EXECUTABLE = (126, 127)

# Facts read at once.
_PAGE = 500


async def observe(run: Run, inputs: LoopInputs, turn: int) -> dict[str, Any]:
    """`{"exit_code", "output"}`: the code of `until`, and what a model is shown of all outputs.

    ProcessFailed for a line that no shell can execute.
    """
    await run.progress(f"turn {turn}", (turn - 1) / (inputs.max_turns + 1))
    code, parts = None, []
    if inputs.goal is not None and turn > 1:
        printed = await _printed_by(run, f"{run.run_id}.turn-{turn - 1}")
        parts.append(f"The last turn printed:\n{printed or '(nothing)'}")
    if inputs.until is not None:
        code, text = await _execute(run, inputs, inputs.until)
        parts.append(text)
    if inputs.observe is not None and code != 0:
        _, text = await _execute(run, inputs, inputs.observe)
        parts.append(text)
    return {"exit_code": code, "output": "\n\n".join(filter(None, parts))}


async def _execute(run: Run, inputs: LoopInputs, line: str) -> tuple[int | None, str]:
    """A line's exit code, and what a model is shown of it: "" without one."""
    ended = await run.exec(
        ["/bin/sh", "-c", f"exec 2>&1\n{line}" if inputs.goal else line],
        cwd=Path(inputs.cwd) if inputs.cwd is not None else None,
        env=inputs.env or None,
        check=False,
        capture=inputs.goal is not None,
    )
    if ended.exit_code in _NOT_EXECUTABLE:
        raise ProcessFailed(f"`{line}` cannot be executed: {end_in_words(ended)}")
    if inputs.goal is None:
        return ended.exit_code, ""
    # A character has at most four bytes.
    text = ended.stdout[-4 * OBSERVED_CHARACTERS :].decode("utf-8", "replace")
    end = text[-OBSERVED_CHARACTERS:].strip()
    return ended.exit_code, f"$ {line}\n{end}\n({end_in_words(ended)})"


async def _printed_by(run: Run, run_id: str) -> str:
    """The end of what a run's processes printed."""
    said, after = b"", 0
    read = run.reads.read
    while facts := await read(run_id, after, _PAGE, types=frozenset({"log"})):
        for fact in facts:
            event = fact.event
            if isinstance(event, Log):
                # A character has at most four bytes.
                said = (said + (bytes_of(event) or b""))[-4 * OBSERVED_CHARACTERS :]
        after = facts[-1].position
    return plain_text(said.decode("utf-8", "replace"))[-OBSERVED_CHARACTERS:].strip()
