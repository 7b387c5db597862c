"""DU-03: a list shows what a person looks for, as wide as it looks."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from penstock.cli import output
from penstock.cli.run_lines import ago, show_runs
from penstock.words.display import columns_of, cut
from penstock.words.wait_reason import Waiting

NOW = datetime(2030, 1, 1, 12, 0, tzinfo=UTC)


def row(number: int = 1, **others: Any) -> dict[str, Any]:
    """A run as the daemon lists it."""
    began = (NOW - timedelta(minutes=5)).isoformat()
    return {
        "run_id": f"r-{number:012x}", "number": number, "kind": "command", "state": "running",
        "created_at": began, "started_at": began, "ended_at": None, "exit_code": None,
        "exit_from": None, "progress": None, "step": None, "error": None, "reason": "",
        "inputs": {"argv": ["make", "test"]}, "labels": {}, "group": None, **others,
    }  # fmt: skip


def shown(capsys: pytest.CaptureFixture[str], *rows: dict[str, Any]) -> list[str]:
    show_runs(rows, NOW)
    return capsys.readouterr().out.splitlines()


def test_each_state_says_what_one_asks_of_it(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """DU-03"""
    ended = (NOW - timedelta(minutes=3)).isoformat()
    lines = shown(
        capsys,
        row(41, progress=0.62, step="test_api.py ..F"),
        row(40, state="failed", exit_code=2, exit_from="program", ended_at=ended, error="exit 2"),
        row(39, state="queued", started_at=None, reason="group disk is full", group="disk"),
        row(38, state="completed", exit_code=0, ended_at=ended, kind="echo", inputs={}),
    )  # fmt: skip
    assert lines[1].split() == ["41", "▶", "62%", "now", "5:00", "make", "test", "«test_api.py", "..F»"]  # fmt: skip
    assert lines[2].split()[1:] == ["✗", "exit", "2", "3", "m", "ago", "2:00", "make", "test"]  # fmt: skip
    assert lines[3].endswith("(group disk is full)  disk")
    assert lines[4].split()[-1] == "echo"


def test_a_run_that_waits_says_for_whom(capsys: pytest.CaptureFixture[str]) -> None:
    """DU-03 AG-06: an answer, a quota and until when by the clock here; of an agent its name."""
    until = datetime(2030, 1, 1, 19, 12, tzinfo=UTC)
    agent = {"kind": "agent", "inputs": {"agent": "codex", "prompt": "fix it"}}
    lines = shown(
        capsys,
        row(3, state="waiting", reason="asks: permit-1", **agent),
        row(
            2, state="waiting", reason=Waiting("quota", "codex", until).reason, **agent
        ),
        row(1, state="waiting", reason="child: r.c"),
    )
    assert [line.split("?")[1].split("  ")[0].strip() for line in lines[1:]] == [
        "asks", f"quota {until.astimezone():%H:%M}", "waiting",
    ]  # fmt: skip
    assert "agent codex fix it" in lines[1]


def test_a_column_that_has_nothing_is_not_there(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """DU-03: a name is one that somebody gave."""
    assert "NAME" not in shown(capsys, row())[0]
    assert "NAME" in shown(capsys, row(run_id="chosen"))[0]
    assert "tests" in shown(capsys, row(labels={"name": "tests"}))[1]
    # What was made without a daemon has no number and is found by its id.
    assert "r-000000000000" in shown(capsys, row(0))[1]


def test_the_folder_is_told_from_home(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """DU-03"""
    monkeypatch.setenv("HOME", "/home/me")
    for folder, told in (("/home/me/src", "~/src"), ("/home/me", "~"), ("/home/meme", "/home/meme")):  # fmt: skip
        line = shown(capsys, row(inputs={"argv": ["x"], "cwd": folder}))[1]
        assert line.split()[-1] == told


def test_wide_letters_take_two_columns(capsys: pytest.CaptureFixture[str]) -> None:
    """DU-03: what stands behind them is aligned."""
    lines = shown(
        capsys,
        row(1, labels={"name": "日本語"}),
        row(2, labels={"name": "plain"}),
    )
    places = {columns_of(line[: line.index("▶")]) for line in lines[1:]}
    assert len(places) == 1


def test_on_a_terminal_the_command_makes_room(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """DU-03: a line is cut with `…` and wraps nowhere; in a pipe it is whole."""
    long = row(inputs={"argv": ["echo", "日本" * 60], "cwd": "/srv"})
    assert "日本" * 60 in shown(capsys, long)[1]
    monkeypatch.setattr(output, "_columns", lambda _stream: 60)
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    line = shown(capsys, long)[1]
    assert columns_of(line) <= 60
    assert "…" in line
    assert line.endswith("/srv")


@pytest.mark.parametrize(
    ("seconds", "told"),
    [(0, "0 s ago"), (59, "59 s ago"), (60, "1 m ago"), (3599, "59 m ago"),
     (3600, "1 h ago"), (86_400, "1 d ago"), (7 * 86_400, "")],
)  # fmt: skip
def test_how_long_ago_is_told_in_one_unit(seconds: int, told: str) -> None:
    """DU-03"""
    assert ago(timedelta(seconds=seconds)) == told


def test_a_cut_text_fits_and_says_so() -> None:
    """DU-03"""
    assert cut("日本語", 6) == "日本語"
    assert cut("日本語", 5) == "日本…"
    assert cut("日本語", 4) == "日…"
