"""The dashboard: one model, a timer that draws it, and what can be done to a run."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from datetime import UTC, datetime
from time import monotonic
from typing import Any, ClassVar

from textual.app import ScreenStackError, SystemCommand
from textual.binding import Binding, BindingType
from textual.events import Resize
from textual.filter import LineFilter
from textual.screen import Screen

from penstock.words.address import Address
from penstock.words.errors import PenstockError
from penstock.words.recorded import Recorded
from penstock_tui.harmless import HARMLESS
from penstock_tui.heading import farewell, place_of, top_line
from penstock_tui.keys import CHANGING, REPLAY_KEYS
from penstock_tui.model import DashboardState
from penstock_tui.palette import OFFERS, key_rows
from penstock_tui.queue_deeds import QueueDeeds
from penstock_tui.replay import Replay
from penstock_tui.screens.help import HelpDialog
from penstock_tui.screens.overview import Overview
from penstock_tui.screens.run import RunScreen
from penstock_tui.screens.small import TooSmall, too_small
from penstock_tui.session import Feed
from penstock_tui.settings import DEFAULT_THEME, Settings
from penstock_tui.signals import on_quit_signals
from penstock_tui.theme import DARK, LIGHT
from penstock_tui.widgets.scrubber import ReplayState
from penstock_tui.widgets.top_bar import TopLine
from penstock_tui.wording import plain

#: Seconds between two pictures. Keys are drawn at once; this is for what arrives.
FRAME = 0.1


def utc_now() -> datetime:
    return datetime.now(UTC)


class Dashboard(QueueDeeds):
    """A client of one daemon, or of a copied log. Quitting leaves the daemon alone."""

    TITLE = "penstock"
    CSS_PATH = "app.tcss"
    ENABLE_COMMAND_PALETTE = True
    HORIZONTAL_BREAKPOINTS = [  # noqa: RUF012 (the base class has it so)
        (0, "-slim"),
        (76, "-narrow"),
        (104, "-wide"),
    ]
    VERTICAL_BREAKPOINTS = [  # noqa: RUF012
        (0, "-low"),
        (22, "-short"),
        (32, "-tall"),
    ]
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("T", "next_theme", "Theme", show=False, id="app.theme"),
        *REPLAY_KEYS,
    ]

    def __init__(
        self,
        *,
        find: Callable[[], Address] | None = None,
        replay: Replay | None = None,
        settings: Settings | None = None,
        read_only: bool = False,
        now: Callable[[], datetime] = utc_now,
    ) -> None:
        super().__init__()
        self.settings = settings or Settings()
        self.read_only = read_only or self.settings.read_only or replay is not None
        self.replay = replay
        self.model = replay.model if replay else DashboardState()
        self.now: Callable[[], datetime] = replay.now if replay else now
        self.find = find
        self.feed = Feed(find, self.model) if find else None
        #: Stands for the address on frozen pictures.
        self.shown_address = ""
        #: Facts seen when the view was paused; None: it is not.
        self.paused: int | None = None
        self._drawn = -1
        self._second = -1

    def get_line_filters(self) -> Sequence[LineFilter]:
        """What each line passes on its way to the terminal, whatever drew it."""
        return (*super().get_line_filters(), HARMLESS)

    # -- life

    def on_mount(self) -> None:
        for theme in (DARK, LIGHT):
            self.register_theme(theme)
        wanted = self.settings.theme
        self.theme = wanted if wanted in self.available_themes else DEFAULT_THEME
        self.set_keymap(dict(self.settings.keys))
        self.push_screen(Overview())
        if self.feed is not None:
            self.feed.start(self._feed_failed)
        self._timer = self.set_interval(FRAME, self._draw)
        on_quit_signals(self.exit)

    def _feed_failed(self, error: BaseException) -> None:
        """A dashboard that is fed no more must not look alive."""
        self.exit(return_code=1, message=plain(f"the dashboard failed: {error!r}"))

    async def action_quit(self) -> None:
        """Leave: a flood that is still being taken in must not hold the screen."""
        if self.feed is not None:
            self.feed.stop()
        self.exit()

    async def on_unmount(self) -> None:
        self._timer.stop()
        on_quit_signals(None)
        if self.feed is not None:
            await self.feed.aclose()

    # -- drawing

    def _draw(self) -> None:
        if not self.is_running or self._exit:
            return
        # The clock on the wall and elapsed times move even when nothing happens.
        second = int(monotonic())
        whole = second != self._second
        if whole:
            self._second = second
            self.model.second(second)
        if not whole and self.model.version == self._drawn:
            return
        self._drawn = self.model.version
        for screen in self.screen_stack:
            if isinstance(screen, Overview | RunScreen):
                screen.redraw(self.model, whole=whole)

    def redraw(self) -> None:
        """Draw now: something was done by hand."""
        self._drawn = -1
        self._second = -1
        self._draw()

    def top_line(self) -> TopLine:
        return top_line(
            self.model,
            where=self.where(),
            paused=self.paused,
            read_only=self.read_only and self.replay is None,
            now=self.now(),
        )

    def where(self) -> str:
        """The daemon's address, or the log's name."""
        if self.shown_address:
            return self.shown_address
        if self.replay is not None:
            return plain(self.replay.name)
        try:
            address = self.find() if self.find else None
        except PenstockError:
            return ""
        return "" if address is None else place_of(address)

    def replay_state(self) -> ReplayState | None:
        return self.replay.state() if self.replay else None

    def on_resize(self, event: Resize) -> None:
        """Too small is said instead of drawn badly."""
        small = too_small(event.size.width, event.size.height)
        try:
            top = self.screen
        except ScreenStackError:
            return
        if small and not isinstance(top, TooSmall):
            notice = TooSmall()
            self.push_screen(notice)
            self.call_after_refresh(notice.tell, event.size.width, event.size.height)
        elif small and isinstance(top, TooSmall):
            top.tell(event.size.width, event.size.height)
        elif isinstance(top, TooSmall):
            top.dismiss(None)

    # -- history

    async def history(  # noqa: ASYNC900  (it holds nothing open)
        self, run_id: str, after: int
    ) -> AsyncIterator[list[Recorded]]:
        """The recorded facts of a run, page by page."""
        if self.replay is not None:
            yield self.replay.facts(run_id)
            return
        more = self.feed is not None
        while more:
            assert self.feed is not None
            page = await self.feed.actions.events(run_id, after=after)
            after, more = page["next"], page.get("more", False)
            yield [Recorded.from_wire(data) for data in page["events"]]

    # -- what keys do

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        if action in CHANGING and self.read_only:
            return False
        if action == "scrub":
            return self.replay is not None
        return super().check_action(action, parameters)

    def open_run(self, run_id: str) -> None:
        self.push_screen(RunScreen(run_id))

    def current_run(self) -> str | None:
        """The run the screen is about, or the one under the cursor."""
        screen = self.screen
        return screen.run_id if isinstance(screen, Overview | RunScreen) else None

    def action_pause(self) -> None:
        self.paused = self.model.tail_count if self.paused is None else None
        self.redraw()

    def action_next_theme(self) -> None:
        names = sorted(
            self.available_themes,
            key=lambda name: (not name.startswith("penstock"), name),
        )
        self.theme = names[(names.index(self.theme) + 1) % len(names)]
        self.settings.keep_theme(self.theme)
        self.tell(f"theme {self.theme}")

    def action_scrub(self, by: int) -> None:
        if self.replay is not None:
            self.replay.move(by)
            self.redraw()

    def action_keys(self) -> None:
        if isinstance(self.screen, HelpDialog):
            return
        bindings = (active.binding for active in self.screen.active_bindings.values())
        self.push_screen(HelpDialog(key_rows(bindings, self.get_key_display)))

    def get_system_commands(self, screen: Screen[Any]) -> Iterable[SystemCommand]:
        yield from super().get_system_commands(screen)
        for title, about, action in OFFERS:
            if self.check_action(action, ()) is not False:
                yield SystemCommand(title, about, getattr(self, f"action_{action}"))

    def farewell(self) -> str:
        """What is said in the terminal after quitting."""
        return "" if self.replay is not None else farewell(self.model, self.where())
