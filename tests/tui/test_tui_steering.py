"""TU-03, DU-04, DU-05: slots, schedules, a program held, a run changed before it begins, and words with Tab."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from typing import Any

import pytest
from textual.widgets import Input

from fakes.aio import aio
from fakes.tui_pilot import dashboard, shows, stands_first, until
from fakes.tui_processes import DaemonProcess
from penstock.words.errors import Refused
from penstock_tui.app import Dashboard
from penstock_tui.drafts import changes_of
from penstock_tui.equivalents import edit_command, every_command, submit_command
from penstock_tui.screens.command import completed
from penstock_tui.screens.overview import Overview
from penstock_tui.screens.queue_dialogs import WantedSlots, read_slots
from penstock_tui.screens.submit import SubmitDialog


def select(app: Dashboard, run_id: str) -> None:
    overview = app.screen
    assert isinstance(overview, Overview)
    overview.table.select(run_id)


@pytest.mark.sockets
@aio
async def test_slots_are_set_and_a_mistake_is_told(fresh: DaemonProcess) -> None:
    """DU-05: for all and for a group, with the words of the command line."""
    async with dashboard(fresh.address) as (app, pilot):
        await stands_first(app, "r-1d00")
        await pilot.press("S")
        await shows(app, "5 of 5 are taken")
        await pilot.press(*"many", "enter")
        await shows(app, "'many' is no number of slots")
        app.screen.query_one(Input).value = "disk 2"
        await pilot.press("enter")
        await shows(app, "penstock slots 2 --group disk")
        assert app.model.queue["groups"]["disk"]["slots"] == 2
        await pilot.press("S")
        await shows(app, "group disk: 0 of 2")
        await pilot.press("7", "enter")
        await shows(app, "penstock slots 7")


@pytest.mark.sockets
@aio
async def test_a_schedule_is_made_looked_at_and_removed(fresh: DaemonProcess) -> None:
    """DU-04: by the form of a run, whose name is that of the schedule."""
    async with dashboard(fresh.address) as (app, pilot):
        await stands_first(app, "r-1d00")
        await pilot.press("5")
        await shows(app, "nothing is run again and again")
        await pilot.press("r")
        await until(lambda: app.screen.query("#option-every"), app)
        await until(lambda: isinstance(app.focused, Input), app)
        app.screen.query_one("#input-argv", Input).value = "make backup"
        app.screen.query_one("#option-every", Input).value = "1d"
        await pilot.press("ctrl+s")
        await shows(app, "penstock every 1d --name make-backup -- make backup")
        await pilot.press("5")
        await shows(app, "make-backup")
        await shows(app, "make backup")
        await pilot.press("x")
        await shows(app, "Make no more runs of make-backup?")
        await pilot.press("enter")
        await shows(app, "penstock schedules --remove make-backup")
        await pilot.press("5")
        await shows(app, "nothing is run again and again")


@pytest.mark.sockets
@aio
async def test_a_program_is_held_and_goes_on(fresh: DaemonProcess) -> None:
    """DU-05"""
    async with dashboard(fresh.address) as (app, pilot):
        await stands_first(app, "r-1d00")
        select(app, "r-1bc7")
        await pilot.press("h")
        await shows(app, "penstock pause r-1bc7")
        await until(lambda: app.model.runs["r-1bc7"].view.state == "paused", app)
        select(app, "r-1bc7")
        await pilot.press("h")
        await shows(app, "penstock resume r-1bc7")
        await until(lambda: app.model.runs["r-1bc7"].view.state == "running", app)


@pytest.mark.sockets
@aio
async def test_a_run_in_line_is_changed_before_it_begins(fresh: DaemonProcess) -> None:
    """TU-03, DU-05: it stays the same run, at its place."""
    async with dashboard(fresh.address) as (app, pilot):
        await stands_first(app, "r-1d00")
        select(app, "r-1e3c")
        before = app.model.runs["r-1e3c"].view
        count = len(app.model.runs)
        await pilot.press("e")
        await until(lambda: isinstance(app.focused, Input), app)
        assert app.screen.query_one("#frame").border_title == "Edit"
        assert not app.screen.query("#option-group")
        await pilot.press("ctrl+s")
        await shows(app, "nothing was changed")
        field = app.screen.query_one("#input-argv", Input)
        field.value += " -x"
        await pilot.press("ctrl+s")
        await shows(app, "penstock edit r-1e3c --inputs")
        view = app.model.runs["r-1e3c"].view
        assert view.inputs["argv"][-1] == "-x"
        assert (view.place, len(app.model.runs)) == (before.place, count)


@pytest.mark.sockets
@pytest.mark.processes
@aio
async def test_words_are_completed_as_in_a_shell(busy: DaemonProcess) -> None:
    """TU-03, CL-03: verbs, options, ids of the daemon that is looked at; of several what they share."""
    async with dashboard(busy.address) as (app, pilot):
        await stands_first(app, "r-1d00")
        await pilot.press("colon", *"sched", "tab")
        field = app.screen.query_one(Input)
        await until(lambda: field.value == "schedules ", app)
        field.value = "cancel r-1b"
        field.action_end()
        await pilot.press("tab")
        await shows(app, "r-1b7d")
        await shows(app, "r-1bc7")
        assert field.value == "cancel r-1b"
        field.value = "pause --gr"
        field.action_end()
        await pilot.press("tab")
        await until(lambda: field.value.startswith("pause --group"), app)


@pytest.mark.parametrize(
    ("line", "found", "more"),
    [
        ("can", ["cancel"], "cancel "),
        ("cancel r-1", ["r-1b7d", "r-1bc7"], "cancel r-1b"),
        ("cancel r-1b", ["r-1b7d", "r-1bc7"], "cancel r-1b"),
        ("list gro", ["group:"], "list group:"),
        ("why ", [], "why "),
        ("", ["add", "answer"], "a"),
    ],
)
def test_a_line_goes_on_with_what_all_have_in_common(
    line: str, found: list[str], more: str
) -> None:
    """CL-03"""
    assert completed(line, found) == more


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("4", WantedSlots(None, 4)),
        (" disk  2 ", WantedSlots("disk", 2)),
        ("-", WantedSlots(None, None)),
        ("disk -", WantedSlots("disk", None)),
    ],
)
def test_slots_are_read(text: str, wanted: WantedSlots) -> None:
    """DU-05"""
    assert read_slots(text) == wanted


@pytest.mark.parametrize("text", ["", "0", "-1", "two", "a b c", "٣", "1.5"])
def test_what_is_no_number_of_slots_is_refused(text: str) -> None:
    """DU-05"""
    with pytest.raises(Refused):
        read_slots(text)


@pytest.mark.parametrize(
    ("request_", "words"),
    [
        (
            {"kind": "command", "inputs": {"argv": ["make", "a b"], "cwd": "/x"}},
            "submit --cwd /x -- make 'a b'",
        ),
        (
            {
                "kind": "command", "inputs": {"shell": "a | b", "env": {"TOKEN": "hidden"}},
                "priority": "HIGH", "group": "disk", "timeout": 5400.0, "delay": 90.0,
                "retries": 2, "after": ["r-1"], "labels": {"name": "n", "k": "v"},
            },
            ("submit --name n --group disk --retries 2 --priority high --timeout 1h30m --in 1m30s "
            "--after r-1 --label k=v --env TOKEN --shell 'a | b'"),
        ),
        (
            {"kind": "loop", "inputs": {"goal": "x"}, "priority": "MEDIUM"},
            """submit loop --inputs '{"goal": "x"}'""",
        ),
    ],
)  # fmt: skip
def test_what_a_form_asked_for_is_told_in_words(
    request_: Mapping[str, Any], words: str
) -> None:
    """TU-03: and no value of a variable with it."""
    assert submit_command(request_) == f"penstock {words}"
    assert shlex.split(words)


def test_a_schedule_is_told_in_words_too() -> None:
    """DU-04"""
    request = {"kind": "command", "inputs": {"argv": ["make"]}, "labels": {"k": "v"}}
    said = every_command("30 2 * * *", "nightly", request)
    wanted = "penstock every '30 2 * * *' --name nightly --label k=v -- make"
    assert said == wanted


def test_what_was_edited_is_told_without_the_values_of_variables() -> None:
    """TU-03: as of a submit; a variable has its place in the words, and its value has none."""
    changes = {"argv": ["a", "b"], "env": {"TOKEN": "hidden"}}
    assert edit_command("r-1", changes) == (
        """penstock edit r-1 --inputs '{"argv": ["a", "b"], "env": {"TOKEN": "…"}}'"""
    )
    assert "null" in edit_command("r-1", {"env": None})


def test_only_what_was_changed_is_sent() -> None:
    """DU-05: what is shown nowhere stays, and what was emptied goes."""
    before = {"argv": ["a"], "cwd": "/x", "env": {}, "shell": None, "tty": {"rows": 1}}
    assert changes_of(before, {"argv": ["a"], "cwd": "/x", "tty": {"rows": 1}}) == {}
    assert changes_of(before, {"argv": ["b"], "cwd": "/x"}) == {
        "argv": ["b"],
        "tty": None,
    }


@pytest.mark.sockets
@aio
async def test_a_form_can_be_left_before_it_is_there(busy: DaemonProcess) -> None:
    """TU-03: by keys that are faster than its lines, again and again."""
    async with dashboard(busy.address) as (app, pilot):
        await stands_first(app, "r-1d00")
        for _ in range(5):
            app.action_submit()
            await until(lambda: isinstance(app.screen, SubmitDialog), app)
            form = app.screen
            assert isinstance(form, SubmitDialog)
            form.action_leave()
            await until(lambda: isinstance(app.screen, Overview), app)
        await pilot.pause()
        assert app.is_running
