"""Long drills are interrupted and go on: nothing is told twice, nothing is left out, nothing stays."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from penstock.processes.containment import all_pids
from penstock.processes.liveness import living_since, read_stat
from penstock.words.errors import Refused
from penstock_drills.campaign import Tally, hold_state, load_tally, save_tally
from penstock_drills.crash import Chance
from penstock_drills.schedules import STORIES
from penstock_drills.sweeps import NUMBERS_AT_ONCE, _firsts

pytestmark = pytest.mark.alone

#: Seconds for a drill to have done something, and for what it started to be gone.
DRILL_SECONDS = 90


@contextmanager
def _drilling(*words: str) -> Iterator[subprocess.Popen[bytes]]:
    """A drill that is under way."""
    argv = [sys.executable, "-m", "penstock.cli.main", "drill", *words]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as one:
        try:
            yield one
        finally:
            one.kill()


def _done(*words: str) -> Any:
    """What a drill told that came to its end."""
    argv = [sys.executable, "-m", "penstock.cli.main", "drill", *words, "--json"]
    done = subprocess.run(argv, capture_output=True, timeout=DRILL_SECONDS, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def _until(condition: Any) -> Any:
    give_up = time.monotonic() + DRILL_SECONDS
    while not (found := condition()):
        assert time.monotonic() < give_up, "not in time"
        time.sleep(0.02)
    return found


def _below(root: int) -> dict[int, int]:
    """Start times by pid of all descendants."""
    stats = {pid: stat for pid in all_pids() if (stat := read_stat(pid))}
    found, more = {root}, {root}
    while more:
        more = {pid for pid, stat in stats.items() if stat.parent in found} - found
        found |= more
    return {pid: stats[pid].start_time for pid in found - {root}}


def _alive(processes: dict[int, int]) -> list[int]:
    return [pid for pid, began in processes.items() if living_since(pid) == began]


def _kept(state: Path) -> Any:
    return json.loads(state.read_text()) if state.exists() else {}


def test_chance_of_a_kill_hangs_on_its_number_and_the_seed_alone() -> None:
    """QA-09"""
    assert Chance(3, 7).seconds == Chance(3, 7).seconds
    lives = {Chance(seed, number).seconds for seed in (1, 2) for number in range(1, 50)}
    assert len(lives) == 98
    assert Chance(3, 7).of("_cancel").random() != Chance(3, 7).of("_answer").random()


@pytest.mark.slow
def test_a_crash_drill_goes_on_with_the_next_kill(tmp_path: Path) -> None:
    """QA-09: what was interrupted is the same drill as one that was not."""
    parts, whole = tmp_path / "parts.json", tmp_path / "whole.json"
    _done("crash", "--count", "1", "--seed", "7", "--state", str(parts))
    _done("crash", "--count", "2", "--state", str(parts))
    _done("crash", "--count", "2", "--seed", "7", "--state", str(whole))
    assert _kept(parts)["times"] == _kept(whole)["times"]
    assert len(set(_kept(parts)["times"]["load"])) == 2
    # A kill that failed can be repeated by its number.
    again = tmp_path / "again.json"
    words = ("--from", "2", "--count", "1", "--seed", "7", "--state", str(again))
    _done("crash", *words)
    assert _kept(again)["times"]["load"] == _kept(whole)["times"]["load"][1:]


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_interrupted_schedules_leave_no_process_and_no_number_out(
    tmp_path: Path, number: signal.Signals
) -> None:
    """QA-02 QA-09"""
    state = tmp_path / "state.json"
    words = ("schedules", "--jobs", "2", "--seed", "3", "--state", str(state))
    with _drilling(*words, "--count", "100000") as drill:
        _until(lambda: len(_kept(state).get("done", {})))
        helpers = _below(drill.pid)
        assert len(helpers) >= 2
        drill.send_signal(number)
        assert drill.wait(DRILL_SECONDS) == -number
    _until(lambda: not _alive(helpers))
    before = _kept(state)["done"]["schedules"]
    each = NUMBERS_AT_ONCE * STORIES
    wanted = before + 2 * each
    told = _done(
        "schedules", "--jobs", "2", "--count", str(wanted), "--state", str(state)
    )
    assert told["done"] == {"schedules": wanted}
    kept = _kept(state)
    assert kept["finished"] == []
    assert kept["next"] == 3 + wanted // STORIES


@pytest.mark.slow
def test_an_interrupted_sweep_goes_on_with_what_it_has_not_done(tmp_path: Path) -> None:
    """DT-04"""
    state = tmp_path / "state.json"
    words = ("faults", "--every", "300", "--jobs", "2", "--state", str(state))
    with _drilling(*words) as drill:
        _until(lambda: len(_kept(state).get("finished", ())) > 3)
        helpers = _below(drill.pid)
        drill.kill()
    _until(lambda: not _alive(helpers))
    before = _kept(state)["finished"]
    assert _done(*words)["failures"] == []
    after = _kept(state)["finished"]
    assert after[: len(before)] == before
    assert len(set(after)) == len(after) > len(before)


@pytest.mark.slow
def test_a_killed_drill_leaves_no_daemon_and_no_folder(tmp_path: Path) -> None:
    """QA-09"""
    state = tmp_path / "state.json"
    words = ("crash", "--count", "1000", "--seed", "1", "--state", str(state))
    folders = set(Path(tempfile.gettempdir()).glob("penstock-drill-*"))
    with _drilling(*words) as drill:
        _until(lambda: _kept(state).get("done"))
        # The keeper and a daemon; between two lives there is none.
        helpers = _until(lambda: (h := _below(drill.pid)) and len(h) > 1 and h)
        made = set(Path(tempfile.gettempdir()).glob("penstock-drill-*")) - folders
        drill.kill()
    _until(lambda: not _alive(helpers))
    _until(lambda: not any(folder.exists() for folder in made))
    done = _kept(state)["done"]["kills"]
    told = _done("crash", "--count", str(done + 1), "--state", str(state))
    assert told["done"]["kills"] == done + 1


@pytest.mark.slow
def test_a_killed_cancel_drill_goes_on_and_its_cgroups_are_removed(
    tmp_path: Path,
) -> None:
    """CN-06: without root or a pids controller only the harmless kinds, and no cgroups."""
    state = tmp_path / "state.json"
    words = ("cancel", "--state", str(state), "--count")
    with _drilling(*words, "1000") as drill:
        _until(lambda: _kept(state).get("done"))
        helpers = _below(drill.pid)
        drill.kill()
    _until(lambda: not _alive(helpers))
    done = _kept(state)["done"]
    wanted = max(done.values()) + 1
    told = _done(*words, str(wanted))
    assert {row["cancels"] for row in told["cancels"].values()} == {wanted}
    cgroups = Path("/sys/fs/cgroup").glob(f"*/penstock-*-{drill.pid}")
    assert list(cgroups) == []


def test_a_state_of_another_drill_or_seed_is_refused(tmp_path: Path) -> None:
    """QA-09: numbers of two drills do not add up."""
    file = tmp_path / "state.json"
    save_tally(file, Tally(about="faults --every 1", seed=5))
    assert load_tally(file, "faults --every 1").seed == 5
    assert load_tally(file, "faults --every 1", 5).seed == 5
    with pytest.raises(Refused, match="faults --every 1"):
        load_tally(file, "faults --every 9")
    with pytest.raises(Refused, match="has the seed 5"):
        load_tally(file, "faults --every 1", 6)
    with pytest.raises(Refused, match="No such file"):
        load_tally(tmp_path / "nowhere" / "state.json", "crash")
    # Before the first telling is done, the file is already this drill's.
    kept = load_tally(tmp_path / "new.json", "crash", 7)
    assert load_tally(tmp_path / "new.json", "crash") == kept
    file.write_text("[]")
    with pytest.raises(Refused, match="keeps no drill"):
        load_tally(file, "faults --every 1")


def test_numbers_that_were_reported_out_of_order_are_not_told_again() -> None:
    """QA-02"""
    each = NUMBERS_AT_ONCE
    tally = Tally(seed=0, done={"schedules": 2 * each * STORIES}, next=each)
    tally.finished = [str(2 * each)]
    wanted = 4 * each * STORIES
    assert list(_firsts(tally, wanted)) == [each, 3 * each]


@pytest.mark.slow
def test_two_drills_never_keep_one_file(tmp_path: Path) -> None:
    """QA-02: each would save what it has done over what the other has."""
    file = tmp_path / "state.json"
    argv = [sys.executable, "-m", "penstock.cli.main", "drill", "schedules"]
    with hold_state(file):
        second = subprocess.run(
            [*argv, "--count", "8", "--state", file],
            capture_output=True, timeout=DRILL_SECONDS, text=True, check=False,
        )  # fmt: skip
    assert second.returncode == 2
    assert f"another drill is using {file}" in second.stderr
    with hold_state(file), hold_state(tmp_path / "other.json"), hold_state(None):
        pass
