"""The dashboard: one model, a timer that draws it, and what can be done to a run."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from time import monotonic
from typing import Any, ClassVar

from textual import on
from textual.app import ScreenStackError, SuspendNotSupported, SystemCommand
from textual.binding import Binding, BindingType
from textual.events import Resize
from textual.filter import LineFilter
from textual.screen import Screen

from penstock.words.address import Address
from penstock.words.errors import NotFound, PenstockError
from penstock_tui.actions import Actions
from penstock_tui.heading import farewell
from penstock_tui.keys import CHANGING, OFFERS, REPLAY_KEYS, key_rows
from penstock_tui.monitor import Monitor, utc_now
from penstock_tui.pager import show_in_pager
from penstock_tui.palette import PALETTE_256
from penstock_tui.replay import Replay
from penstock_tui.screens.dialog import HelpDialog, TooSmall, too_small
from penstock_tui.screens.overview import Overview
from penstock_tui.screens.run import RunScreen
from penstock_tui.settings import DEFAULT_THEME, Settings
from penstock_tui.theme import DARK, LIGHT
from penstock_tui.widgets.run_table import RunList
from penstock_tui.widgets.tail import Tail
from penstock_tui.wording import HARMLESS, counted, plain

#: A TERM, or a closed terminal.
QUIT_SIGNALS = (signal.SIGTERM, signal.SIGHUP)

#: Seconds between two questions for a run while no daemon answers.
RETRY = 1.0

#: Seconds between two pictures. Keys are drawn at once; this is for what arrives.
FRAME = 0.1


def on_quit_signals(act: Callable[[], None] | None) -> None:
    """Do this when told to end; None: what a signal does by itself again."""
    loop = asyncio.get_running_loop()
    for number in QUIT_SIGNALS:
        try:
            if act is None:
                loop.remove_signal_handler(number)
            else:
                loop.add_signal_handler(number, act)
        except (RuntimeError, ValueError):
            return  # not in the main thread: a test, or a server of terminals


class Dashboard(Actions):
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
        opens: str | None = None,
        now: Callable[[], datetime] = utc_now,
    ) -> None:
        """`opens`: a run, by its id or its number, that is shown at once."""
        super().__init__()
        self._opens = opens
        self.settings = settings or Settings()
        self.monitor = Monitor(
            find=find,
            replay=replay,
            read_only=read_only or self.settings.read_only,
            now=now,
        )
        self.model, self.session = self.monitor.model, self.monitor.session
        self.given = []
        self.line = asyncio.Lock()
        self._drawn = -1
        self._second = -1
        #: Whether the run that keys are about asks whether it may do something.
        self._may_deny = False
        #: The runs of the list as they stood when the one that is open was opened.
        self._walk: list[str] = []

    def get_line_filters(self) -> Sequence[LineFilter]:
        """What each line passes on its way to the terminal, whatever drew it."""
        few = self.console.color_system == "256"
        ours = (HARMLESS, PALETTE_256) if few else (HARMLESS,)
        return (*super().get_line_filters(), *ours)

    # -- life

    def on_mount(self) -> None:
        for theme in (DARK, LIGHT):
            self.register_theme(theme)
        wanted = self.settings.theme
        self.theme = wanted if wanted in self.available_themes else DEFAULT_THEME
        self.set_keymap(dict(self.settings.keys))
        self.push_screen(Overview(self.monitor))
        if self.session is not None:
            self.session.start(self._session_failed)
        if self._opens is not None:
            self.run_worker(self._open_named(self._opens))
        self._timer = self.set_interval(FRAME, self._draw)
        on_quit_signals(self.exit)

    def _session_failed(self, error: BaseException) -> None:
        """A dashboard that learns nothing more must not look alive."""
        self.exit(return_code=1, message=plain(f"the dashboard failed: {error!r}"))

    async def action_quit(self) -> None:
        """Leave: a flood that is still being taken in must not hold the screen."""
        if self.session is not None:
            self.session.stop()
        self.exit()

    async def on_unmount(self) -> None:
        self._timer.stop()
        on_quit_signals(None)
        if self.session is not None:
            await self.session.aclose()

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
        self._heed_ask()

    @on(RunList.Moved)
    def _heed_ask(self) -> None:
        """Tell the key that denies where there is something to deny, and only there."""
        run_id = self.current_run()
        may = run_id is not None and self.permission_of(run_id) is not None
        if may != self._may_deny:
            self._may_deny = may
            self.refresh_bindings()

    def redraw(self) -> None:
        """Draw now: something was done by hand."""
        self._drawn = -1
        self._second = -1
        self._draw()

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
            self.call_after_refresh(
                notice.show_size, event.size.width, event.size.height
            )
        elif small and isinstance(top, TooSmall):
            top.show_size(event.size.width, event.size.height)
        elif isinstance(top, TooSmall):
            top.dismiss(None)

    # -- what keys do

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        if action in CHANGING and self.monitor.read_only:
            return False
        if action == "scrub":
            return self.monitor.replay is not None
        if action == "deny_run":
            run_id = self.current_run()
            return run_id is not None and self.permission_of(run_id) is not None
        return super().check_action(action, parameters)

    @on(RunList.Opened)
    def _run_chosen(self, event: RunList.Opened) -> None:
        self.open_run(event.key)

    def open_run(self, run_id: str) -> None:
        if isinstance(self.screen, Overview):
            self._walk = self.screen.table.run_keys()
        self.push_screen(RunScreen(run_id, self.monitor))

    async def _open_named(self, word: str) -> None:
        """Open a run that was named at the start, once there is a daemon that knows it."""
        run_id: str | None = None
        while run_id is None:
            try:
                run_id = await self.monitor.find_run(word)
            except NotFound as error:
                self.announce(str(error), severity="error")
                return
            except PenstockError:
                # The first line tells of it.
                await asyncio.sleep(RETRY)
        self.open_run(run_id)

    def action_next_run(self, by: int) -> None:
        """The run below this one, or above it, as they stood when the first was opened: a failure that
        one has looked at stands elsewhere. The cursor of the list goes along.
        """
        screen = self.screen
        if not isinstance(screen, RunScreen) or screen.run_id not in self._walk:
            return
        at = self._walk.index(screen.run_id) + by
        if 0 <= at < len(self._walk):
            for below in self.screen_stack:
                if isinstance(below, Overview):
                    below.table.select(self._walk[at])
            self.switch_screen(RunScreen(self._walk[at], self.monitor))

    def page(self, lines: Sequence[str]) -> None:
        """Show lines in the user's pager; the dashboard waits for it."""
        text = "\n".join([*lines, ""]).encode(errors="replace")
        try:
            with self.suspend():
                problem = show_in_pager(text)
        except SuspendNotSupported:
            problem = "this terminal has no pager"
        if problem:
            self.announce(problem, severity="error")

    @on(Tail.Copied)
    def _lines_copied(self, event: Tail.Copied) -> None:
        self.copy_to_clipboard(event.text)
        self.announce(f"copied {counted(event.count, 'line')}")

    def current_run(self) -> str | None:
        """The run the screen is about, or the one under the cursor."""
        screen = self.screen
        return screen.run_id if isinstance(screen, Overview | RunScreen) else None

    def current_runs(self) -> list[str]:
        """The marked ones, where there are marks."""
        screen = self.screen
        if isinstance(screen, Overview):
            return screen.run_ids
        return [screen.run_id] if isinstance(screen, RunScreen) else []

    def forget_marks(self) -> None:
        for screen in self.screen_stack:
            if isinstance(screen, Overview):
                screen.listing.marked.clear()
                screen.show_rows()

    def action_pause(self) -> None:
        self.monitor.pause_or_go_on()
        self.redraw()

    def action_next_theme(self) -> None:
        names = sorted(
            self.available_themes,
            key=lambda name: (not name.startswith("penstock"), name),
        )
        self.theme = names[(names.index(self.theme) + 1) % len(names)]
        self.settings.keep_theme(self.theme)
        self.announce(f"theme {self.theme}")

    def action_scrub(self, by: int) -> None:
        if self.monitor.replay is not None:
            self.monitor.replay.move(by)
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
        if self.monitor.replay is not None:
            return ""
        return farewell(self.model, self.monitor.where())
