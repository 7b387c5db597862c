"""A log that was used is given out as if it were new."""

from __future__ import annotations

import sqlite3

import pytest

from fakes.few_numbers import some_fast
from penstock.log.audit import audit_whole
from penstock.log.sqlite.whole_file import WholeFile
from penstock_drills.blank_logs import open_blank_logs
from penstock_drills.schedules import run_schedule


@pytest.fixture(autouse=True)
def no_log_lines(caplog: pytest.LogCaptureFixture) -> None:
    """The failures of these stories are meant."""
    caplog.set_level("CRITICAL")


def _all_of(db: sqlite3.Connection) -> list[str]:
    return list(db.iterdump())


def test_a_log_is_emptied_whatever_state_its_story_left_it_in() -> None:
    """QA-02"""
    with open_blank_logs() as logs:
        with logs.taken() as db:
            new = _all_of(db)
            tables = db.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
            for (table,) in tables.fetchall():
                columns = db.execute(f"SELECT * FROM {table}").description
                values = ",".join("7" for _ in columns)
                db.execute(f"INSERT INTO {table} VALUES ({values})")
            # A store that broke may have left its transaction open.
            db.execute("BEGIN")
            db.execute("DELETE FROM meta")
        with logs.taken() as again:
            assert again is db
            assert _all_of(again) == new
            assert audit_whole(WholeFile(again)).findings == []


def test_stories_that_are_told_at_once_have_logs_of_their_own() -> None:
    """QA-02"""
    with open_blank_logs() as logs, logs.taken() as one, logs.taken() as other:
        assert one is not other


@pytest.mark.parametrize("numbers", some_fast([2, 3], 1))
def test_a_number_tells_the_same_on_a_log_that_was_used(numbers: int) -> None:
    """DT-05 QA-02"""
    alone = [run_schedule(number) for number in range(numbers)]
    with open_blank_logs() as logs:
        assert [run_schedule(n, logs=logs) for n in range(numbers)] == alone
