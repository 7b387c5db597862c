"""The judge of `penstock drill boxes` can find each law broken: a drill that cannot fail proves nothing."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from penstock_drills import witness
from penstock_drills.box_laws import BoxJudge, Sleep, ToldClients


def life(run_id: str, box: str, pid: int, first: float, last: float) -> list[str]:
    """What the witness writes that lives from `first` to `last`."""
    beats = [first + step / 10 for step in range(int((last - first) * 10) + 1)]
    whats = ["start", *("alive" for _ in beats[1:])]
    return [f"{run_id} {box} {pid} {what} {at:.2f} 0" for what, at in zip(whats, beats, strict=True)]  # fmt: skip


def test_two_processes_of_a_run_at_once_are_seen() -> None:
    """MB-05: wherever they are, and told once."""
    judge = BoxJudge()
    judge.take(life("r", "a", 1, 10, 14))
    judge.take(life("r", "b", 2, 13, 15))
    [found] = judge.findings()
    assert found == "one process a run: r ran on a as 1 and on b as 2 at once"
    assert judge.findings() == []


def test_one_after_the_other_is_as_it_should_be() -> None:
    judge = BoxJudge()
    judge.take(life("r", "a", 1, 10, 12))
    judge.take(life("r", "b", 2, 12.3, 15))
    judge.take(life("s", "b", 3, 10, 15))
    assert judge.findings() == []


def test_a_lock_that_is_held_tells_of_what_gave_no_sign_meanwhile() -> None:
    judge = BoxJudge()
    judge.take(life("r", "a", 1, 10, 11))
    judge.take([*life("r", "b", 2, 20, 20), "r b 2 beside 20.00 1"])
    [found] = judge.findings()
    assert found == "one process a run: r began on b at 20.00 as 2, and 1 of a is alive"


@pytest.mark.parametrize(("last", "seen"), [(31.0, False), (33.0, True)])
def test_what_wakes_after_its_lease_is_gone_soon(last: float, seen: bool) -> None:
    """MB-07: it stands still while another box has the run, and after waking it has a moment."""
    judge = BoxJudge(sleeps=[Sleep("a", 12.0, 30.0)])
    judge.take(life("r", "a", 1, 10, 12))
    judge.take([*life("r", "b", 2, 20, 35), "r b 2 asleep 20.00 1"])
    judge.take(life("r", "a", 1, 30, last)[1:])
    assert bool(judge.findings()) == seen


def test_what_stands_still_on_a_box_that_does_not_sleep_is_a_second_process() -> None:
    judge = BoxJudge(sleeps=[Sleep("c", 12.0, 30.0)])
    judge.take(life("r", "a", 1, 10, 12))
    judge.take([*life("r", "b", 2, 20, 21), "r b 2 asleep 20.00 1"])
    [found] = judge.findings()
    assert "1 of a stands still" in found


def test_nothing_of_a_run_is_alive_after_its_end() -> None:
    """MB-03 CN-01: by whomever it was told: a fact, or a receipt."""
    judge = BoxJudge()
    judge.take(life("r", "a", 1, 10, 14))
    judge.note("r", "run.cancelled", 12.0, 12.0)
    [found] = judge.findings()
    assert found == "gone is gone: r is over (run.cancelled) by 12.00, and 1 of a was alive at 14.00"  # fmt: skip


def test_after_a_requeue_the_next_process_may_be_there_and_not_the_last_one() -> None:
    judge = BoxJudge()
    judge.take(life("r", "a", 1, 10, 12))
    judge.take(life("r", "a", 2, 12.5, 14))
    judge.note("r", "run.requeued", 12.2, 12.6)
    assert judge.findings() == []
    judge.take(life("s", "a", 3, 10, 13))
    judge.note("s", "run.requeued", 12.2, 12.6)
    assert len(judge.findings()) == 1


def test_a_group_that_has_more_at_once_than_slots_is_seen() -> None:
    judge = BoxJudge()
    judge.take(life("narrow-1", "a", 1, 10, 12))
    judge.take(life("narrow-2", "b", 2, 12.2, 14))
    assert judge.findings() == []
    judge.take(life("narrow-3", "a", 3, 13, 15))
    [found] = judge.findings()
    assert "narrow-2 on b and narrow-3 on a ran at once" in found


def test_a_pinned_run_that_runs_elsewhere_is_seen() -> None:
    judge = BoxJudge()
    judge.take(life("pinned-a-1", "a", 1, 10, 12))
    judge.take(life("pinned-b-2", "a", 2, 10, 12))
    assert judge.findings() == ["a run is where it fits: pinned-b-2 ran on a"]


def test_what_was_acknowledged_and_is_not_there_is_seen() -> None:
    """MB-09: a run at another place, one that is gone, a cancel that did not stay."""
    told = ToldClients({"a": (3, 1.0), "b": (4, 1.0), "c": (5, 1.0)}, {"c": 2.0})
    places, states = {"a": 3, "b": 5, "c": 5}, {"a": "queued", "c": "completed"}
    assert len(list(told.missing(places, states, "cancelled"))) == 2
    del places["a"]
    assert len(list(told.missing(places, states, "cancelled"))) == 3


def test_what_a_failover_lost_is_not_asked_for() -> None:
    """MB-10: only what was acknowledged from the moment on at which the standby lagged."""
    told = ToldClients({"a": (3, 1.0), "b": (4, 9.0)}, {"b": 9.5})
    told.forget(8.0)
    assert (told.accepted, told.cancelled) == ({"a": (3, 1.0)}, {})
    judge = BoxJudge()
    judge.note("b", "run.cancelled", 9.5, 9.5)
    judge.forget(8.0)
    judge.take(life("b", "a", 1, 10, 14))
    assert judge.findings() == []


@pytest.mark.processes
def test_a_witness_that_is_not_alone_says_so(tmp_path: Path) -> None:
    """As real processes write it: the second finds the first."""
    marks = tmp_path / "marks"
    marks.touch()
    words = [sys.executable, "-I", "-S", witness.__file__, str(marks), "r"]
    environ = {"HOME": str(tmp_path / "box1")}
    with subprocess.Popen([*words, "60"], env=environ) as first:
        while "alive" not in marks.read_text():
            assert first.poll() is None
        subprocess.run([*words, "0.1"], env=environ, check=True, timeout=60)
        first.kill()
    judge = BoxJudge()
    judge.take(marks.read_text().splitlines())
    assert any("is alive" in word for word in judge.findings())
    assert [one.box for one in judge.lives["r"]] == ["box1", "box1"]
    assert [one.ended for one in judge.lives["r"]] == [False, True]
