"""What the dashboard costs beside a plain DataTable (TU-05).

    python bench/tui.py            widgets, then whole programs at 1,000 events/s and 1,000 runs

Figures of one call belong together: compare ratios, not milliseconds.
"""

from __future__ import annotations

import asyncio
import os
import pty
import random
import select
import signal
import statistics
import struct
import sys
import termios
import time
from collections.abc import Iterator
from fcntl import ioctl
from functools import partial
from pathlib import Path
from typing import ClassVar

sys.path.insert(0, str(Path(__file__).parent.parent))
sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

from bench import _shared as shared
from bench.start import daemon
from bench.verbs import cpu_of
from textual.app import App, ComposeResult
from textual.binding import Binding, BindingType
from textual.widgets import DataTable, Static

from fakes.tui_processes import DaemonProcess, open_scene
from penstock_tui.app import FRAME
from penstock_tui.monitor import utc_now
from penstock_tui.rows import COLUMNS, row_of
from penstock_tui.session import LiveSession
from penstock_tui.state import DashboardState
from penstock_tui.theme import DARK
from penstock_tui.widgets.lazy_rows import Row
from penstock_tui.widgets.run_table import RunList

RUNS = 1000
RATE = 1000
FRAMES = 60
#: Seconds a program is watched, after as many to settle.
WATCHED = 8.0
SETTLE = 4.0
KEYS = 15
SIZE = (120, 40)
#: Stands in the last line of the first picture.
LAST_LINE = b"Help"


class Table(App[None]):
    """One widget and nothing else."""

    def __init__(self, own: bool) -> None:
        super().__init__()
        self.own = RunList(COLUMNS, name="own") if own else None
        self.data: DataTable[str] = DataTable()

    def compose(self) -> ComposeResult:
        yield self.own or self.data

    def on_mount(self) -> None:
        self.register_theme(DARK)
        self.theme = DARK.name


def row(number: int, value: int) -> Row:
    # A cell for each of COLUMNS.
    cells = (
        "", "▶", f"run-{number:04d}", "command", "MED", "running", "write", f"{value:>15}", "00:01", "1m",
        "~1k", "v1", "title",
    )  # fmt: skip
    return Row(f"run-{number:04d}", cells, "primary")


async def cost_of_a_frame(own: bool, dirty: int) -> float:
    """CPU milliseconds to change `dirty` of 1,000 rows and draw."""
    app, dice = Table(own), random.Random(1)
    async with app.run_test(size=SIZE) as pilot:
        rows = [row(number, 0) for number in range(RUNS)]
        if app.own is not None:
            app.own.set_rows(list(rows))
        else:
            keys = app.data.add_columns(
                *(column.title or "state" for column in COLUMNS)
            )
            for one in rows:
                app.data.add_row(*one.cells, key=one.key)
        await pilot.pause()
        begun = time.process_time()
        for frame in range(FRAMES):
            # The rows on the screen are always among those that change.
            changed = [dice.randrange(RUNS) for _ in range(dirty - 1)] + [frame % 20]
            for number in changed:
                rows[number] = row(number, frame)
                if app.own is None:
                    app.data.update_cell(
                        rows[number].key, keys[6], rows[number].cells[6]
                    )
            if app.own is not None:
                app.own.set_rows(list(rows))
            await pilot.pause()
        return (time.process_time() - begun) / FRAMES * 1000


class Naive(App[None]):
    """The same model and session, shown in a DataTable."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("p", "pause", "Pause")]

    def __init__(self, daemon: DaemonProcess) -> None:
        super().__init__()
        self.model = DashboardState()
        self.session = LiveSession(lambda: daemon.address, self.model)
        self.table: DataTable[str] = DataTable()
        self.known: set[str] = set()
        self.top = Static("live")
        self.paused = False

    def compose(self) -> ComposeResult:
        yield self.top
        yield self.table

    def on_mount(self) -> None:
        self.columns = self.table.add_columns(
            *(column.title or "state" for column in COLUMNS)
        )
        self.session.start(lambda error: self.exit(message=repr(error)))
        self.set_interval(FRAME, self.draw)

    async def on_unmount(self) -> None:
        await self.session.aclose()

    def draw(self) -> None:
        if self.paused:
            return
        now = utc_now()
        dirty, self.model.dirty = self.model.dirty, set()
        for run_id in dirty:
            cells = row_of(self.model.runs[run_id], now).cells
            if run_id not in self.known:
                self.known.add(run_id)
                self.table.add_row(*cells, key=run_id)
                continue
            for column, cell in zip(self.columns, cells, strict=True):
                if self.table.get_cell(run_id, column) != cell:
                    self.table.update_cell(run_id, column, cell)

    def action_pause(self) -> None:
        self.paused = not self.paused
        self.top.update("PAUSED" if self.paused else "live")


def watch(command: list[str], environ: dict[str, str]) -> tuple[float, list[float]]:
    """A program in a terminal: its share of one core, and milliseconds from key to screen."""
    pid, terminal = pty.fork()
    if pid == 0:
        os.execve(command[0], command, environ)
    ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", SIZE[1], SIZE[0], 0, 0))
    try:
        drain(terminal, SETTLE)
        before, begun = cpu_seconds(pid), time.monotonic()
        drain(terminal, WATCHED)
        share = (cpu_seconds(pid) - before) / (time.monotonic() - begun)
        delays = [key_to_screen(terminal) for _ in range(KEYS)]
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        os.close(terminal)
    return share, delays


def key_to_screen(terminal: int) -> float:
    """Milliseconds from `p` to the word it puts on the screen."""
    begun = time.monotonic()
    os.write(terminal, b"p")
    seen = b""
    while b"PAUSED" not in seen and time.monotonic() - begun < 5:
        if select.select([terminal], [], [], 0.5)[0]:
            seen += os.read(terminal, 65536)
    taken = (time.monotonic() - begun) * 1000
    os.write(terminal, b"p")
    drain(terminal, 0.4)
    return taken


def drain(terminal: int, seconds: float) -> None:
    end = time.monotonic() + seconds
    while (left := end - time.monotonic()) > 0:
        if select.select([terminal], [], [], left)[0]:
            os.read(terminal, 65536)


def cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def opened(seconds: float) -> tuple[float, float]:
    """CPU seconds to the first whole picture, and then its share of a core in percent, with nothing to show."""
    with shared.scratch() as folder, daemon(folder):
        own = ("XDG_STATE_HOME", "XDG_RUNTIME_DIR", "HOME")
        known = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
        environ = known | dict.fromkeys(own, str(folder)) | {"TERM": "xterm-256color"}
        pid, terminal = pty.fork()
        if pid == 0:
            command = [sys.executable, "-m", "penstock_tui.main"]
            os.execve(command[0], command, environ)
        ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", SIZE[1], SIZE[0], 0, 0))
        try:
            seen = b""
            while LAST_LINE not in seen:
                seen += os.read(terminal, 65536)
            first = cpu_seconds(pid)
            drain(terminal, SETTLE)
            before = cpu_seconds(pid)
            drain(terminal, seconds)
            return first, (cpu_seconds(pid) - before) / seconds * 100
        finally:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            os.close(terminal)


def rows(long: bool) -> Iterator[shared.Row]:
    """A frame of the run table beside the same in a DataTable; the first picture, and the idle life after it."""
    for dirty in (1, 20, 250) if long else (20,):

        def frame(own: bool, dirty: int = dirty) -> float:
            return asyncio.run(cost_of_a_frame(own, dirty))

        own, data = shared.in_turns(2, partial(frame, True), partial(frame, False))
        name = f"frame of {RUNS:,} rows, {dirty} changed / DataTable"
        yield shared.Row(name, "ms CPU", "ratio <= 0.5", own, data)

    def imported(module: str) -> float:
        return cpu_of([sys.executable, "-c", f"import {module}"], os.environ)

    found = [opened(30 if long else 10) for _ in range(5)]
    first, share = ([one[n] for one in found] for n in range(2))
    yield shared.Row("the dashboard to its first picture, CPU", "s", "ours <= 0.5", first)  # fmt: skip
    yield shared.Row("idle dashboard, CPU", "% of a core", "ours <= 1", share)
    ours, textual = shared.in_turns(
        7, partial(imported, "penstock_tui.app"), partial(imported, "textual.app")
    )
    yield shared.Row("the dashboard imported / textual.app, CPU", "s", "ours <= 0.5", ours, textual)  # fmt: skip


def main() -> None:
    print(f"a frame of {RUNS} rows, CPU ms      RunTable  DataTable  ratio")
    for dirty in (1, 20, 250):
        own, data = (
            asyncio.run(cost_of_a_frame(kind, dirty)) for kind in (True, False)
        )
        print(
            f"  {dirty:>4} rows changed {own:>22.1f} {data:>10.1f} {data / own:>5.1f}x"
        )
    print(f"\nwhole programs at {RATE} events/s and {RUNS} runs, {SIZE[0]}x{SIZE[1]}")
    for name, argv in (
        ("dashboard", ["-m", "penstock_tui.main"]),
        ("DataTable", [__file__, "naive"]),
    ):
        with open_scene("--runs", str(RUNS), "--rate", str(RATE)) as daemon:
            environ = {
                **os.environ,
                "PENSTOCK_URL": daemon.address.base,
                "TERM": "xterm-256color",
                "COLORTERM": "truecolor",
            }
            share, delays = watch([sys.executable, *argv], environ)
        p50, p95 = statistics.median(delays), sorted(delays)[int(len(delays) * 0.95)]
        print(
            f"  {name:<10} {share:>5.0%} of a core   key to screen p50 {p50:.0f} ms, p95 {p95:.0f} ms"
        )


if __name__ == "__main__":
    if sys.argv[1:] == ["naive"]:
        port = int(os.environ["PENSTOCK_URL"].rsplit(":", 1)[1])
        Naive(DaemonProcess(None, port)).run()  # type: ignore[arg-type]
    else:
        main()
