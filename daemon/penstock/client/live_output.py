"""A run as it happens, for the client that started it: what its programs print as it is read, and its facts.

What the frames are stands in `words/live_frames`. Who follows waits and reads as with `followed_log`; where the
connection is lost the rest is what that tells, without what was told already.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from penstock.client.followed_log import FollowedLog, FollowedNews, ToldFacts
from penstock.client.log_reader import Skipped
from penstock.client.requests import Request
from penstock.client.response_reader import NoHttp
from penstock.client.sync import OpenAnswer, SyncClient
from penstock.client.told import ToldFact
from penstock.words.errors import PenstockError
from penstock.words.live_frames import (
    BEGUN,
    CONTENT_TYPE,
    MESSAGE,
    PRINTED,
    LiveFrames,
)
from penstock.words.printed import Stream, bytes_of, part_of, piece_in, size_of
from penstock.words.terminal_types import TERMINAL_TYPES

_STREAMS: dict[int, Stream] = {PRINTED["stdout"]: "stdout", PRINTED["stderr"]: "stderr"}


@dataclass(frozen=True, slots=True)
class PrintedNow:
    """Bytes that a program of the run has just written."""

    stream: Stream
    data: bytes


@dataclass(slots=True)
class ShownSoFar:
    """How much of a run's output somebody has: all of some programs, and so many bytes of the last."""

    programs: int = 0
    sizes: dict[Stream, int] = field(default_factory=dict)

    def begin(self) -> None:
        """The next program begins."""
        self.programs += 1
        self.sizes = {}

    def add(self, stream: Stream, count: int) -> None:
        self.sizes[stream] = self.sizes.get(stream, 0) + count

    def cut(self, facts: Iterable[ToldFact]) -> Iterator[ToldFact]:
        """Of facts as they are recorded, from the first on, what he does not have."""
        for fact in facts:
            if fact.type == "process.started":
                self.programs -= 1
                if self.programs < 0:
                    self.sizes = {}
            rest = self._cut(fact)
            if rest is not None:
                yield rest

    def _cut(self, fact: ToldFact) -> ToldFact | None:
        piece = piece_in(fact)
        if piece is None or piece.stream == "pipeline":
            return fact
        if self.programs > 0:
            return None
        size, had = size_of(piece), self.sizes.get(piece.stream, 0)
        if not had:
            return fact
        self.sizes[piece.stream] = max(0, had - size)
        if size <= had:
            return None
        data = bytes_of(piece)
        rest: dict[str, Any] = {"bytes": size - had, "emptied": True}
        if data is not None:
            part = part_of(piece.stream, data[had:])
            rest = {"text": part.text, "base64": part.base64}
        event = {"type": "log", "stream": piece.stream, **rest}
        return ToldFact({**fact.envelope, "event": event})


LiveNews = FollowedNews | PrintedNow


class FollowedLive:
    """What comes of a run that this client submitted and that is told live, to its end.

    While nothing is read the run's program waits. Used as a `FollowedLog` is; the daemon was there to take
    the run, and may be there again.
    """

    def __init__(
        self,
        client: SyncClient,
        run_id: str,
        *,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._client, self._run_id, self._now = client, run_id, now
        self._answer: OpenAnswer | None = None
        self._frames = LiveFrames()
        self._shown = ShownSoFar()
        #: Tells the rest, once the connection is lost.
        self._rest: FollowedLog | None = None
        self._ended = False
        self._due: float | None = now()

    @property
    def ended(self) -> bool:
        """Whether nothing follows, since the run has ended."""
        return self._ended if self._rest is None else self._rest.ended

    @property
    def due(self) -> float | None:
        """When to read without waiting for more to come, by the monotonic clock; None: only then."""
        return self._due if self._rest is None else self._rest.due

    def fileno(self) -> int | None:
        """What can be read once there is more; None while there is no connection."""
        if self._rest is not None:
            return self._rest.fileno()
        return None if self._answer is None else self._answer.fileno()

    def close(self) -> None:
        """Nothing more is wanted."""
        for opened in (self._answer, self._rest):
            if opened is not None:
                opened.close()

    def read(self) -> list[LiveNews]:
        """What there is by now. DaemonUnreachable, or the daemon's own error, when there can be none."""
        if self._rest is not None:
            return self._read_rest(self._rest)
        try:
            if self._answer is None:
                parts = ("runs", self._run_id, "live")
                request = Request("GET", parts, patient=True, accept=CONTENT_TYPE)
                self._answer = self._client.open(request)
            data = self._answer.read()
        except (OSError, NoHttp, PenstockError):
            return self._lose()
        self._due = self._now() if data else None
        news = list(self._hear(data))
        if self._ended:
            self._answer.close()
        elif self._answer.ended:
            news += self._lose()
        return news

    def _lose(self) -> list[LiveNews]:
        """Go over to what is recorded."""
        if self._answer is not None:
            self._answer.close()
        self._rest = FollowedLog(self._client, self._run_id, seen=True, now=self._now)
        # Where nothing was told it is but another way, of which nobody need be told.
        told = self._shown.programs > 0
        return [self._rest.lose("the connection broke")] if told else []

    def _read_rest(self, rest: FollowedLog) -> list[LiveNews]:
        return [
            ToldFacts(tuple(self._shown.cut(news.facts)))
            if isinstance(news, ToldFacts)
            else news
            for news in rest.read()
        ]

    def _hear(self, data: bytes) -> Iterator[LiveNews]:
        for kind, payload in self._frames.feed(data):
            if kind == MESSAGE:
                yield from self._understand(json.loads(payload))
            elif kind == BEGUN:
                self._shown.begin()
            elif (stream := _STREAMS.get(kind)) is not None:
                self._shown.add(stream, len(payload))
                yield PrintedNow(stream, payload)

    def _understand(self, message: object) -> Iterator[LiveNews]:
        """Facts and gaps; a run's facts are not dense here, since what it printed is not among them."""
        match message:
            case {"type": "events", "events": envelopes}:
                facts = tuple(map(ToldFact, envelopes))
                self._ended |= any(fact.type in TERMINAL_TYPES for fact in facts)
                yield ToldFacts(facts)
            case {"type": "gap", "first": first, "last": last}:
                yield Skipped(first, last)
