"""The command line's own words, typed in the dashboard: what `penstock` says to them is shown below."""

from __future__ import annotations

import asyncio
import os
import shlex
import sys
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from typing import ClassVar

from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.suggester import SuggestFromList
from textual.widget import Widget
from textual.widgets import Input, Static

from penstock.words.address import Address
from penstock_tui.screens.dialog import Dialog, label
from penstock_tui.wording import LONGEST_LINE, plain

#: Seconds a command may take; what lasts longer is for a terminal of its own.
PATIENCE = 30.0
#: Characters of its output that are shown, the last ones.
MOST_SHOWN = 20_000
#: Verbs that are completed.
OFFERED = (
    "answer", "artifacts", "asks", "audit", "cancel", "clients", "doctor", "drain", "events", "health",
    "intervene", "list", "logs", "models", "pause", "queue", "resume", "retry", "send", "show",
    "submit", "wait", "why",
)  # fmt: skip
#: Verbs that need a terminal, or last: there is none here.
ELSEWHERE = frozenset({"attach", "follow", "mcp", "run", "serve", "tui"})


def words_of(typed: str) -> list[str]:
    """The words of a command, as a shell would split them. ValueError says what is wrong with them."""
    words = shlex.split(typed)
    if words[:1] == ["penstock"]:
        del words[0]
    if words and words[0] in ELSEWHERE:
        also = "; submit starts a run" if words[0] == "run" else ""
        raise ValueError(f"{words[0]} needs a terminal of its own{also}")
    return words


async def ask_penstock(words: Sequence[str], address: Address | None) -> str:
    """What `penstock WORDS` prints, of both kinds; it talks to the daemon that is looked at."""
    try:
        code, said = await _run_penstock(words, address, asyncio.subprocess.STDOUT)
    except TimeoutError:
        return f"it took more than {PATIENCE:.0f} s, and was given up"
    text = said.decode(errors="replace")[-MOST_SHOWN:].rstrip()
    return text or ("done" if code == 0 else f"exit {code}")


async def ask_for_words(line: str, address: Address | None) -> list[str]:
    """What may stand for the word that the line ends in, as a shell is told with Tab; none in time is none."""
    wanted = {"_PENSTOCK_COMPLETE": "bash_complete", "COMP_LINE": f"penstock {line}"}
    try:
        _, said = await _run_penstock((), address, asyncio.subprocess.DEVNULL, wanted)
    except TimeoutError:
        return []
    rows = [row.split("\t") for row in said.decode(errors="replace").split("\n")]
    return [row[1] for row in rows if row[0] == "plain" and len(row) > 1]


async def _run_penstock(
    words: Sequence[str],
    address: Address | None,
    stderr: int,
    more: Mapping[str, str] | None = None,
) -> tuple[int | None, bytes]:
    """The code and what was printed. TimeoutError."""
    environ = {**os.environ, "NO_COLOR": "1", **(more or {})}
    if address is not None:
        where = f"unix:{address.socket}" if address.socket else address.base
        environ["PENSTOCK_URL"] = where
        if address.token is not None:
            environ["PENSTOCK_TOKEN"] = address.token
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", "from penstock.cli.main import main; main()", *words,
        stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE,
        stderr=stderr, env=environ,
    )  # fmt: skip
    try:
        async with asyncio.timeout(PATIENCE):
            said, _ = await process.communicate()
    finally:
        with suppress(ProcessLookupError):
            process.kill()
        await process.wait()
    return process.returncode, said


def completed(line: str, found: Sequence[str]) -> str:
    """The line with as much more of its last word as all that was found have in common."""
    before = line[: len(line) - len(_begun(line))]
    common = _shared(found)
    if len(found) == 1 and not common.endswith(("=", ":", "/")):
        common += " "
    return f"{before}{common}" if len(common) > len(_begun(line)) else line


def _shared(words: Sequence[str]) -> str:
    """What all of them begin with: no more than the first and the last in order do."""
    if not words:
        return ""
    first, last = min(words), max(words)
    pairs = enumerate(zip(first, last, strict=False))
    return first[: next((n for n, (a, b) in pairs if a != b), len(first))]


def _begun(line: str) -> str:
    return line[line.rfind(" ") + 1 :]


class CommandDialog(Dialog):
    """Asks again and again, until it is left."""

    heading = "penstock"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up", "earlier", "Earlier", show=False, id="command.earlier"),
        Binding(
            "tab", "complete", "Complete", show=False, priority=True, id="command.tab"
        ),
    ]

    def __init__(self, address: Address | None, typed: str, given: list[str]) -> None:
        super().__init__()
        self._address, self._typed = address, typed
        #: What was asked before, in this dashboard.
        self._given = given
        self._back = 0

    def contents(self) -> Iterable[Widget]:
        yield Input(
            self._typed,
            placeholder="list state:failed   why ID   cancel ID …",
            suggester=SuggestFromList(OFFERED),
            id="text",
        )
        yield VerticalScroll(Static(markup=False, id="said"), id="answer")
        yield label("enter asks   tab completes   ↑ earlier   esc leaves", hint=True)

    def on_mount(self) -> None:
        self.query_one(Input).focus()

    def action_earlier(self) -> None:
        if self._back < len(self._given):
            self._back += 1
            field = self.query_one(Input)
            field.value = self._given[-self._back]
            field.action_end()

    def action_complete(self) -> None:
        """Go on with the word before the cursor, or show what it may be."""
        field = self.query_one(Input)
        line = field.value[: field.cursor_position]
        self.run_worker(self._complete(line), group="complete", exclusive=True)

    async def _complete(self, line: str) -> None:
        found = await ask_for_words(line, self._address)
        field = self.query_one(Input)
        if field.value[: field.cursor_position] != line:
            return  # more was typed meanwhile
        more, rest = completed(line, found), field.value[len(line) :]
        field.value = f"{more}{rest}"
        field.cursor_position = len(more)
        if len(found) != 1:
            self._show("   ".join(found) or "nothing fits")

    def on_input_submitted(self, event: Input.Submitted) -> None:
        try:
            words = words_of(event.value)
        except ValueError as error:
            self._show(str(error))
            return
        if words:
            self._given.append(event.value)
            self._back = 0
            self._show("…")
            self.run_worker(self._ask(words), exclusive=True)

    async def _ask(self, words: list[str]) -> None:
        self._show(await ask_penstock(words, self._address))

    def _show(self, text: str) -> None:
        lines = (plain(line[:LONGEST_LINE]) for line in text.split("\n"))
        if self.is_attached:
            self.query_one("#said", Static).update("\n".join(lines))
