"""DU-01: runs by number, prefix, @word and filter, for every verb."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from fakes.house_beside import HouseBeside
from fakes.penstock_command import Penstock
from fakes.real_daemon import RealDaemon
from penstock.cli.session import Session

#: Seconds for a command; a loaded box may take its time.
PATIENCE = 60


def shown(penstock: Penstock, *words: str) -> str:
    run_id: str = json.loads(penstock("show", *words, "--json").stdout)["run_id"]
    return run_id


def test_one_run_is_meant_by_many_words(
    penstock: Penstock, daemon: HouseBeside
) -> None:
    """DU-01"""
    for run_id in ("alpha", "beta"):
        daemon.start(run_id)
    for word in ("1", "#1", "al", "alpha", "@-2", "kind:echo alpha"):
        assert shown(penstock, word) == "alpha"
    assert shown(penstock, "@last") == "beta"


def test_a_verb_that_reads_may_go_without_an_id(
    penstock: Penstock, daemon: HouseBeside
) -> None:
    """DU-01: the only running run is meant, else the newest."""
    daemon.start("alpha")
    assert shown(penstock) == "alpha"
    daemon.start("beta")
    assert shown(penstock) == "beta"
    daemon.end("beta")
    assert shown(penstock) == "alpha"
    assert penstock("why").stdout.startswith("1 alpha is running")
    assert penstock("logs").exit_code == 0


@pytest.mark.parametrize("verb", ["cancel", "retry", "send", "attach", "answer"])
def test_a_verb_that_changes_something_names_the_candidates_instead(
    penstock: Penstock, daemon: HouseBeside, verb: str
) -> None:
    """DU-01: nothing is cancelled because somebody forgot to say what."""
    daemon.submit("sleep", {"fail": True}, run_id="broken")
    daemon.wait_ended("broken")
    daemon.start("alpha")
    result = penstock(verb)
    assert result.exit_code == 2
    candidate = "1 broken (failed)" if verb == "retry" else "2 alpha (running)"
    assert f"say which run: {candidate}" in result.stderr
    assert daemon.view("alpha").state == "running"


@pytest.mark.parametrize(
    "words",
    [
        ("cancel", ""), ("cancel", "alpha", ""), ("retry", ""), ("stash", ""), ("enqueue", ""), ("pause", ""),
        ("resume", ""), ("priority", "", "high"), ("submit", "--after", "", "true"),
    ],
)  # fmt: skip
def test_an_empty_word_means_no_run_to_a_verb_that_changes_something(
    penstock: Penstock, daemon: HouseBeside, words: tuple[str, ...]
) -> None:
    """DU-01: `cancel "$ID"` where nothing has set it ends nobody's run."""
    daemon.start("alpha")
    position = daemon.view("alpha").position
    result = penstock(*words)
    assert result.exit_code == 2
    assert "say which run: " in result.stderr or "an ID is empty" in result.stderr
    assert daemon.view("alpha").position == position


def test_the_beginning_of_several_ids_lists_them(
    penstock: Penstock, daemon: HouseBeside
) -> None:
    """DU-01: exit 2, and nothing done."""
    for run_id in ("job-1", "job-2"):
        daemon.start(run_id)
    result = penstock("cancel", "job")
    assert result.exit_code == 2
    assert "job-2 (2), job-1 (1)" in result.stderr
    several = penstock("show", "@running")
    assert several.exit_code == 2
    assert "means 2 runs: 2 job-2 (running), 1 job-1 (running)" in several.stderr


def test_many_are_cancelled_by_one_word(
    penstock: Penstock, daemon: HouseBeside
) -> None:
    """DU-01"""
    for run_id in ("a", "b", "c"):
        daemon.start(run_id)
    assert penstock("cancel", "--wait", "1", "#2").exit_code == 0
    assert [daemon.view(name).state for name in "abc"] == ["cancelled", "cancelled", "running"]  # fmt: skip
    assert penstock("cancel", "--wait", "@running").exit_code == 0
    assert daemon.view("c").state == "cancelled"
    nothing = penstock("cancel", "@running")
    assert (nothing.exit_code, nothing.stdout) == (3, "")


def test_what_failed_is_retried_once(penstock: Penstock, daemon: HouseBeside) -> None:
    """DU-01: a second `retry @failed` finds only what failed since."""
    daemon.submit("sleep", {"fail": True}, run_id="r", labels={"name": "tests"})
    daemon.wait_ended("r")
    again = penstock("retry", "@failed").stdout.strip()
    daemon.wait_ended(again)
    assert json.loads(penstock("show", again, "--json").stdout)["labels"] == {"name": "tests"}  # fmt: skip
    newest = penstock("retry", "@failed").stdout.split()
    assert len(newest) == 1
    daemon.wait_ended(*newest)
    assert daemon.view(newest[0]).retry_of == again


def test_wait_without_ids_waits_for_all_and_any_for_the_first(
    penstock: Penstock, daemon: HouseBeside
) -> None:
    """DU-01"""
    nothing = penstock("wait")
    assert (nothing.exit_code, nothing.stderr) == (0, "penstock: no run is open\n")
    for run_id in ("a", "b"):
        daemon.start(run_id)
    daemon.end("a")
    first = penstock("wait", "--any", "a", "b")
    assert (first.exit_code, first.stdout) == (0, "a  completed\n")
    daemon.submit("sleep", {"fail": True, "seconds": 0.2}, run_id="c")
    daemon.beside.do(daemon.house.core.control.cancel, "b", "no more")
    assert penstock("wait", "b", "c").exit_code == 143


def test_an_address_may_have_the_number(
    penstock: Penstock, daemon: HouseBeside
) -> None:
    """DU-01: over REST too; nothing else of what people type, since `job` must not mean `job-1`."""
    daemon.start("job-1")
    session = Session(os.environ)
    assert session.call(lambda client: client.run("1"))["run_id"] == "job-1"
    assert session.call(lambda client: client.run("1"))["number"] == 1
    receipt = session.call(lambda client: client.cancel("job", wait=True))
    assert receipt["outcome"] == "tombstoned"
    assert daemon.view("job-1").state == "running"


@pytest.mark.processes
def test_bash_takes_a_hash_for_a_comment_and_nothing_is_cancelled(
    real_daemon: RealDaemon,
) -> None:
    """DU-01: `cancel #1` reaches us as `cancel` alone."""
    penstock = f"{sys.executable} -m penstock.cli.main"
    script = f"""
        {penstock} submit command --id alpha -- sleep 100
        {penstock} cancel #1
        echo "code $?"
        {penstock} cancel --wait '#1'
        echo "code $?"
        {penstock} cancel 1
    """
    done = subprocess.run(["bash", "-c", script], text=True, capture_output=True, timeout=PATIENCE, stdin=subprocess.DEVNULL)  # fmt: skip
    lines = done.stdout.splitlines()
    assert lines[:2] == ["alpha", "code 2"]
    assert "say which run: 1 alpha: sleep 100 (running)" in done.stderr
    assert lines[2].startswith("alpha cancelled")
    assert lines[3:] == ["code 0", "alpha had ended before"]


def test_a_run_is_started_after_one_that_is_named_by_a_word(
    penstock: Penstock, daemon: HouseBeside
) -> None:
    """DU-01"""
    daemon.start("alpha")
    run_id = penstock("submit", "--after", "1", "--", "true").stdout.strip()
    assert daemon.view(run_id).after == ("alpha",)
