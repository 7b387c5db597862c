"""What the dashboard looks at: a daemon that lives, or a copied log. Screens are given one, and know no app."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import suppress
from datetime import UTC, datetime
from time import monotonic

from penstock.words.address import Address
from penstock.words.errors import PenstockError, RunNotFound
from penstock.words.lifecycle import FAILED
from penstock.words.recorded import Recorded
from penstock.words.run_id import MOST_DISMISSED_AT_ONCE
from penstock_tui.heading import place_of, top_line
from penstock_tui.replay import Replay
from penstock_tui.session import LiveSession
from penstock_tui.state import DashboardState
from penstock_tui.widgets.scrubber import ReplayState
from penstock_tui.widgets.top_bar import Load, TopLine
from penstock_tui.wording import plain

#: Seconds that a question is on the screen before one key answers it: a person who presses the key as
#: another question comes means the one before.
LOOK = 0.5


def utc_now() -> datetime:
    return datetime.now(UTC)


class Monitor:
    """The model, what keeps it up to date, and whether the view of it stands still."""

    def __init__(
        self,
        *,
        find: Callable[[], Address] | None = None,
        replay: Replay | None = None,
        read_only: bool = False,
        now: Callable[[], datetime] = utc_now,
    ) -> None:
        self.replay = replay
        self.read_only = read_only or replay is not None
        self.model = replay.model if replay else DashboardState()
        self.now: Callable[[], datetime] = replay.now if replay else now
        self.session = LiveSession(find, self.model) if find else None
        #: Stands for the address on frozen pictures.
        self.shown_address = ""
        #: Facts seen when the view was paused; None: it is not.
        self.paused: int | None = None
        #: What there is to do, as the overview has counted it.
        self.load: Load | None = None
        self._find = find
        #: The question that stands on the screen, its run's first, and since when.
        self._asked: tuple[str, str, float] = ("", "", 0.0)

    def pause_or_go_on(self) -> None:
        """Freeze the view, or let it go on."""
        self.paused = self.model.tail_count if self.paused is None else None

    def show_ask(self, run_id: str, name: str) -> None:
        """This question of the run can be read now; "": there is none."""
        if self._asked[:2] != (run_id, name):
            self._asked = (run_id, name, monotonic())

    def shows_ask(self, run_id: str, name: str) -> bool:
        """Whether it is what stands on the screen."""
        return self._asked[:2] == (run_id, name)

    def was_read(self, run_id: str, name: str) -> bool:
        """Whether the question stood there long enough for somebody to mean it by a key."""
        return self.shows_ask(run_id, name) and monotonic() - self._asked[2] >= LOOK

    def top_line(self) -> TopLine:
        return top_line(
            self.model,
            where=self.where(),
            paused=self.paused,
            read_only=self.read_only and self.replay is None,
            load=self.load,
            now=self.now(),
        )

    def where(self) -> str:
        """The daemon's address, or the log's name."""
        if self.shown_address:
            return self.shown_address
        if self.replay is not None:
            return plain(self.replay.name)
        try:
            address = self.address()
        except PenstockError:
            return ""
        return "" if address is None else place_of(address)

    def address(self) -> Address | None:
        """Where the daemon is now; None of a copied log. PenstockError if it is not to be found."""
        return self._find() if self._find else None

    def replay_state(self) -> ReplayState | None:
        return self.replay.state() if self.replay else None

    async def history(  # noqa: ASYNC900  (it holds nothing open)
        self, run_id: str, after: int
    ) -> AsyncIterator[list[Recorded]]:
        """The recorded facts of a run, page by page."""
        if self.replay is not None:
            yield self.replay.facts(run_id)
            return
        more = self.session is not None
        while more:
            assert self.session is not None
            page = await self.session.calls.events(run_id, after=after)
            after, more = page["next"], page.get("more", False)
            yield [Recorded.from_wire(data) for data in page["events"]]

    async def find_run(self, word: str) -> str:
        """The id of a run that is named by it or by its number, which is known from now on.

        RunNotFound; another PenstockError without an answer.
        """
        if word in self.model.runs:
            return word
        if self.session is None:
            raise RunNotFound(f"there is no run {word!r}", run_id=word)
        row = await self.session.calls.run(word)
        self.model.seed([row])
        return str(row["run_id"])

    async def dismiss(self, run_ids: Iterable[str]) -> None:
        """Somebody has seen how these ended. The daemon keeps which of them failed."""
        runs = self.model.runs
        new = self.model.dismiss(run_ids)
        failed = [run_id for run_id in new if runs[run_id].view.state == FAILED]
        if self.session is None or self.read_only or not failed:
            return
        # Here they are dismissed in any case; the daemon may be away, or an older one.
        with suppress(PenstockError):
            for begin in range(0, len(failed), MOST_DISMISSED_AT_ONCE):
                most = begin + MOST_DISMISSED_AT_ONCE
                await self.session.calls.dismiss(failed[begin:most])

    async def why(self, run_id: str) -> str:
        """Why a run stands where it does; "" of a copied log. PenstockError without an answer."""
        if self.session is None:
            return ""
        return str((await self.session.calls.why(run_id))["text"])
