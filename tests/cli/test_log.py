"""D-08: the log as a whole, without a daemon."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from fakes.ended_logs import fill_log
from fakes.log_holder import another_daemon
from fakes.penstock_command import Penstock
from penstock.words.events import ModelAnswered


@pytest.mark.parametrize("verb", ["export", "audit"])
def test_a_log_that_is_not_there_is_not_found(penstock: Penstock, verb: str) -> None:
    result = penstock(verb)
    assert (result.exit_code, result.stdout) == (3, "")
    assert "there is no database" in result.stderr


def test_examples_to_learn_from_are_exported(
    penstock: Penstock, tmp_path: Path
) -> None:
    """A line for each answer that was used, and nothing else."""
    answered = ModelAnswered(
        question="coding.plan", model="m", inputs={"task": "a"}, fields={"modules": []}
    )
    refused = answered.model_copy(update={"fields": {}, "refused": "no"})
    file = fill_log(tmp_path / "x.db", "r", events=[refused, answered])
    result = penstock("export", "--examples", "--database", str(file))
    assert result.exit_code == 0, result.stderr
    assert [json.loads(line) for line in result.stdout.splitlines()] == [
        {
            "question": "coding.plan", "inputs": {"task": "a"}, "outputs": {"modules": []},
            "model": "m", "run_id": "r", "score": 1.0,
        }
    ]  # fmt: skip
    assert "1 examples exported" in result.stderr


@pytest.mark.parametrize("verb", ["export", "audit"])
def test_what_is_no_log_is_a_sentence(
    penstock: Penstock, tmp_path: Path, verb: str
) -> None:
    file = tmp_path / "x.db"
    file.write_text("no database at all, but long enough to be looked at" * 100)
    result = penstock(verb, "--database", str(file))
    assert result.exit_code == 1
    assert len(result.stderr.splitlines()) == 1
    assert str(file) in result.stderr


def test_what_is_no_export_is_refused_and_nothing_is_written(
    penstock: Penstock, tmp_path: Path
) -> None:
    file = tmp_path / "deep" / "penstock.db"
    result = penstock("import", "--database", str(file), stdin="not json\n")
    assert result.exit_code == 2
    assert "import" in result.stderr


@pytest.mark.processes
def test_import_and_prune_keep_off_a_log_that_a_daemon_has_open(
    home: Path, penstock: Penstock
) -> None:
    """Law 5 RS-05: though nobody holds the lock file any more."""
    path = home / "state" / "penstock" / "penstock.db"
    embedded = path.parent / "embedded" / "r.db"
    embedded.parent.mkdir(parents=True)
    with another_daemon(embedded):
        os.utime(embedded, (0, 0))
        assert penstock("prune").exit_code == 0
        assert embedded.exists()
    with another_daemon(path):
        for words in (["prune"], ["import", "/dev/null"]):
            done = penstock(*words)
            assert done.exit_code == 1
            assert f"has the database {path} open" in done.stderr


@pytest.mark.parametrize("what", ["fifo", "folder", "none"])
def test_an_export_that_is_no_file_is_refused_at_once(
    penstock: Penstock, tmp_path: Path, what: str
) -> None:
    """CL-01: a FIFO would be waited for, for ever where nobody writes to it."""
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "folder").mkdir()
    result = penstock("import", str(tmp_path / what))
    assert result.exit_code == 2, result.stderr
    assert f"{what} cannot be read" in result.stderr
    assert result.stderr.count("\n") == 1
