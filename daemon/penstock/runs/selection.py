"""Which runs a word of a person means: the one place where a number, the beginning of an id, `@failed` or a
filter becomes ids.

An id as it is goes before all else, so that a program that knows its ids meets no surprise.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from penstock.log.filters import RunFilter, parse_filter
from penstock.log.kept import RunRow
from penstock.log.store import Store
from penstock.words.api import NamedRun
from penstock.words.errors import Refused, RunNotFound
from penstock.words.lifecycle import (
    EXECUTING_STATES,
    FAILED,
    OPEN_STATES,
    QUEUED_STATES,
    State,
)
from penstock.words.near_words import did_you_mean
from penstock.words.priority import Priority
from penstock.words.run_id import NAME_LABEL, check_run_id
from penstock.words.sentences import about

#: Runs that one word may select: a queue of the usual capacity.
MOST_SELECTED = 10_000
#: Runs that are read at once.
PAGE = 500
#: Runs named when a word means several and only one is wanted.
MOST_NAMED = 5

_RUNNING: frozenset[State] = frozenset(EXECUTING_STATES)
# Children follow what they belong to, so none of these words means one.
_SETS: Mapping[str, RunFilter] = {
    "@running": RunFilter(states=_RUNNING, top=True),
    "@queued": RunFilter(states=frozenset(QUEUED_STATES), top=True),
    "@failed": RunFilter(states=frozenset({FAILED}), top=True, untried=True),
    "@open": RunFilter(states=frozenset(OPEN_STATES), top=True),
    "@all": RunFilter(top=True),
}
_NUMBER = re.compile(r"#?([0-9]{1,18})")
_LAST = re.compile(r"@(?:last|-([1-9][0-9]{0,3}))")


@dataclass(frozen=True, slots=True)
class Selection:
    """Finds runs in a log."""

    store: Store

    async def numbered(self, text: str) -> str | None:
        """The id of the run that an address names by its number; None: it names none so.

        An older log may have a run whose id is this number: that goes first. RunNotFound.
        """
        found = _NUMBER.fullmatch(text)
        if found is None or await self.store.run(text) is not None:
            return None
        return (await self._one(RunFilter(number=int(found[1])), text)).run_id

    async def select(self, word: str) -> list[NamedRun]:
        """The runs that the word means, newest first; RunNotFound if there is none.

        "" means what is of interest now: the one that runs alone, else the newest. Refused for a
        filter that is none, for the beginning of several ids, and where a word means too many.
        """
        if not word:
            return [named_run(await self._of_interest())]
        if (row := await self._known(word)) is not None:
            return [named_run(row)]
        if number := _NUMBER.fullmatch(word):
            return [named_run(await self._one(RunFilter(number=int(number[1])), word))]
        if last := _LAST.fullmatch(word):
            return [named_run(await self._nth_newest(int(last[1] or 1), word))]
        if word.startswith("@"):
            if (wanted := _SETS.get(word)) is None:
                known = ("@last", "@-2", *_SETS)
                hint = did_you_mean(word, known)
                why = f"{word!r} is none of {', '.join(known)}{hint}"
                raise Refused("word", why)
            return await self._all(wanted, word)
        if ":" in word or " " in word:
            return await self._all(parse_filter(word), word)
        return [named_run(await self._beginning(word))]

    async def _known(self, word: str) -> RunRow | None:
        try:
            return await self.store.run(check_run_id(word))
        except ValueError as error:
            raise Refused("word", str(error)) from None

    async def _of_interest(self) -> RunRow:
        running = await self.store.runs(replace(_SETS["@running"], limit=2))
        if len(running) == 1:
            return running[0]
        return await self._nth_newest(1, "@last")

    async def _nth_newest(self, count: int, word: str) -> RunRow:
        before = None
        while count > 0:
            page = replace(_SETS["@all"], before=before, limit=min(count, PAGE))
            if not (rows := await self.store.runs(page)):
                raise _none(word)
            count, before = count - len(rows), rows[-1].place
        return rows[-1]

    async def _one(self, wanted: RunFilter, word: str) -> RunRow:
        rows = await self.store.runs(replace(wanted, limit=1))
        if not rows:
            raise _none(word)
        return rows[0]

    async def _beginning(self, word: str) -> RunRow:
        wanted = RunFilter(begins=check_run_id(word), limit=MOST_NAMED + 1)
        rows = await self.store.runs(wanted)
        if not rows:
            raise _none(word, await self._meant(word))
        if len(rows) == 1:
            return rows[0]
        names = [f"{row.run_id} ({row.key})" for row in rows[:MOST_NAMED]]
        more = ", …" if len(rows) > MOST_NAMED else ""
        why = f"several ids begin with {word!r}: {', '.join(names)}{more}"
        raise Refused("word", why)

    async def _meant(self, word: str) -> str:
        """What to say to whoever typed what no id begins with: names are no ids, but many are thought to be."""
        named = RunFilter(labels={NAME_LABEL: word}, limit=1)
        if rows := await self.store.runs(named):
            return f"; {rows[0].key} has that name, as `'label:name={word}'` finds all"
        newest = await self.store.runs(replace(_SETS["@all"], limit=PAGE))
        return did_you_mean(word, dict.fromkeys(row.run_id for row in newest))

    async def _all(self, wanted: RunFilter, word: str) -> list[NamedRun]:
        found: list[NamedRun] = []
        before = None
        while len(found) <= MOST_SELECTED:
            page = replace(wanted, before=before, limit=PAGE)
            rows = await self.store.runs(page)
            found += map(named_run, rows)
            if len(rows) < PAGE:
                break
            before = rows[-1].place
        if not found:
            raise _none(word)
        if len(found) > MOST_SELECTED:
            why = f"{word!r} means more than {MOST_SELECTED} runs; say more of them"
            raise Refused("word", why)
        return found


def named_run(row: RunRow) -> NamedRun:
    """What a person needs to know which run it is."""
    return NamedRun(
        run_id=row.run_id,
        number=row.key,
        kind=row.kind,
        state=row.state,
        name=row.labels.get(NAME_LABEL),
        about=about(row.shown),
        priority=Priority(row.priority).name,
        parent_id=row.parent_id,
    )


def no_group(group: str, known: Iterable[str]) -> Refused:
    """What to raise for a group that there is not."""
    hint = did_you_mean(group, known)
    return Refused("group", f"there is no group {group[:200]!r}{hint}")


def _none(word: str, hint: str = "") -> RunNotFound:
    return RunNotFound(f"there is no run {word!r}{hint}", word=word)
