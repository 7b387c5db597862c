"""The log as a stream for commands without an event loop: lines over HTTP, resumed by position.

What a frame tells, what comes next and when to give up is decided by `log_reader`, as for the stream
over WebSocket. Who follows waits for `fileno` or until `due`, and then calls `read`.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

from penstock.client.log_reader import (
    FIRST_DELAY,
    LARGEST_FRAME_BYTES,
    LONGEST_DELAY,
    PATIENCE_SECONDS,
    Backoff,
    EpochChanged,
    Events,
    Greeted,
    LogReader,
    Lost,
    Parting,
    Ready,
    Reconnecting,
    Skipped,
    WentBack,
)
from penstock.client.response_reader import Lines, NoHttp
from penstock.client.sync import OpenAnswer, SyncClient
from penstock.client.told import ToldFact
from penstock.words.errors import DaemonUnreachable, Refused


class ToldFacts(NamedTuple):
    """New facts, in order; none twice."""

    facts: tuple[ToldFact, ...]


FollowedNews = ToldFacts | Skipped | Ready | Reconnecting | EpochChanged | WentBack


class FollowedLog:
    """The facts above the position `after`, of one run or of all, and those to come.

    The first connection must succeed, unless the daemon was `seen` before, and is made by the first
    `read`; later ones are tried again for PATIENCE_SECONDS.
    """

    def __init__(
        self,
        client: SyncClient,
        run_id: str | None = None,
        after: int = 0,
        *,
        seen: bool = False,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._client, self._run_id, self._now = client, run_id, now
        patience = PATIENCE_SECONDS if client.comes_back else 0.0
        backoff = Backoff(FIRST_DELAY, LONGEST_DELAY, patience, seen)
        self._reader = LogReader(backoff, run_id, after)
        self._answer: OpenAnswer | None = None
        self._lines = Lines(LARGEST_FRAME_BYTES)
        #: When to read without waiting for more to come, by the clock; None: only then.
        self.due: float | None = now()

    @property
    def ended(self) -> bool:
        """Whether nothing follows, since the run has ended."""
        return self._reader.step == "done"

    def fileno(self) -> int | None:
        """What can be read once there is more; None while there is no connection."""
        return None if self._answer is None else self._answer.fileno()

    def read(self) -> list[FollowedNews]:
        """What there is by now. DaemonUnreachable, or the daemon's own error, when there can be none."""
        try:
            if self._answer is None:
                self._answer = self._connect()
            return self._read(self._answer)
        except Lost as lost:
            return [self.lose(str(lost))]

    def close(self) -> None:
        """Nothing more is wanted of this connection."""
        if self._answer is not None:
            self._answer.close()
        self._answer = None

    def _connect(self) -> OpenAnswer:
        """A new connection, from our place on. Lost, or what the daemon says, if there is none."""
        reader = self._reader
        while True:
            reader.connecting()
            request = self._client.stream(self._run_id, **reader.place)
            try:
                answer = self._client.open(request)
            except DaemonUnreachable as error:
                if not reader.seen:
                    raise
                raise Lost(str(error)) from None
            except Refused as error:
                if not reader.refused(error):
                    raise
            else:
                reader.connected()
                self._lines = Lines(LARGEST_FRAME_BYTES)
                return answer

    def _read(self, answer: OpenAnswer) -> list[FollowedNews]:
        try:
            data = answer.read()
            lines = self._lines.feed(data)
        except (OSError, NoHttp):
            raise Lost("the connection broke") from None
        except ValueError as error:
            raise Lost(str(error)) from None
        # What has come is read to its end, which is when nothing does.
        self.due = self._now() if data else None
        news, why = self._hear(lines)
        if self._reader.step == "reopen":
            self.close()
            self.due = self._now()
        elif self.ended:
            self.close()
        elif answer.ended or why is not None:
            news.append(self.lose(why or "the daemon ended the stream"))
        return news

    def lose(self, why: str) -> Reconnecting:
        """There is no connection (any more); `read` makes another when it is due, or gives up."""
        self.close()
        lost = self._reader.lost(why, self._now())
        self.due = self._now() + lost.delay
        return lost

    def _hear(self, lines: list[bytes]) -> tuple[list[FollowedNews], str | None]:
        """What these lines tell, up to where the daemon parts, and with which words it does."""
        news: list[FollowedNews] = []
        for frame in _frames(lines):
            for heard in self._reader.feed(frame):
                match heard:
                    case Events(envelopes=envelopes):
                        news.append(ToldFacts(tuple(map(ToldFact, envelopes))))
                    case Parting(reason=reason):
                        return news, reason or "the daemon said good-bye"
                    case Greeted():
                        continue
                    case _:
                        news.append(heard)
        return news, None


def _frames(lines: Iterable[bytes]) -> Iterator[object]:
    """Lines as frames of the stream: facts in a row are one."""
    facts: list[object] = []
    for line in lines:
        frame = _parse(line)
        if isinstance(frame, dict) and "event" in frame:
            facts.append(frame)
            continue
        if facts:
            yield {"type": "events", "events": facts}
            facts = []
        yield frame
    if facts:
        yield {"type": "events", "events": facts}


def _parse(line: bytes) -> object:
    try:
        return json.loads(line) if line else None
    except ValueError:
        raise DaemonUnreachable(
            "what answers is no daemon: a line is no JSON"
        ) from None
