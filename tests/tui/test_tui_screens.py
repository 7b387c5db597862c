"""The screens under a pilot, beside a real core in memory: every key. TU-02, TU-03, TU-04."""

from __future__ import annotations

import os
import shlex
from pathlib import Path

import pytest
from textual.command import CommandList
from textual.widgets import Input, Select, Static, TabbedContent

from fakes.aio import aio
from fakes.tui_pilot import dashboard, shows, stands_first, text_of, until
from fakes.tui_processes import DaemonProcess
from penstock.words.priority import Priority
from penstock_tui.app import Dashboard
from penstock_tui.screens.answer import AnswerDialog
from penstock_tui.screens.cancel import CancelDialog
from penstock_tui.screens.dialog import HelpDialog, SayDialog, TooSmall
from penstock_tui.screens.overview import Overview
from penstock_tui.screens.run import RunScreen
from penstock_tui.screens.submit import SubmitDialog
from penstock_tui.settings import Settings
from penstock_tui.widgets.key_line import KeyLine
from penstock_tui.wording import CROSS

#: What the last key of a line may do: one that is cut is another word.
WHOLE_WORDS = frozenset(
    {
        "Retry",
        "Answer",
        "Say",
        "Cancel",
        "Filter",
        "Pause",
        "Run",
        "Command",
        "Mark",
        "Search",
        "Follow",
        "Tab",
    }
)


def last_line(app: Dashboard) -> str:
    """What is said of the keys; "" while nothing has been drawn yet."""
    return (text_of(app).splitlines() or [""])[-1]


def ended(app: Dashboard) -> str:
    """How what has ended is headed: the afternoon of the scene was yesterday, just after midnight."""
    said = text_of(app)
    return next((head for head in ("ENDED TODAY", "EARLIER") if head in said), "")


@aio
async def test_the_overview_shows_what_the_daemon_does(busy: DaemonProcess) -> None:
    """TU-02 runs in their sections, what needs an answer first; queue, slots, alerts, events by a key."""
    async with dashboard(busy.address) as (app, pilot):
        for text in (
            "● live  5/5 running · 78 queued (78%) · 1 failed · 1 asks", "running   ███··  62%",
            "▸ 2 turns  raise", "59 more in line", "? which branch? [main / release]",
        ):  # fmt: skip
            await shows(app, text)
        await until(lambda: bool(ended(app)), app)
        table = text_of(app).split("Runs 92/92")[1]
        order = [
            table.index(said)
            for said in (
                "NEEDS YOU", "? r-1d00", f"{CROSS} r-1c01", "RUNNING", "r-1b7d", "r-1ba2 ", "QUEUED", "r-1c11",
                ended(app), "✓ r-0aa4",
            )
        ]  # fmt: skip
        assert order == sorted(order)
        await pilot.press("o")
        assert "r-1ba2.turn-2" not in text_of(app)
        await pilot.press("4")
        for text in (
            "78/100 queued 78% ok  0 submitters wait", "5/5 busy", "┊", "clients 1 ws", "46 MiB",
            "■ CRIT 1  ■ HIGH 12  ■ MED 34  ■ LOW 22  ■ BG 9", "mistral:7b → qwen3:8b",
        ):  # fmt: skip
            await shows(app, text)
        await pilot.press("2")
        await shows(app, "which branch?  (a to answer)")
        await pilot.press("3")
        await shows(app, "subscriber.lagged")


@aio
async def test_the_preview_shows_the_run_under_the_cursor(busy: DaemonProcess) -> None:
    """TU-02: the end of its output, or why it waits; a filter does not take the cursor off its run."""
    async with dashboard(busy.address) as (app, pilot):
        await stands_first(app, "r-1d00")
        overview = app.screen
        assert isinstance(overview, Overview)
        overview.table.select("r-1bc7")
        await shows(app, "tests/test_door.py ..........")
        overview.table.select("r-1c36")
        await shows(app, "All 5 slots are taken")
        await pilot.press("slash", *"make", "enter")
        await pilot.press("slash", "escape")
        await shows(app, "Runs 92/92")
        assert overview.table.selected == "r-1c36"
        overview.table.select("r-1ba2")
        await pilot.press("o")
        await shows(app, "└ turn-2")
        await shows(app, "▾ 2 turns")


@aio
async def test_marks_are_what_the_next_verb_is_about(fresh: DaemonProcess) -> None:
    """TU-03: asked once, done to each; esc takes the marks away."""
    async with dashboard(fresh.address) as (app, pilot):
        await stands_first(app, "r-1d00")
        overview = app.screen
        assert isinstance(overview, Overview)
        overview.table.select("r-1c36")
        await pilot.press("space", "space")
        await shows(app, "2 marked")
        await pilot.press("escape")
        assert not overview.listing.marked
        overview.table.select("r-1c36")
        await pilot.press("space", "space", "c")
        await shows(app, "Cancel 2 runs?")
        await pilot.press("enter")
        await until(
            lambda: all(app.model.runs[key].view.ended for key in ("r-1c36", "r-1c5b")),
            app,
        )
        await until(lambda: not overview.listing.marked, app)


@aio
async def test_the_words_of_the_command_line_can_be_typed(busy: DaemonProcess) -> None:
    """TU-03: to the daemon that is looked at; what needs a terminal is refused."""
    async with dashboard(busy.address) as (app, pilot):
        await stands_first(app, "r-1d00")
        await pilot.press("colon", *"why", "space", *"r-1c11", "enter")
        await shows(app, "All 5 slots are taken")
        await pilot.press(*["ctrl+u"], *"attach", "enter")
        await shows(app, "attach needs a terminal of its own")
        await pilot.press("up")
        assert app.screen.query_one(Input).value == "why r-1c11"


@aio
async def test_a_failure_that_was_dismissed_needs_nobody(fresh: DaemonProcess) -> None:
    async with dashboard(fresh.address) as (app, pilot):
        await shows(app, "1 failed")
        await pilot.press("X")
        await until(lambda: "1 failed" not in text_of(app), app)
        await until(
            lambda: "r-1c01" in text_of(app).partition(ended(app) or "no")[2], app
        )


@aio
async def test_no_widget_commands_the_terminal(busy: DaemonProcess) -> None:
    """TU-04: nor turns a line around, even one that shows a text as it came."""
    async with dashboard(busy.address) as (app, _):
        await shows(app, "● live")
        app.notify("say \x1b]0;owned\x07 \x9b2J \u202eright\u2066", markup=False)
        app.screen.query_one(KeyLine).border_title = "\x9b\u202e"
        await shows(app, "say ␛]0;owned")
        app.push_screen(SayDialog("run", "about \x1b[2J\u202e"))
        await shows(app, "about ␛[2J\ufffd")
        assert not [c for c in text_of(app) if c != "\n" and not c.isprintable()]


@aio
async def test_the_filter_sort_and_panels(busy: DaemonProcess) -> None:
    async with dashboard(busy.address) as (app, pilot):
        await shows(app, "Runs 92/92")
        await pilot.press("slash", *"state:failed", "enter")
        await shows(app, "Runs 1/92  / state:failed")
        await pilot.press("slash")
        assert app.screen.query_one(Input).value == "state:failed"
        await pilot.press("escape")
        await shows(app, "Runs 92/92")
        await pilot.press("slash", *"colour:red")
        await shows(app, "the keys are state")
        # It stays while the screen is drawn anew, as every fact has it done.
        overview = app.screen
        assert isinstance(overview, Overview)
        overview.refresh_order()
        await pilot.pause(0.1)
        await shows(app, "the keys are state")
        await pilot.press("escape")
        await until(lambda: "the keys are state" not in text_of(app), app)
        await pilot.press("s")
        await shows(app, "by newest")
        await pilot.press("2")
        await until(lambda: app.focused is not None and app.focused.id == "alerts", app)
        assert "Runs 92/92" not in text_of(app)
        await pilot.press("3")
        await until(lambda: app.focused is not None and app.focused.id == "events", app)
        await pilot.press("escape")
        await until(lambda: app.focused is not None and app.focused.id == "runs", app)
        await shows(app, "Runs 92/92")
        await pilot.press("z")
        await until(lambda: not overview.preview.display, app)


@aio
async def test_pause_freezes_the_view_and_counts_what_is_missed(
    fresh: DaemonProcess,
) -> None:
    async with dashboard(fresh.address) as (app, pilot):
        await until(lambda: app.model.tail_count == 181, app)
        await shows(app, "Runs 92/92")
        await pilot.press("p")
        await shows(app, "PAUSED +0 events")
        assert app.session is not None
        await app.session.calls.submit(
            {"kind": "command", "inputs": {"argv": ["true"]}}
        )
        await until(lambda: len(app.model.runs) == 93, app)
        await until(lambda: "PAUSED +0" not in text_of(app), app)
        assert "Runs 92/92" in text_of(app)
        await pilot.press("p")
        await shows(app, "Runs 93/93")


@aio
async def test_the_run_screen_tells_the_whole_story(busy: DaemonProcess) -> None:
    """Output first, then texts, particulars, steps, relations and causes; tabs by [ and ]."""
    async with dashboard(busy.address) as (app, pilot):
        await shows(app, "r-1b58")
        app.open_run("r-1b58")
        await shows(app, "context 7,900/8,192 tokens: summarised 3 modules")
        await shows(app, "llms.txt")
        await pilot.press("slash", *"TEXTUAL", "enter")
        await shows(app, "/textual: 8 lines")
        await pilot.press("v", "n", "N", "w", "f")
        await pilot.press("escape")
        assert isinstance(app.screen, RunScreen)
        await pilot.press("right_square_bracket")
        await shows(app, "> A Rapid Application Development framework for Python.")
        assert app.screen.query_one(TabbedContent).active == "text-1"
        await pilot.press("right_square_bracket")
        await shows(app, "source        https://github.com/Textualize/textual")
        await pilot.press("right_square_bracket")
        await shows(app, "repo_fetched  files=1204")
        await pilot.press("right_square_bracket", "right_square_bracket")
        await shows(app, "{a1b2:")
        await pilot.press("escape")
        await until(lambda: isinstance(app.screen, Overview), app)
        app.open_run("r-1ba2")
        await pilot.pause()
        app.screen.query_one(TabbedContent).active = "tree-pane"
        await shows(app, "✓   r-1ba2.turn-1")
        await pilot.press("j", "enter")
        await until(lambda: getattr(app.screen, "run_id", "") == "r-1ba2.turn-1", app)


@aio
async def test_enter_opens_the_run_under_the_cursor(busy: DaemonProcess) -> None:
    async with dashboard(busy.address) as (app, pilot):
        await stands_first(app, "r-1d00")
        await pilot.press("enter")
        await shows(app, "? which branch? [main / release]  (a answers)")
        assert isinstance(app.screen, RunScreen)
        assert app.screen.run_id == "r-1d00"


@aio
async def test_cancel_asks_once_and_shows_the_receipt(fresh: DaemonProcess) -> None:
    """TU-03 cancel with receipt, by keyboard alone."""
    async with dashboard(fresh.address) as (app, pilot):
        await shows(app, "r-1bc7")
        app.open_run("r-1bc7")
        await shows(app, "warning: deprecated option")
        await pilot.press("c")
        await until(lambda: isinstance(app.screen, CancelDialog), app)
        await shows(app, "Cancel r-1bc7?")
        await pilot.press("enter")
        await shows(app, "waiting for the proof")
        await shows(app, "method     subreaper")
        await shows(app, "pids       1001")
        await shows(app, "survivors  none")
        await pilot.press("enter")
        await until(lambda: isinstance(app.screen, RunScreen), app)
        await shows(app, "■ dashboard")
        await pilot.press("c")
        await shows(app, "has ended already")


@aio
async def test_cancelling_can_be_thought_over(fresh: DaemonProcess) -> None:
    async with dashboard(fresh.address) as (app, pilot):
        await stands_first(app, "r-1d00")
        await pilot.press("c")
        await until(lambda: isinstance(app.screen, CancelDialog), app)
        await pilot.press("escape")
        await until(lambda: isinstance(app.screen, Overview), app)
        open_runs = [r.view for r in app.model.runs.values() if not r.view.ended]
        assert not [view.run_id for view in open_runs if view.cancel_requested]


@aio
async def test_something_can_be_said_to_a_run(fresh: DaemonProcess) -> None:
    """TU-03 by keyboard alone; from the palette too, and nothing is sent by escape."""
    async with dashboard(fresh.address) as (app, pilot):
        await stands_first(app, "r-1d00")
        await pilot.press("i")
        await until(lambda: isinstance(app.screen, SayDialog), app)
        await pilot.press(*"nothing", "escape")
        await until(lambda: isinstance(app.screen, Overview), app)
        app.open_run("r-1b7d")
        await shows(app, "plan.completed")
        await pilot.press("i")
        await shows(app, "To r-1b7d:")
        await pilot.press("enter", *"[b]quit", "space", *"early", "enter")
        await until(lambda: isinstance(app.screen, RunScreen), app)
        await shows(app, "intervention.received [b]quit early")
        said = [f for f in app.model.tail if f.type == "intervention.received"]
        assert len(said) == 1


@aio
async def test_the_screen_of_a_queued_run_says_why_it_waits(
    busy: DaemonProcess,
) -> None:
    async with dashboard(busy.address) as (app, pilot):
        await shows(app, "Runs 9")
        app.open_run("r-1c11")
        await shows(app, "All 5 slots are taken, by r-1b58 (HIGH)")
        await pilot.press("escape")
        await until(lambda: isinstance(app.screen, Overview), app)
        app.open_run("r-1bc7")
        await shows(app, "warning: deprecated option")
        assert "slots are taken" not in text_of(app)


@aio
async def test_the_queue_is_paused_and_resumed_from_the_palette_after_one_question(
    fresh: DaemonProcess,
) -> None:
    """TU-02 the gauge tells; TU-03 by keyboard alone."""
    async with dashboard(fresh.address) as (app, pilot):

        def offered() -> str:
            """The first offer of the palette: what enter takes."""
            offers = app.screen.query(CommandList)
            first = offers.first().options[:1] if offers else []
            return str(first[0].prompt) if first else ""

        async def choose(typed: str, offer: str) -> None:
            await pilot.press("ctrl+p")
            await until(lambda: isinstance(app.focused, Input), app)
            await pilot.press(*typed)
            await until(lambda: offer in offered(), app)
            await pilot.press("enter")

        await stands_first(app, "r-1d00")
        await until(lambda: app.model.queue, app)
        await choose("resume", "Resume the queue")
        await shows(app, "the queue is not paused")
        await choose("pauseq", "Pause the queue")
        await shows(app, "Start no more runs?")
        await pilot.press("escape")
        await until(lambda: isinstance(app.screen, Overview), app)
        assert "‖" not in text_of(app)
        await choose("pauseq", "Pause the queue")
        await shows(app, "Start no more runs?")
        await pilot.press("enter")
        await shows(app, "‖ paused: dashboard")
        await choose("resume", "Resume the queue")
        await shows(app, "Start runs again?")
        await pilot.press("enter")
        await until(lambda: "‖" not in text_of(app), app)


@pytest.mark.parametrize("width", [46, 60, 80])
def test_help_and_quit_are_told_however_narrow_the_screen_is(
    busy: DaemonProcess, width: int
) -> None:
    """TU-04; and no key is cut in two."""

    @aio
    async def look() -> None:
        async with dashboard(busy.address, size=(width, 20)) as (app, _):
            await stands_first(app, "r-1d00")
            for _ in ("overview", "run"):
                await until(lambda: "q Quit" in last_line(app), app)
                assert "? Help" in last_line(app)
                assert len(last_line(app)) <= width
                assert last_line(app).split()[-1] in WHOLE_WORDS
                app.open_run("r-1d00")
                await until(lambda: isinstance(app.screen, RunScreen), app)

    look()


@aio
async def test_a_click_on_a_key_presses_it(busy: DaemonProcess) -> None:
    async with dashboard(busy.address) as (app, pilot):
        await stands_first(app, "r-1d00")
        at = last_line(app).index("Help")
        await pilot.click(KeyLine, offset=(at, 0))
        await until(lambda: isinstance(app.screen, HelpDialog), app)


@aio
async def test_answering_sends_the_choice(fresh: DaemonProcess) -> None:
    """TU-03 answer by keyboard alone; `a` finds the run that asks."""
    async with dashboard(fresh.address) as (app, pilot):
        await shows(app, "1 asks")
        await pilot.press("j", "j", "a")
        await until(lambda: isinstance(app.screen, AnswerDialog), app)
        await pilot.press("down", "enter")
        await until(lambda: not any(run.asks for run in app.model.runs.values()), app)
        [ask] = app.model.runs["r-1d00"].view.asks.values()
        assert ask.answer == "release"
        await pilot.press("a")
        await shows(app, "no run asks anything")


@aio
async def test_a_new_run_is_made_from_the_kinds_own_schema(
    fresh: DaemonProcess,
) -> None:
    """TU-03 submit by keyboard alone; what is wrong is said in the dialog."""
    async with dashboard(fresh.address) as (app, pilot):
        await shows(app, "Runs 92/92")
        await pilot.press("r")
        await until(lambda: isinstance(app.focused, Input), app)
        await shows(app, "words, quoted as in a shell")
        await pilot.press("enter")
        await shows(app, "give either argv or shell")
        await pilot.press(*"make", "space", *"'a b'", "tab", "tab", "tab")
        await pilot.press(*"nonsense", "ctrl+s")
        await shows(app, "env: 'nonsense' is not NAME=VALUE")
        await pilot.press(*["backspace"] * 8, *"A=1", "enter")
        await shows(app, "Runs 93/93")
        run = list(app.model.runs.values())[-1]
        assert run.view.inputs["argv"] == ["make", "a b"]
        # What is recorded has no values of variables: they may be secrets.
        assert run.view.inputs["env"] == {"A": "…"}
        # PT-08: where the dashboard was started, as a run of the command line would be.
        assert run.view.inputs["cwd"] == os.getcwd()


@aio
async def test_another_kind_has_another_form(busy: DaemonProcess) -> None:
    async with dashboard(busy.address) as (app, pilot):
        await shows(app, "Runs 9")
        await pilot.press("r")
        await until(lambda: isinstance(app.focused, Input), app)
        await shows(app, "words, quoted as in a shell")
        # The command, then the others by name: agent, coding, dead-code, llms-txt.
        await pilot.press("shift+tab", "enter", *["down"] * 4, "enter")
        await shows(app, "source *")
        assert "argv" not in text_of(app)
        await pilot.press("ctrl+s")
        await shows(app, "source: is needed")
        await pilot.press("escape")
        await until(lambda: isinstance(app.screen, Overview), app)


@aio
async def test_retry_makes_the_run_again(fresh: DaemonProcess) -> None:
    async with dashboard(fresh.address) as (app, pilot):
        await shows(app, "r-1c01")
        app.open_run("r-1c01")
        await pilot.pause()
        await pilot.press("R")
        await until(
            lambda: any(
                run.view.retry_of == "r-1c01" for run in app.model.runs.values()
            ),
            app,
        )


@aio
async def test_a_run_in_line_is_given_another_place(fresh: DaemonProcess) -> None:
    """TU-03: keys that are quick are each counted; a run that has a slot is in no line."""
    async with dashboard(fresh.address) as (app, pilot):
        await stands_first(app, "r-1d00")
        overview = app.screen
        assert isinstance(overview, Overview)

        def priority() -> Priority:
            return Priority(app.model.runs["r-1e3c"].view.priority)

        def is_before_the_others() -> bool:
            keys = overview.table.run_keys()
            return keys.index("r-1e3c") < keys.index("r-1df2")

        assert (priority(), is_before_the_others()) == (Priority.MEDIUM, False)
        overview.table.select("r-1e3c")
        await pilot.press("plus", "plus", "plus")
        await until(lambda: priority() is Priority.CRITICAL, app)
        await shows(app, "penstock priority r-1e3c critical")
        overview.table.select("r-1e3c")
        await pilot.press("minus", "minus")
        await until(lambda: priority() is Priority.MEDIUM, app)
        await until(lambda: not is_before_the_others(), app)
        overview.table.select("r-1e3c")
        await pilot.press("u")
        await shows(app, "penstock move r-1e3c --first")
        await until(is_before_the_others, app)
        overview.table.select("r-1bc7")
        await pilot.press("u")
        await shows(app, "it is not in line")


@aio
async def test_a_run_is_edited_and_run_again(fresh: DaemonProcess) -> None:
    """TU-03: the form as it was filled for this one; the new run gets an id of its own."""
    async with dashboard(fresh.address) as (app, pilot):
        await shows(app, "r-1c01")
        app.open_run("r-1c01")
        await pilot.pause()
        before = app.model.runs["r-1c01"].view.inputs
        await pilot.press("e")
        await until(lambda: isinstance(app.focused, Input), app)
        await shows(app, "as r-1c01")
        field = app.screen.query_one("#input-argv", Input)
        assert shlex.split(field.value) == before["argv"]
        field.focus()
        await pilot.press("end", *" -x", "enter")
        await until(
            lambda: any(
                run.view.inputs.get("argv") == [*before["argv"], "-x"]
                for run in app.model.runs.values()
            ),
            app,
        )


@aio
async def test_presets_stand_in_the_form_and_where_a_run_would_be(
    fresh: DaemonProcess, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """TU-03, PT-08: the folder and the environment of where the dashboard was started are told."""
    preset = '[presets.unit]\nrun = "make unit"\npriority = "high"\n'
    more = 'tty = true\nenv_file = "secrets"\nenv = {"B" = "ours"}\n'
    (tmp_path / ".penstock.toml").write_text(preset + more)
    monkeypatch.chdir(tmp_path)
    async with dashboard(fresh.address, size=(200, 50)) as (app, pilot):
        await shows(app, "Runs 92/92")
        await pilot.press("r")
        await until(lambda: isinstance(app.focused, Input), app)
        where = app.screen.query_one("#where", Static)
        assert str(where.content).startswith(f"in {tmp_path}, with the")
        app.screen.query_one("#kind", Select).value = "unit (preset)"
        await shows(app, "the preset of")
        form = app.screen
        await until(
            lambda: (
                [f.value for f in form.query("#input-shell").results(Input)]
                == ["make unit"]
            ),
            app,
        )
        # It is whole once its first line has the focus, and not before.
        await until(lambda: form.query("#option-labels"), app)
        await until(lambda: app.focused is form.query_one("#input-argv"), app)
        await pilot.press("ctrl+s")
        problem = form.query_one("#problem", Static)
        await until(lambda: "secrets: No such file" in str(problem.content), app)
        (tmp_path / "secrets").write_text("A=1\nB=2\n")
        await pilot.press("ctrl+s")
        await shows(app, "Runs 93/93")
        view = list(app.model.runs.values())[-1].view
        assert view.inputs["shell"] == "make unit"
        assert view.inputs["env"].keys() == {"A", "B"}
        assert view.inputs["stdin"] == "tty"
        assert view.labels == {"name": "unit"}
        assert Priority(view.priority) is Priority.HIGH


@aio
async def test_the_next_run_is_one_key_away(busy: DaemonProcess) -> None:
    """TU-03: as they stand in the list, and the cursor there goes along."""
    async with dashboard(busy.address) as (app, pilot):
        await stands_first(app, "r-1d00")
        await pilot.press("enter")
        await until(lambda: isinstance(app.screen, RunScreen), app)
        await pilot.press("J")
        await until(lambda: getattr(app.screen, "run_id", "r-1d00") != "r-1d00", app)
        second = app.current_run()
        await pilot.press("K")
        await until(lambda: app.current_run() == "r-1d00", app)
        await pilot.press("K", "J")
        await until(lambda: app.current_run() == second, app)
        await pilot.press("escape")
        await until(lambda: isinstance(app.screen, Overview), app)
        assert app.current_run() == second
        assert len(app.screen_stack) == 2


@aio
async def test_lines_are_copied_from_every_panel(busy: DaemonProcess) -> None:
    """TU-03: of alerts and events too, not of a run's screen alone."""
    async with dashboard(busy.address) as (app, pilot):
        await stands_first(app, "r-1d00")
        await pilot.press("2")
        await until(lambda: getattr(app.focused, "lines", None), app)
        await pilot.press("v", "y")
        await shows(app, "copied 1 line")
        assert app.clipboard


@aio
async def test_copy_export_theme_help_and_palette(
    busy: DaemonProcess, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    kept = tmp_path / "tui.json"
    async with dashboard(busy.address, settings=Settings(kept=kept)) as (app, pilot):
        await stands_first(app, "r-1d00")
        await pilot.press("y")
        assert app.clipboard == "r-1d00"
        await pilot.press("E")
        await until(lambda: (tmp_path / "r-1d00.ndjson").exists(), app)
        assert len((tmp_path / "r-1d00.ndjson").read_text().splitlines()) == 4
        await pilot.press("T")
        assert app.theme == "penstock-light"
        assert "penstock-light" in kept.read_text()
        await pilot.press("question_mark")
        await until(lambda: isinstance(app.screen, HelpDialog), app)
        await shows(app, "Copy id")
        await pilot.press("escape", "ctrl+p")
        await shows(app, "New run")


@aio
async def test_read_only_offers_nothing_that_changes(busy: DaemonProcess) -> None:
    async with dashboard(busy.address, read_only=True) as (app, pilot):
        await shows(app, "read-only")
        await stands_first(app, "r-1d00")
        await until(lambda: "Filter" in last_line(app), app)
        footer = last_line(app)
        assert not any(
            word in footer
            for word in ("Run", "Command", "Cancel", "Retry", "Answer", "Say")
        )
        await pilot.press("r", "c", "R", "a", "i", "P", "colon")
        await pilot.pause()
        assert isinstance(app.screen, Overview)


@aio
async def test_a_terminal_that_is_too_small_says_so_and_can_be_quit(
    busy: DaemonProcess,
) -> None:
    """TU-04"""
    async with dashboard(busy.address, size=(80, 24)) as (app, pilot):
        await shows(app, "Runs 9")
        await pilot.resize_terminal(39, 14)
        await shows(app, "have 39x14, need 40x12")
        await pilot.resize_terminal(80, 11)
        await shows(app, "have 80x11")
        await pilot.resize_terminal(40, 12)
        await shows(app, "Runs 9")
        await pilot.resize_terminal(30, 5)
        await until(lambda: isinstance(app.screen, TooSmall), app)
        await pilot.press("q")
        await until(lambda: not app.is_running)
    assert app.return_code == 0


@pytest.mark.parametrize("opening", ["", "enter", "question_mark", "c", "r escape"])
def test_q_quits_with_0_from_every_screen(busy: DaemonProcess, opening: str) -> None:
    """TU-03"""

    @aio
    async def quit_from() -> None:
        async with dashboard(busy.address) as (app, pilot):
            await stands_first(app, "r-1d00")
            before = app.screen
            await pilot.press(*opening.split())
            if opening and "escape" not in opening:
                await until(lambda: app.screen is not before, app)
            await pilot.press("q")
            await until(lambda: not app.is_running)
        assert app.return_code == 0

    quit_from()


@aio
async def test_q_is_a_letter_in_a_text_field(busy: DaemonProcess) -> None:
    """TU-03 every screen but a text field."""
    async with dashboard(busy.address) as (app, pilot):
        await shows(app, "Runs 9")
        await pilot.press("slash", "q")
        assert app.is_running
        assert app.screen.query_one(Input).value == "q"


@aio
async def test_keys_can_be_given_other_places(busy: DaemonProcess) -> None:
    async with dashboard(busy.address, settings=Settings(keys={"run.new": "N"})) as (
        app,
        pilot,
    ):
        await shows(app, "Runs 9")
        await pilot.press("r")
        await pilot.pause()
        assert isinstance(app.screen, Overview)
        await pilot.press("N")
        await until(lambda: isinstance(app.screen, SubmitDialog), app)
        # Textual fails if a screen is left before its parts are there.
        await pilot.pause()
