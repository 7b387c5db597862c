"""Questions of runs that are told on a terminal, put to the person there: a key answers.

One stands there at a time. What else answers them meanwhile (another terminal, the dashboard, their
time) is told, and the next one is put.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from penstock.cli.ask_lines import details_of, show_question
from penstock.cli.keyboard import Keyboard, is_person_there, open_keyboard
from penstock.cli.notes import RunNotes
from penstock.cli.output import Word, say, show_line
from penstock.cli.transcript import TranscriptWriter
from penstock.client.sync import SyncClient
from penstock.words.errors import DaemonUnreachable, PenstockError
from penstock.words.printed import ShownFact
from penstock.words.terminal_types import TERMINAL_TYPES

#: Seconds in which nobody has read a question: a key that comes sooner was meant for something else.
UNREAD_SECONDS = 0.5
#: Seconds between two looks whether we are in the foreground again.
LOOK_SECONDS = 1.0
#: What can be done with a question but to answer it.
MORE, LATER = "more", "later"
_OF_ASKS = frozenset({"ask.raised", "ask.answered", "ask.withdrawn"})


@dataclass(eq=False)
class PutQuestion:
    """A question that waits, and whose it is."""

    run_id: str
    who: str
    notes: RunNotes
    event: Any
    #: key -> what it says; none where a line is wanted.
    keys: Mapping[str, str] = field(default_factory=dict)
    #: Told the diff that was shown whole.
    seen: Callable[[str], None] = lambda _diff: None

    @property
    def name(self) -> str:
        return str(self.event.name)


class TerminalAsks:
    """See the module's text. `keyboard`: None where no person is; then every fact is told as it was."""

    def __init__(
        self,
        client: SyncClient | None,
        keyboard: Keyboard | None,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._client, self._now = client, now
        self._keyboard = keyboard if client is not None else None
        self._waiting: deque[PutQuestion] = deque()
        self._put: PutQuestion | None = None
        self._put_at = 0.0
        #: What was answered here, whose fact is no news.
        self._answered: set[tuple[str, str]] = set()

    def before(self, notes: RunNotes, who: str = "") -> None:
        """Have the questions of this run put here; the rest of it goes on to its writer."""
        if self._keyboard is not None:
            notes.writer = AsksWriter(self, notes, who)

    @property
    def fileno(self) -> int | None:
        """See `Carried`."""
        if self._put is None or self._keyboard is None:
            return None
        return self._keyboard.fileno

    def due(self, now: float) -> float | None:
        """See `Carried`."""
        return (
            now + LOOK_SECONDS
            if self._put is not None and self.fileno is None
            else None
        )

    def turn(self, now: float, *, readable: bool) -> None:
        """See `Carried`."""
        if self._keyboard is None or self._put is None:
            return
        if not readable:
            if self.fileno is not None and self._put.keys:
                self._keyboard.take_keys()
            return
        typed = self._keyboard.read()
        if not typed:
            self._part()
        elif self._put.keys:
            self._press(self._put, typed)
        else:
            self._answer(self._put, typed.strip("\r\n"))

    def raise_(self, question: PutQuestion) -> bool:
        """One more is asked: whether it will be put, since somebody types here."""
        if self._keyboard is None:
            return False
        self._waiting.append(question)
        question.notes.asked_here = True
        return True

    def over(self, run_id: str, name: str | None) -> bool:
        """It is open no more (None: none of the run is): whether that is news, since it was not answered here."""

        def meant(question: PutQuestion) -> bool:
            return question.run_id == run_id and name in (None, question.name)

        gone = [question for question in self._waiting if meant(question)]
        self._waiting = deque(q for q in self._waiting if not meant(q))
        for question in gone:
            self._mark(question.notes)
        if self._put is not None and meant(self._put):
            self._clear()
        here = (run_id, name or "") in self._answered
        self._answered.discard((run_id, name or ""))
        return not here

    def show_next(self) -> None:
        """Put the next one, if none stands there."""
        if self._put is not None or not self._waiting or self._keyboard is None:
            return
        question = self._put = self._waiting.popleft()
        question.notes.end_line()
        cut = show_question(question.event, question.who)
        if (diff := details_of(question.event).diff) and not cut:
            question.seen(diff)
        further = [MORE] if cut else []
        choices = list(getattr(question.event, "choices", ()))
        if choices:
            question.keys = keys_for([*choices, *further, LATER])
            self._keyboard.take_keys()
            show_line("  " + "  ".join(_with_key(k, w) for k, w in question.keys.items()), err=True)  # fmt: skip
        else:
            self._keyboard.take_lines()
            show_line("  type the answer, and Enter", err=True)
        self._put_at = self._now()

    def _press(self, question: PutQuestion, typed: str) -> None:
        """A key. What is pasted, and keys that send more than a letter, are none."""
        said = question.keys.get(typed.strip("\r\n"))
        if said is None or self._now() - self._put_at < UNREAD_SECONDS:
            return
        if said == LATER and LATER not in question.event.choices:
            self._leave(question)
        elif said == MORE and MORE not in question.event.choices:
            show_question(question.event, question.who, whole=True)
        else:
            self._answer(question, said)

    def _answer(self, question: PutQuestion, text: str) -> None:
        default = getattr(question.event, "default", None)
        text = text or default or ""
        if not text or self._client is None:
            return
        try:
            self._client.answer(question.run_id, question.name, text)
        except DaemonUnreachable as error:
            # It may be back soon, and the question is open then.
            say(str(error))
            return
        except PenstockError as error:
            say(str(error))
        else:
            self._answered.add((question.run_id, question.name))
            show_line(Word(f"  → {text}", "green"), err=True)
        self._clear()
        self.show_next()

    def _leave(self, question: PutQuestion) -> None:
        say(f"it stays open: `penstock answer {question.run_id}`")
        self._clear()
        self.show_next()

    def _part(self) -> None:
        """Nobody types here any more."""
        left = [q for q in (self._put, *self._waiting) if q is not None]
        self._waiting.clear()
        self._clear()
        self._keyboard = None
        for question in left:
            self._mark(question.notes)
            say(f"it stays open: `penstock answer {question.run_id}`")

    def _clear(self) -> None:
        put, self._put = self._put, None
        if put is not None:
            self._mark(put.notes)
        if self._keyboard is not None:
            self._keyboard.give_back()

    def _mark(self, notes: RunNotes) -> None:
        """Whether a question of this run stands here, or is next in line."""
        open_ = (self._put, *self._waiting)
        notes.asked_here = any(q is not None and q.notes is notes for q in open_)


class AsksWriter:
    """Passes on what a run tells but for its questions, which are put."""

    def __init__(self, asks: TerminalAsks, notes: RunNotes, who: str) -> None:
        self._asks, self._notes, self._who = asks, notes, who
        self._writer = notes.writer

    def write(self, facts: Iterable[ShownFact]) -> None:
        """See `FactWriter`."""
        passing: list[ShownFact] = []
        for fact in facts:
            if fact.type in TERMINAL_TYPES:
                self._asks.over(fact.run_id, None)
            if fact.type not in _OF_ASKS:
                passing.append(fact)
                continue
            self._writer.write(passing)
            passing = []
            self._take(fact)
        self._writer.write(passing)
        self._asks.show_next()

    def end_line(self) -> None:
        """See `FactWriter`."""
        self._writer.end_line()

    def _take(self, fact: ShownFact) -> None:
        event: Any = fact.event
        if fact.type == "ask.raised":
            question = PutQuestion(fact.run_id, self._who, self._notes, event)
            if isinstance(self._writer, TranscriptWriter):
                question.seen = self._writer.note_seen
            news = not self._asks.raise_(question)
        else:
            # Somebody else was faster, or it was taken back.
            news = self._asks.over(fact.run_id, event.name)
        if news:
            self._writer.write([fact])


@contextmanager
def open_terminal_asks(
    client: SyncClient | None, *, wanted: bool
) -> Iterator[TerminalAsks]:
    """For as long as runs are told; `wanted`: whether they are told to a person."""
    if not wanted or client is None or not is_person_there():
        yield TerminalAsks(None, None)
        return
    with open_keyboard() as keyboard:
        yield TerminalAsks(client, keyboard)


def keys_for(words: Sequence[str]) -> dict[str, str]:
    """A key for each word: the first of its letters that is free, else a digit. A word may get none."""
    keys: dict[str, str] = {}
    for word in words:
        letters = (c for c in word.lower() if c.isascii() and c.isalpha())
        free = (c for c in (*letters, *"123456789") if c not in keys)
        if (key := next(free, None)) is not None:
            keys[key] = word
    return keys


def _with_key(key: str, word: str) -> str:
    """`[a]llow`."""
    at = word.lower().find(key)
    return f"[{key}] {word}" if at < 0 else f"{word[:at]}[{key}]{word[at + 1 :]}"
