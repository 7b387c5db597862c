"""Views: one fold for live and replay."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.log.projections import BrokenStory, RunView, fold
from penstock.log.queue_view import QueueView
from penstock.testing.virtual_time import START
from penstock.words.events import (
    EVENT_CLASSES,
    AnyEvent,
    ArtifactPartial,
    AskAnswered,
    AskRaised,
    AskWithdrawn,
    BugReported,
    CodeGenerated,
    CorrectionCompleted,
    CorrectionStarted,
    Log,
    Milestone,
    Progress,
    RunCancelled,
    RunCompleted,
    RunQueued,
    RunRequeued,
    RunResumed,
    RunStarted,
    encode_event,
    parse_event,
)
from penstock.words.recorded import Recorded
from penstock.words.values import new_event_id

QUEUED = RunQueued(kind="sleep", priority=20)


def story(*events: AnyEvent, versions: dict[int, int] | None = None) -> list[Recorded]:
    """These facts as one run's log; `versions` gives code versions by sequence."""
    return [
        Recorded(
            position=100 + number,
            run_id="r",
            sequence=number,
            event_id=new_event_id(),
            at=START + timedelta(seconds=number),
            clock={"life": number},
            causation_id=None,
            code_version=(versions or {}).get(number, 0),
            type=event.type,
            body=encode_event(event),
        )
        for number, event in enumerate(events, 1)
    ]


def smallest(name: str) -> AnyEvent:
    """An event of this type with as little in it as its class allows."""
    fields: dict[str, Any] = {}
    for field, info in EVENT_CLASSES[name].model_fields.items():
        if info.is_required():
            fields[field] = 1 if info.annotation is int else "x"
    special: dict[str, dict[str, Any]] = {
        "backpressure.raised": {"level": "warning"},
        "process.started": {"method": "session"},
        "run.requeued": {"reason": "crash"},
        "run.edited": {"inputs": {}},
        "schedule.skipped": {"due": "2030-01-01T00:00:00Z"},
        "failures.dismissed": {"runs": ("r",)},
        "box.lost": {"silent_seconds": 121.5},
        "log": {"text": "x"},
        "model.progress": {"phase": "writing"},
        "tool.ended": {"status": "completed"},
    }
    return EVENT_CLASSES[name](**(fields | special.get(name, {})))  # type: ignore[return-value]


def test_a_run_is_where_it_executes_or_did_last() -> None:
    """MB-03: a fact of an older version, which names no box, changes nothing."""
    assert fold(story(QUEUED)).box == ""
    started = RunStarted(kind="sleep", box="loft")
    view = fold(story(QUEUED, started, RunRequeued(reason="crash")))
    assert view.to_json()["box"] == "loft"
    again = (RunRequeued(reason="crash"), RunResumed(attempt=2, box="attic"))
    assert fold(story(QUEUED, started, *again)).box == "attic"
    assert fold(story(QUEUED, started, RunResumed(attempt=1))).box == "loft"


@pytest.mark.parametrize("name", sorted(EVENT_CLASSES))
def test_every_type_of_the_union_folds(name: str) -> None:
    """VW-04"""
    view = fold(story(QUEUED, RunStarted(kind="sleep"), smallest(name)))
    assert view.sequence == 3
    assert view.unknown == 0


def test_no_facts_give_an_empty_view() -> None:
    """VW-04"""
    view = fold([], "r")
    assert (view.run_id, view.sequence, view.state) == ("r", 0, None)
    assert view.to_json()["state"] is None


def test_a_type_from_a_newer_daemon_changes_nothing() -> None:
    """VW-04 EV-13"""
    before = fold(story(QUEUED))
    after = fold(story(QUEUED, parse_event({"type": "run.teleported", "where": 1})))
    assert after.sequence == 2
    assert after.state == before.state


def test_a_row_that_does_not_validate_is_counted_and_the_rest_stands() -> None:
    """VW-07"""
    facts = story(QUEUED, Progress(step="a", fraction=0.5), Milestone(name="m"))
    broken = facts[1]
    facts[1] = Recorded(
        broken.position, "r", 2, broken.event_id, broken.at, {}, None, 0, "progress", b'{"type":"progress","step":7}'
    )  # fmt: skip
    view = fold(facts)
    assert view.unknown == 1
    assert view.milestones == ["m"]
    assert view.step is None


def test_a_run_whose_first_fact_is_not_understood_waits_since_then() -> None:
    """VW-07 MB-14: it is in line, whoever may start it: who is started next is asked of all that are."""
    [queued] = story(QUEUED)
    body = b'{"type":"run.queued","kind":["a","b"]}'
    view = fold([
        Recorded(1, "r", 1, queued.event_id, queued.at, {}, None, 0, "run.queued", body)
    ])  # fmt: skip
    assert (view.state, view.unknown, view.created_at) == ("queued", 1, queued.at)


@pytest.mark.parametrize(("sequence", "wrong"), [(2, "repeated"), (4, "came where 3")])
def test_a_broken_story_names_run_and_number(sequence: int, wrong: str) -> None:
    """VW-05"""
    facts = story(QUEUED, RunStarted(kind="sleep"))
    view = fold(facts)
    odd = story(QUEUED, QUEUED, QUEUED, Progress(step="x"))[sequence - 1]
    with pytest.raises(BrokenStory, match=wrong) as caught:
        view.apply(odd)
    assert caught.value.facts["run_id"] == "r"
    assert caught.value.sequence == sequence


def test_time_stamps_never_order_anything() -> None:
    """VW-05"""
    facts = story(
        QUEUED, RunStarted(kind="sleep"), Progress(step="a"), Progress(step="b")
    )
    shuffled = [
        Recorded(f.position, f.run_id, f.sequence, f.event_id, START - timedelta(days=n), f.clock, None, 0, f.type, f.body)
        for n, f in enumerate(facts)
    ]  # fmt: skip
    assert fold(shuffled).step == fold(facts).step == "b"


def test_the_newest_code_version_stays() -> None:
    """VW-02"""
    facts = story(
        QUEUED,
        RunStarted(kind="coding"),
        CodeGenerated(code_hash="one"),
        CorrectionStarted(),
        CorrectionCompleted(code_hash="two"),
        versions={3: 1, 5: 2},
    )
    view = fold(facts)
    assert (view.code_version, view.code_hash, view.anomalies) == (2, "two", 0)
    assert view.code_clock == {"life": 5}


def test_stale_facts_stay_in_history_and_leave_the_state_alone() -> None:
    """VW-03"""
    facts = story(
        QUEUED,
        CodeGenerated(code_hash="two"),
        CodeGenerated(code_hash="one"),
        BugReported(text="x", version=1),
        versions={2: 2, 3: 1},
    )
    view = fold(facts)
    assert (view.code_version, view.code_hash) == (2, "two")
    assert view.stale == 2


def test_a_correction_without_its_start_advances_and_is_an_anomaly() -> None:
    """VW-06"""
    view = fold(story(QUEUED, CorrectionCompleted(code_hash="x"), versions={2: 1}))
    assert (view.code_version, view.anomalies) == (1, 1)


def test_a_start_of_an_older_log_is_understood_with_its_inputs() -> None:
    """EV-13: they stood in `run.started` too, and are those of `run.queued`."""
    inputs = {"seconds": 1}
    queued, started = story(
        RunQueued(kind="sleep", priority=20, inputs=inputs), RunStarted(kind="sleep")
    )
    body = {"type": "run.started", "kind": "sleep", "inputs": inputs, "attempt": 1}
    old = Recorded.from_wire(
        {**json.loads(started.wire()), "sequence": 2, "event": body}
    )
    assert isinstance(old.event, RunStarted)
    assert json.loads(old.wire())["event"] == body
    for facts in ([queued, old], [queued, started]):
        view = fold(facts)
        assert (view.state, view.unknown) == ("running", 0)
        assert view.inputs == inputs


def test_folding_changes_no_fact() -> None:
    """VW-01"""
    facts = story(QUEUED, Milestone(name="m", metadata={"a": [1]}))
    before = [fact.body for fact in facts]
    fold(facts).to_json()["labels"]["x"] = 1
    assert [fact.body for fact in facts] == before


@given(st.integers(0, 5))
def test_a_view_from_json_goes_on_as_the_live_one(split: int) -> None:
    """VW-01 VW-08: daemon, client and dashboard use the same fold."""
    events: list[AnyEvent] = [
        QUEUED,
        RunStarted(kind="sleep"),
        Progress(step="half", fraction=0.5),
        Milestone(name="m"),
        CodeGenerated(code_hash="h"),
        RunCompleted(result={"ok": True}),
    ]
    facts = story(*events, versions={5: 1})
    whole = fold(facts)
    resumed = RunView.from_json(
        json.loads(json.dumps(fold(facts[:split] or facts[:1]).to_json()))
    )
    for fact in facts[max(split, 1) :]:
        resumed.apply(fact)
    assert resumed.to_json() == whole.to_json()


def test_a_question_taken_back_is_open_no_more_and_keeps_no_details() -> None:
    """WF-09: what it was about is read in the log; a view of a thousand answered questions stays small."""
    about = {"tool": "edit", "diff": "-a\n+b"}
    asks = [AskRaised(name=n, question="?", details=about) for n in ("a", "b", "c")]
    over: list[AnyEvent] = [
        AskWithdrawn(name="a", reason="the turn ended"),
        AskAnswered(name="b", answer="allow", by="cli"),
    ]
    view = fold(story(QUEUED, RunStarted(kind="sleep"), *asks, *over))
    again = RunView.from_json(json.loads(json.dumps(view.to_json())))
    for told in (view, again):
        assert [ask.name for ask in told.asks.values() if ask.open] == ["c"]
        assert [dict(ask.details) for ask in told.asks.values()] == [{}, {}, about]
        assert told.asks["a"].withdrawn == "the turn ended"


def test_a_view_of_another_version_is_read_as_far_as_it_is_known() -> None:
    """RS-04: a newer daemon tells more, in a run, a question and an artifact; an older one less."""
    ask = AskRaised(name="a", question="go on?", choices=("y", "n"))
    partial = ArtifactPartial(artifact_id="x", text="t")
    told = fold(
        story(QUEUED, RunStarted(kind="sleep", attempt=1), ask, partial)
    ).to_json()
    assert told["asks"]
    assert told["artifacts"]
    more = {
        **told,
        "flavour": {"new": 1},
        "asks": [{**told["asks"][0], "flavour": 1}],
        "artifacts": [{**told["artifacts"][0], "flavour": 1}],
    }
    assert RunView.from_json(more).to_json() == told
    least = {"run_id": "r", "kind": "sleep", "state": "running", "sequence": 4}
    fewer = RunView.from_json({**least, "priority": "of a newer daemon"})
    assert (fewer.run_id, fewer.state, fewer.sequence) == ("r", "running", 4)
    fewer.apply(
        story(
            QUEUED, RunStarted(kind="sleep", attempt=1), ask, partial, RunCompleted()
        )[-1]
    )
    assert fewer.state == "completed"


def test_the_queue_is_counted_by_priority_and_state() -> None:
    """VW-08 SC-11"""
    queue = QueueView()
    queue.seed("old", "waiting", 10)
    for fact in story(QUEUED, RunStarted(kind="sleep"), RunCancelled(reason="x"))[:2]:
        queue.apply(fact, 20)
    assert (queue.queued, queue.running, queue.waiting) == (0, 1, 1)
    queue.apply(story(QUEUED, QUEUED, RunCancelled(reason="x"))[2], 20)
    assert (queue.queued, queue.running, queue.waiting) == (0, 0, 1)
    assert queue.states.keys() == {"old"}


def test_no_view_depends_on_what_output_held() -> None:
    """PT-04: a piece that was emptied later folds to the same."""
    said = Log(text="42 %\n", stream="stdout")
    emptied = Log(bytes=5, emptied=True, stream="stdout")
    one, two = (
        fold(story(QUEUED, RunStarted(kind="sleep"), piece))
        for piece in (said, emptied)
    )
    assert one == two
