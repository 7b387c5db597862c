"""The command, its settings, and the replay of a copied log."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest
from rich.color import Color
from rich.segment import Segment
from rich.style import Style
from textual.color import Color as ThemeColour

from fakes.aio import aio
from fakes.ended_logs import fill_log
from fakes.postgres import PostgresServer
from fakes.real_daemon import RealDaemon
from fakes.tui_pilot import dashboard, shows, text_of, until
from fakes.tui_scene import World, busy_afternoon
from penstock.log.export import export_file, import_lines
from penstock.log.postgresql.whole_schema import fill_whole_schema
from penstock.log.projections import RunView
from penstock.words import events as e
from penstock.words.address import find_address, find_paths
from penstock.words.errors import Refused, StartRefused
from penstock.words.recorded import Recorded
from penstock_tui.app import Dashboard
from penstock_tui.main import main, parser, run
from penstock_tui.palette import PALETTE_256, in_256, nearest
from penstock_tui.picture import take_picture
from penstock_tui.replay import CHECKPOINT, Replay, open_far_replay, open_replay
from penstock_tui.screens.overview import Overview
from penstock_tui.settings import DEFAULT_THEME, Settings, load_settings
from penstock_tui.state import DashboardState


def export(world: World, path: Path) -> Path:
    path.write_bytes(b"".join(fact.wire() + b"\n" for fact in world.log))
    return path


# -- settings


def test_settings_come_from_the_file_and_the_theme_that_was_chosen_last(
    home: Path,
) -> None:
    environ = {"HOME": str(home), "XDG_CONFIG_HOME": str(home / "config")}
    assert load_settings(environ, home).theme == DEFAULT_THEME
    load_settings(environ, home).keep_theme("penstock-light")
    assert load_settings(environ, home).theme == "penstock-light"
    (home / "config" / "penstock").mkdir(parents=True)
    file = home / "config" / "penstock" / "tui.toml"
    file.write_text('theme = "nord"\nread_only = true\n[keys]\n"app.quit" = "Q"\n')
    settings = load_settings(environ, home)
    assert (settings.theme, settings.read_only, settings.keys) == (
        "nord",
        True,
        {"app.quit": "Q"},
    )


@pytest.mark.parametrize("text", ["colour = 1", "[keys]\nq = 3", "theme = "])
def test_bad_settings_are_refused_in_a_sentence(home: Path, text: str) -> None:
    (home / "config" / "penstock").mkdir(parents=True)
    (home / "config" / "penstock" / "tui.toml").write_text(text)
    with pytest.raises(StartRefused, match=r"tui\.toml"):
        load_settings({"XDG_CONFIG_HOME": str(home / "config")}, home)


def test_a_theme_that_cannot_be_kept_is_no_error(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("")
    Settings(kept=blocked / "tui.json").keep_theme("nord")


# -- the command


@pytest.mark.parametrize(
    ("argv", "code", "sentence"),
    [
        (["--url", "ftp://x"], 2, "url"),
        (["--log", "/nowhere.db"], 1, "is not there"),
        (["--screenshot", "x.svg", "--size", "9"], 2, "size"),
        (["--theme", "nope"], 2, "'nope' is none of penstock-dark, penstock-light, "),
        (["--screenshot", "/dev/null/x.svg"], 2, "there is no folder /dev/null"),
    ],
)
def test_what_cannot_be_done_is_said_and_the_code_tells_the_sort(
    argv: list[str], code: int, sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(argv)
    assert ended.value.code == code
    assert sentence in capsys.readouterr().err


@pytest.mark.processes
def test_the_dashboard_imports_nothing_heavy_of_the_daemon() -> None:
    """Design 8, TU-05: a client, light enough to open without a thought."""
    heavy = ("trio", "mcp", "dspy", "quart", "hypercorn", "httpx", "penstock.service")
    # What is needed once something is asked or typed, and not for the first picture.
    later = ("click", "penstock.words.api", "penstock.log.writes")
    code = (
        "import sys, penstock_tui.app; "
        f"print([m for m in {heavy + later} if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == "[]"


@pytest.mark.processes
def test_help_is_there_before_textual() -> None:
    code = "import sys\nfrom penstock_tui.main import parser\nparser().format_help()\nassert 'textual' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("term", ["", "dumb"])
def test_a_terminal_that_knows_no_screen_is_told_what_prints_lines(
    term: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TERM", term)
    monkeypatch.setattr("penstock_tui.main.on_terminal", lambda: True)
    with pytest.raises(SystemExit) as ended:
        main([])
    assert ended.value.code == 2
    assert "`penstock list`" in capsys.readouterr().err


def test_a_picture_of_a_run_that_nobody_knows_is_refused(tmp_path: Path) -> None:
    replay = Replay(busy_afternoon(World()).log, "log")
    app = Dashboard(replay=replay, settings=Settings())
    with pytest.raises(Refused, match="there is no run r-nope"):
        take_picture(app, tmp_path / "x.svg", (80, 24), run_id="r-nope")
    assert list(tmp_path.iterdir()) == []


def test_256_colours_are_the_nearest_there_are() -> None:
    """A dark grey stays one: Rich makes navy of it."""
    assert [nearest(*bytes.fromhex(c)) for c in ("10151a", "1e2831", "58a6d6", "ffffff")] == [233, 235, 74, 231]  # fmt: skip
    style = Style.parse("bold #e8686a on #1e2831")
    drawn = in_256(style)
    assert drawn.bgcolor == Color.from_ansi(235)
    assert drawn.bold
    assert in_256(Style.parse("red")) == Style.parse("red")
    [segment] = PALETTE_256.apply([Segment("x", style)], ThemeColour(0, 0, 0))
    assert segment.style == drawn


# -- replay


def test_the_file_that_export_writes_is_replayed(tmp_path: Path) -> None:
    """`penstock export log.ndjson; penstock tui --log log.ndjson`: a header and tables stand before the facts."""
    world = busy_afternoon(World())
    path = export(world, tmp_path / "log.ndjson")
    header = {"format": "penstock-log", "schema": 4, "epoch": "e", "events": 181}
    table = {"table": "runs", "row": {"key": 1, "run_id": "r"}}
    above = "".join(json.dumps(row) + "\n" for row in (header, table))
    path.write_bytes(above.encode() + path.read_bytes())
    assert open_replay(path).state().position == 181


def test_going_back_copies_the_state_once() -> None:
    """A copy of all runs for every field of the state made a step back take a second."""
    world = World()
    world.submit("a", "command", {}, 20, 0)
    world.record("a", e.AskRaised(name="q", question="?"))
    replay = Replay(world.log, "log")
    copied = []
    copy = type(replay.model).copy

    def counting(model: DashboardState) -> DashboardState:
        copied.append(model)
        return copy(model)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(type(replay.model), "copy", counting)
        replay.move(-1)
    assert len(copied) == 1
    assert not replay.model.runs["a"].view.asks
    replay.move(1)
    assert replay.model.runs["a"].asks
    assert replay.model.copy().runs["a"].view is not replay.model.runs["a"].view


def test_moving_over_a_log_shows_the_state_of_then(tmp_path: Path) -> None:
    """VW-01 the state at a position is the fold of what came before it."""
    world = busy_afternoon(World())
    replay = open_replay(export(world, tmp_path / "log.ndjson"))
    for index in (181, 60, 61, 3, 0, 120):
        replay.to(index)
        then: dict[str, RunView] = {}
        for fact in world.log[:index]:
            if fact.run_id != e.DAEMON_STREAM:
                then.setdefault(fact.run_id, RunView(fact.run_id)).apply(fact)
        assert {run_id: run.view for run_id, run in replay.model.runs.items()} == then
        assert replay.state().position == index
    replay.move(-10_000)
    replay.move(10_000)
    assert replay.state().position == 181


def test_going_back_refolds_from_a_checkpoint_only() -> None:
    world = World()
    world.submit("a", "command", {}, 20, 0)
    for number in range(CHECKPOINT * 2 + 10):
        world.record("a", e.Progress(step=str(number)))
    replay = Replay(world.log, "log")
    folded = []
    apply = type(replay.model).apply

    def counting(model: object, fact: Recorded) -> None:
        folded.append(fact)
        apply(replay.model, fact)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(type(replay.model), "apply", counting)
        replay.move(-1)
    assert len(folded) < CHECKPOINT
    assert replay.model.runs["a"].view.step == str(CHECKPOINT * 2 + 8)


def test_a_log_that_begins_in_the_middle_is_shown_from_there(tmp_path: Path) -> None:
    world = busy_afternoon(World())
    world.log[:] = world.log[100:]
    replay = open_replay(export(world, tmp_path / "log.ndjson"))
    assert replay.model.runs
    assert not replay.model.broken


@pytest.mark.parametrize(
    "content", [b"no json\n", b"SQLite format 3\0 but torn", b'{"position": 1}\n']
)
def test_what_is_no_log_is_refused_in_a_sentence(
    tmp_path: Path, content: bytes
) -> None:
    path = tmp_path / "x"
    path.write_bytes(content)
    with pytest.raises(StartRefused, match="is not a log of penstock"):
        open_replay(path)


@aio
async def test_the_scrubber_moves_by_keys_and_nothing_can_be_changed() -> None:
    replay = Replay(busy_afternoon(World()).log, "log")
    async with dashboard(replay=replay) as (app, pilot):
        await shows(app, "181 of 181")
        await shows(app, "Runs 92/92")
        await pilot.press("left", "left")
        await shows(app, "179 of 181")
        await pilot.press("H")
        await shows(app, "79 of 181")
        await until(lambda: "Runs 92" not in text_of(app), app)
        await pilot.press("right", "L")
        await shows(app, "180 of 181")
        await pilot.press("r", "c")
        await pilot.pause()
        assert isinstance(app.screen, Overview)
        app.open_run("r-1b7d")
        await shows(app, "plan.completed")
        await until(lambda: "55%" in text_of(app), app)
        await pilot.press("H")
        # What had not happened then is not told.
        await shows(app, "80 of 181")
        await until(lambda: "test  55%" not in text_of(app), app)
        await shows(app, "plan.completed")
        await pilot.press("q")
        await until(lambda: not app.is_running)
    assert app.farewell() == ""


def test_a_copy_of_a_real_database_is_replayed(
    start_daemon: Callable[..., RealDaemon], tmp_path: Path
) -> None:
    """`penstock tui --log COPY.db`"""
    daemon = start_daemon()
    address = find_address(daemon.environ, find_paths(daemon.environ))

    @aio
    async def work() -> None:
        async with dashboard(address) as (app, _):
            await shows(app, "● live")
            assert app.session is not None
            await app.session.calls.submit(
                {
                    "kind": "command",
                    "inputs": {"argv": ["echo", "hello"]},
                    "run_id": "r",
                }
            )
            await until(
                lambda: "r" in app.model.runs and app.model.runs["r"].view.ended, app
            )

    work()
    assert daemon.stop() == 0
    copy = tmp_path / "copy.db"
    copy.write_bytes(find_paths(daemon.environ).database.read_bytes())
    replay = open_replay(copy)
    assert replay.model.runs["r"].view.state == "completed"
    assert any(
        "hello" in json.loads(fact.body).get("text", "") for fact in replay.facts("r")
    )
    assert replay.now() <= datetime.now(UTC)
    assert list(tmp_path.iterdir()) == [copy]
    exported = tmp_path / "log.ndjson"
    with exported.open("wb") as out:
        export_file(copy, out)
    assert open_replay(exported).model.runs["r"].view.state == "completed"


def test_a_log_on_a_server_is_replayed(
    postgres: PostgresServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """ST-12: as it is now, daemon or not; what it names wrongly is a sentence."""
    out, schema = io.BytesIO(), postgres.new_schema()
    export_file(fill_log(tmp_path / "x.db", "r"), out)
    out.seek(0)
    with fill_whole_schema(postgres.url, schema) as log:
        import_lines(log, out)
    replay = open_far_replay(postgres.url, schema)
    assert replay.model.runs["r"].view.state == "completed"
    assert len(replay.facts("r")) == 33
    for log_option in (postgres.url, "mysql://host/db"):
        asked = parser().parse_args(
            ["--log", log_option, "--screenshot", str(tmp_path / "x.svg")]
        )
        assert run(asked) == 1
    first, second = capsys.readouterr().err.splitlines()
    assert "there is no log in the schema penstock" in first
    assert "must be postgresql://" in second


@pytest.mark.processes
def test_without_a_terminal_it_says_so_and_leaves() -> None:
    """Drawing into a pipe would go on for ever, and nobody could press a key."""
    done = subprocess.run(
        [sys.executable, "-m", "penstock_tui.main"],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 2
    assert "this is no terminal" in done.stderr
