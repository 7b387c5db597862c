"""CL-01: the texts that a run makes can be had on the command line."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from fakes.penstock_command import Penstock
from fakes.scripted_daemon import ScriptedDaemon, fact

TEXT = "one\ntwo \x1b[1m\n"


def partial(text: str, attempt: int = 1, name: str = "a.txt") -> dict[str, Any]:
    return {
        "type": "artifact.partial", "artifact_id": name, "text": text, "attempt": attempt,
    }  # fmt: skip


def known(**changes: Any) -> dict[str, Any]:
    return {
        "artifact_id": "a.txt", "attempt": 2, "characters": len(TEXT), "size": len(TEXT),
        "sha256": hashlib.sha256(TEXT.encode()).hexdigest(), "path": "/out/a.txt", **changes,
    }  # fmt: skip


@pytest.fixture
def make(daemon: ScriptedDaemon) -> Any:
    """A run with two texts, one of them begun twice; `make(size=None)` changes what is known."""

    def run(**changes: Any) -> None:
        events = [
            partial("given up", attempt=1), partial("one\n", attempt=2),
            partial("other", name="b.txt"), partial(TEXT[4:], attempt=2),
        ]  # fmt: skip
        facts = [fact(n, n, event) for n, event in enumerate(events, 1)]
        daemon.routes["GET", "/runs/r"] = (
            200,
            {"run_id": "r", "artifacts": [known(**changes)]},
        )
        daemon.pages["/runs/r/events"] = facts

    return run


def test_a_text_is_its_newest_attempt_whole_and_as_it_is(
    penstock: Penstock, make: Any
) -> None:
    make()
    result = penstock("artifacts", "r", "a.txt")
    assert (result.exit_code, result.stdout, result.stderr) == (0, TEXT, "")


def test_a_text_goes_to_a_file(penstock: Penstock, make: Any, tmp_path: Path) -> None:
    make()
    out = tmp_path / "copy"
    assert penstock("artifacts", "r", "a.txt", "-o", str(out)).stdout == ""
    assert out.read_bytes() == TEXT.encode()


def test_a_file_stays_as_it_was_if_there_is_no_such_text(
    penstock: Penstock, make: Any, tmp_path: Path
) -> None:
    make()
    out = tmp_path / "copy"
    out.write_text("before")
    result = penstock("artifacts", "r", "none", "-o", str(out))
    assert result.exit_code == 3
    assert result.stderr == "penstock: r has no text 'none'; it has: a.txt\n"
    assert out.read_text() == "before"


def test_a_text_that_still_grows_is_told_to_be_so(
    penstock: Penstock, make: Any
) -> None:
    make(size=None, sha256=None)
    result = penstock("artifacts", "r", "a.txt")
    assert result.stdout == TEXT
    assert "a.txt is not whole" in result.stderr
    assert "not whole" in penstock("artifacts", "r").stdout


def test_a_text_whose_pieces_are_not_all_there_is_refused(
    penstock: Penstock, make: Any
) -> None:
    make(sha256="0" * 64)
    result = penstock("artifacts", "r", "a.txt")
    assert (result.exit_code, result.stdout) == (1, "")
    assert "damaged" in result.stderr


def test_without_a_name_the_texts_are_listed(
    penstock: Penstock, make: Any, tmp_path: Path
) -> None:
    make(path=str(tmp_path))
    heads, line = penstock("artifacts", "r").stdout.splitlines()
    assert heads.split() == ["NAME", "BYTES", "FILE"]
    assert line.split() == ["a.txt", str(len(TEXT)), str(tmp_path)]
    make()
    # A file that is gone is not told.
    assert "/out/a.txt" not in penstock("artifacts", "r").stdout
    assert json.loads(penstock("artifacts", "r", "--json").stdout) == known()
    assert penstock("artifacts", "r", "-o", "x").exit_code == 2


def test_json_holds_the_text_and_what_is_known_of_it(
    penstock: Penstock, make: Any
) -> None:
    make()
    told = json.loads(penstock("artifacts", "r", "a.txt", "--json").stdout)
    assert told == {"run_id": "r", **known(), "text": TEXT}
