"""WF-09: questions and answers."""

from __future__ import annotations

from typing import Any

import pytest

from fakes.penstock_command import Penstock
from fakes.scripted_daemon import AT, ScriptedDaemon


def ask(name: str, **changes: Any) -> dict[str, Any]:
    return {
        "run_id": "r", "name": name, "question": "Really?", "choices": ["yes", "no"],
        "default": None, "expires_at": AT, "state": "open", **changes,
    }  # fmt: skip


@pytest.fixture(autouse=True)
def answerable(daemon: ScriptedDaemon) -> None:
    daemon.routes["GET", "/asks"] = (200, {"asks": [ask("one")]})
    for name in ("one", "two"):
        daemon.routes["POST", f"/runs/r/asks/{name}"] = (200, {"name": name})


def test_open_questions_are_listed(penstock: Penstock) -> None:
    assert "Really?" in penstock("asks").stdout


@pytest.mark.parametrize("words", [["yes"], ["one", "yes"]])
def test_the_name_may_be_left_out_while_there_is_one(
    penstock: Penstock, daemon: ScriptedDaemon, words: list[str]
) -> None:
    assert penstock("answer", "r", *words).exit_code == 0
    assert daemon.asked[-1].target == "/runs/r/asks/one"
    assert daemon.asked[-1].body == {"answer": "yes"}


def test_with_several_questions_the_name_is_needed(
    penstock: Penstock, daemon: ScriptedDaemon
) -> None:
    """WF-09 CL-01: a command that was called wrongly; what it may say is listed."""
    daemon.routes["GET", "/asks"] = (200, {"asks": [ask("one"), ask("two")]})
    result = penstock("answer", "r", "yes")
    assert result.exit_code == 2
    assert "one (Really?), two (Really?)" in result.stderr
    assert [asked.method for asked in daemon.asked] == ["GET"]


def test_a_run_that_asks_nothing_is_not_found(
    penstock: Penstock, daemon: ScriptedDaemon
) -> None:
    daemon.routes["GET", "/asks"] = (200, {"asks": []})
    result = penstock("answer", "r", "yes")
    assert result.exit_code == 3
    assert "asks nothing now" in result.stderr


def test_the_loser_of_a_race_is_told(
    penstock: Penstock, daemon: ScriptedDaemon
) -> None:
    document = {"type": "urn:penstock:already-answered", "detail": "answered already"}
    daemon.routes["POST", "/runs/r/asks/one"] = (409, document)
    assert penstock("answer", "r", "one", "no").exit_code == 4


def test_nobody_is_asked_in_a_pipe(penstock: Penstock) -> None:
    result = penstock("answer", "r", stdin="")
    assert result.exit_code == 2
    assert "is missing" in result.stderr
