"""CX-05, CX-06 and PF-05: a history in few words."""

from __future__ import annotations

import time

import pytest

from fakes.history import recorded
from penstock.llm.summaries import LONGEST_LINE, describe, one_line, summarise
from penstock.llm.token_estimate import estimate
from penstock.words import events as facts
from penstock.words.errors import Refused
from penstock.words.events import (
    CodeGenerated,
    Log,
    ModuleIterated,
    ModuleStarted,
    RunStarted,
)
from penstock.words.recorded import Recorded


def logs(count: int, text: str = "a line of output") -> list[Recorded]:
    return [recorded(Log(text=f"{text} {n}"), n) for n in range(1, count + 1)]


def long_history(count: int) -> list[Recorded]:
    """Modules that are written, tested and repaired, with real-looking long outputs."""
    output = (
        "E   AssertionError: expected {'total': 42, 'items': []} but got None\n" * 12
    )
    events = [recorded(RunStarted(kind="coding"), 1)]
    for n in range(2, count + 1):
        name = f"module_{n // 10}"
        event = (
            ModuleStarted(module=name) if n % 10 == 0
            else ModuleIterated(module=name, iteration=n % 10) if n % 10 == 1
            else CodeGenerated(module=name, files=tuple(f"src/{name}/part_{i}.py" for i in range(25)))
            if n % 2
            else facts.TestFailed(module=name, summary=output)
        )  # fmt: skip
        events.append(recorded(event, n, version=n // 5))
    return events


@pytest.mark.parametrize(
    ("count", "lines", "whole"), [(20, 15, 5), (5, 0, 5), (3, 0, 3), (0, 0, 0)]
)
def test_the_last_five_stay_whole_and_older_ones_become_lines(
    count: int, lines: int, whole: int
) -> None:
    """CX-05: 20 -> 5 + 15; 3 -> all 3; none -> a minimal summary."""
    events = logs(count)
    summary = summarise(events)
    assert (len(summary.lines), len(summary.whole)) == (lines, whole)
    assert [text.encode() for text in summary.whole] == [
        e.body for e in events[count - whole :]
    ]
    assert summary.state.startswith("status: not started; modules: 0")


def test_lines_are_in_order_and_say_which_event_they_are() -> None:
    """CX-05: in order."""
    summary = summarise(logs(9), keep=0)
    assert [line.split()[0] for line in summary.lines] == [
        f"#{n}" for n in range(1, 10)
    ]
    assert summary.whole == ()


def test_large_data_is_cut_in_a_line() -> None:
    """CX-05: one line each with large data cut."""
    event = recorded(Log(text="many\nlines " * 1_000_000), 7)
    line = one_line(event)
    assert line.startswith("#7 log text=many lines many")
    assert len(line) <= LONGEST_LINE
    assert "\n" not in line


def test_an_event_whose_json_is_broken_still_has_a_line() -> None:
    e = recorded(Log(text="x"), 3)
    broken = Recorded(
        e.position,
        e.run_id,
        e.sequence,
        e.event_id,
        e.at,
        {},
        None,
        0,
        e.type,
        b"{oops",
    )
    assert one_line(broken) == "#3 log"


def test_a_negative_keep_is_refused() -> None:
    """CX-05, bad."""
    with pytest.raises(Refused, match="keep"):
        summarise([], keep=-1)


def test_fifty_events_shrink_five_times_and_the_state_is_told() -> None:
    """CX-06: about 10K tokens together, at least 5x; modules, iterations, version and status."""
    events = long_history(50)
    before = sum(estimate(event.body.decode()) for event in events)
    summary = summarise(events)
    after = estimate(summary.state) + estimate(summary.events)
    assert 9_000 < before < 14_000
    assert before / after >= 5
    assert (
        summary.state
        == "status: running; modules: 5; iterations: 4; current version: 10"
    )


def test_the_state_follows_the_lifecycle() -> None:
    """CX-06: the status is that of the run's own states."""
    told: list[facts.AnyEvent] = [
        facts.RunQueued(kind="coding", priority=20),
        RunStarted(kind="coding"),
        facts.RunWaiting(reason="ask"),
        Log(text="moves nothing"),
        facts.RunResumed(attempt=1),
        facts.RunFailed(reason="error", error="no"),
    ]
    history = [recorded(event, n) for n, event in enumerate(told, 1)]
    states = [describe(history[:n]).split(";")[0] for n in range(len(history) + 1)]
    expected = [
        "not started",
        "queued",
        "running",
        "waiting",
        "waiting",
        "running",
        "failed",
    ]
    assert states == [f"status: {state}" for state in expected]


def test_a_thousand_old_events_cost_little_time() -> None:
    """PF-05, as a ratio: summarising costs no more than reading the same JSON twenty times."""
    events = long_history(1000)
    began = time.process_time()
    for event in events:
        _ = event.event
    reference = time.process_time() - began
    began = time.process_time()
    summarise(events)
    assert time.process_time() - began < 20 * reference
