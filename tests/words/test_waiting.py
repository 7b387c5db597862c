"""What a run waits for: a value in the log, and words for people and older versions."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest

from fakes.history import recorded
from penstock.log.projections import fold
from penstock.words.events import (
    AnyEvent,
    RunPreempted,
    RunQueued,
    RunResumed,
    RunStarted,
    RunWaiting,
    encode_event,
    parse_event,
)
from penstock.words.wait_reason import (
    OLD_RESTART_ASK,
    RESTART_ASK,
    Waiting,
    read_reason,
)

WORDS = {
    "asks: a name: with a colon": Waiting("ask", "a name: with a colon"),
    "child: turn-1": Waiting("child", "turn-1"),
    RESTART_ASK: Waiting("restart", RESTART_ASK),
    OLD_RESTART_ASK: Waiting("restart", OLD_RESTART_ASK),
    "quota of codex": Waiting("quota", "codex"),
    "the moon": Waiting("other", "the moon"),
    "": Waiting("other", ""),
}


@pytest.mark.parametrize(("reason", "waiting"), WORDS.items())
def test_words_and_value_say_the_same(reason: str, waiting: Waiting) -> None:
    """EV-04: what is said in words is read as what was meant."""
    assert waiting.reason == reason
    assert read_reason(reason) == waiting


@pytest.mark.parametrize(("reason", "waiting"), WORDS.items())
def test_a_log_of_old_has_the_words_alone(reason: str, waiting: Waiting) -> None:
    """EV-13: it is read all the same, and its reason is not changed."""
    event = parse_event({"type": "run.waiting", "reason": reason})
    assert isinstance(event, RunWaiting)
    assert (event.waiting, event.reason) == (waiting, reason)


def test_a_new_fact_has_both_and_its_value_counts() -> None:
    """EV-04: words that mean something else elsewhere mislead nobody."""
    event = RunWaiting.of(Waiting("other", "asks: nobody"))
    told = json.loads(encode_event(event))
    assert told == {
        "type": "run.waiting",
        "reason": "asks: nobody",
        "kind": "other",
        "subject": "asks: nobody",
    }
    assert parse_event(told) == event


def test_a_quota_says_until_when() -> None:
    """EV-04: its fact has the moment, its words, which are all that a row of a run has, the minute."""
    until = datetime(2026, 11, 29, 19, 12, tzinfo=UTC)
    event = RunWaiting.of(Waiting("quota", "codex", until))
    assert event.reason == "quota of codex until 19:12 UTC on 2026-11-29"
    assert parse_event(json.loads(encode_event(event))) == event
    assert event.waiting == Waiting("quota", "codex", until)
    assert read_reason(event.reason) == Waiting("quota", "codex", until)
    nonsense = "quota of codex until 99:99 UTC on 2026-11-29"
    assert read_reason(nonsense) == Waiting("quota", "codex")


@pytest.mark.parametrize("reason", [None, 7, ["asks: x"]])
def test_what_is_no_reason_is_kept_as_it_came(reason: object) -> None:
    """EV-13: nothing recorded may crash its reader."""
    event = parse_event({"type": "run.waiting", "reason": reason})
    assert not isinstance(event, RunWaiting)


def test_a_view_knows_it_while_it_lasts() -> None:
    """VW: what a run waited for, and who took its slot, is over once it goes on."""
    events: list[AnyEvent] = [
        RunQueued(kind="k", priority=20),
        RunStarted(kind="k"),
        RunWaiting.of(Waiting("child", "c")),
        RunResumed(attempt=1),
        RunPreempted(by="other"),
        RunResumed(attempt=2),
    ]
    facts = [recorded(event, number) for number, event in enumerate(events, 1)]
    seen = [fold(facts[:count]) for count in range(1, len(facts) + 1)]
    child = Waiting("child", "c")
    assert [v.waiting for v in seen] == [None, None, child, None, None, None]
    assert [v.preempted_by for v in seen] == [None] * 4 + ["other", None]
