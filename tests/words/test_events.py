"""EV: the vocabulary of facts and its envelope."""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import UTC, datetime, timedelta, timezone
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, TypeAdapter, ValidationError

from penstock.log.new_events import LARGEST_SKEW, new_event
from penstock.words.errors import Refused, TooLarge
from penstock.words.events import (
    EVENT_CLASSES,
    LARGEST_EVENT_BYTES,
    ArtifactPartial,
    BugReported,
    Event,
    Fact,
    Log,
    Milestone,
    Progress,
    RunCompleted,
    RunQueued,
    RunStarted,
    UnknownEvent,
    encode_event,
    parse_event,
)
from penstock.words.recorded import Envelope, Recorded
from penstock.words.run_id import LONGEST_RUN_ID, check_run_id
from penstock.words.values import (
    check_json,
    format_time,
    new_event_id,
)

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)

# The names of the original and what they are called here.
ORIGINAL_NAMES: dict[str, tuple[str, ...]] = {
    "TASK_SUBMITTED": ("run.queued",),
    "TASK_STARTED": ("run.started",),
    "PLANNING_COMPLETE": ("plan.completed",),
    "MODULE_STARTED": ("module.started",),
    "MODULE_ITERATION": ("module.iterated",),
    "CODE_GENERATED": ("code.generated",),
    "TEST_STARTED": ("test.started",),
    "TEST_PASSED": ("test.passed",),
    "TEST_FAILED": ("test.failed",),
    "BUG_REPORT_RECEIVED": ("bug.reported",),
    "TASK_COMPLETE": ("run.completed",),
    "TASK_FAILED": ("run.failed",),
    "TASK_CANCELLED": ("run.cancelled",),
    "CORRECTION_STARTED": ("correction.started",),
    "CORRECTION_COMPLETED": ("correction.completed",),
    "USER_INTERVENTION": ("ask.raised", "ask.answered"),
    "DEAD_CODE_ANALYSIS": ("analysis.completed",),
    "STEP": ("step.completed", "step.failed"),
    "MILESTONE": ("milestone",),
    "PROGRESS": ("progress",),
    "ARTIFACT": ("artifact.partial", "artifact.completed"),
    "BACKPRESSURE": ("backpressure.raised", "backpressure.cleared"),
}
OUR_OWN = {
    "run.waiting", "run.preempted", "run.requeued", "run.resumed", "run.cancel_requested",
    "run.paused", "run.continued", "run.rearranged", "run.edited", "slots.changed",
    "queue.drained", "queue.opened", "failures.dismissed", "schedule.set", "schedule.removed",
    "schedule.skipped", "intervention.received", "log.truncated", "process.started", "process.exited", "log",
    "subscriber.lagged", "queue.paused", "queue.resumed", "daemon.started", "daemon.stopping",
    "box.lost", "box.drained", "box.resumed", "box.forgotten",
    "model.used", "model.answered", "model.progress",
    "agent.said", "tool.called", "tool.ended", "plan.updated", "ask.withdrawn",
}  # fmt: skip

#: One of each fact, with every field that has no default.
REQUIRED: dict[str, dict[str, Any]] = {
    "run.queued": {"kind": "command", "priority": 20},
    "run.started": {"kind": "command"},
    "run.resumed": {"attempt": 2},
    "run.waiting": {"reason": "ask"},
    "run.preempted": {"by": "r2"},
    "run.requeued": {"reason": "crash"},
    "schedule.set": {"name": "s", "timing": "1d", "kind": "command"},
    "schedule.removed": {"name": "s"},
    "schedule.skipped": {"name": "s", "due": "2030-01-01T00:00:00Z", "reason": "x"},
    "run.edited": {"inputs": {"argv": ["make"]}},
    "run.cancel_requested": {"reason": "user"},
    "run.failed": {"reason": "error", "error": "böse ☠"},
    "run.cancelled": {"reason": "user"},
    "module.started": {"module": "m"},
    "module.iterated": {"module": "m", "iteration": 2},
    "bug.reported": {"text": "it breaks"},
    "step.completed": {"name": "fetch"},
    "step.failed": {"name": "fetch", "error": "gone"},
    "milestone": {"name": "repo_fetched"},
    "progress": {"step": "read"},
    "artifact.partial": {"artifact_id": "a", "text": "x"},
    "artifact.completed": {"artifact_id": "a", "size": 1, "sha256": "0"},
    "log": {"text": "line"},
    "log.truncated": {"dropped_bytes": 9},
    "process.started": {
        "pid": 1,
        "start_time": 2,
        "boot_id": "b",
        "method": "cgroup",
    },
    "process.exited": {"pid": 1},
    "model.used": {"model": "m"},
    "model.progress": {"phase": "writing"},
    "ask.raised": {"name": "q", "question": "?"},
    "ask.answered": {"name": "q", "answer": "y", "by": "cli"},
    "ask.withdrawn": {"name": "q", "reason": "the turn ended"},
    "agent.said": {"message": "m1", "text": "Hello"},
    "tool.called": {"call": "c1"},
    "tool.ended": {"call": "c1", "status": "completed"},
    "intervention.received": {"text": "stop that"},
    "backpressure.raised": {
        "gauge": "g",
        "level": "warning",
        "used": 8,
        "capacity": 10,
    },
    "backpressure.cleared": {"gauge": "g", "used": 1, "capacity": 10},
    "subscriber.lagged": {"subscriber": "s", "dropped": 3},
    "box.lost": {"box": "loft", "life": "l", "silent_seconds": 121.5},
    "box.forgotten": {"box": "loft"},
    "box.drained": {"box": "loft"},
    "failures.dismissed": {"runs": ["r1", "r2"]},
    "box.resumed": {"box": "loft"},
    "daemon.started": {"version": "1", "life": "l"},
}


#: The union as whoever reads a line meets it.
UNION: TypeAdapter[Any] = TypeAdapter(Event)


def example(event_type: str) -> Any:
    return EVENT_CLASSES[event_type].model_validate(REQUIRED.get(event_type, {}))


def envelope(**fields: Any) -> Envelope:
    return Envelope.model_validate(
        {"run_id": "r", "at": NOW, "event": {"type": "run.completed"}, **fields}
    )


EVERY_TYPE = pytest.mark.parametrize("event_type", sorted(EVENT_CLASSES))
json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.text(st.characters(exclude_categories=["Cs"])), inner, max_size=3
        )
    ),
    max_leaves=10,
)


def test_the_table_of_names_covers_the_union_both_ways() -> None:
    """EV-03"""
    ours = {name for names in ORIGINAL_NAMES.values() for name in names}
    assert ours | OUR_OWN == set(EVENT_CLASSES)
    assert not ours & OUR_OWN


@EVERY_TYPE
def test_a_fact_is_frozen_and_has_no_other_fields(event_type: str) -> None:
    """EV-01, EV-02"""
    event = example(event_type)
    with pytest.raises(ValidationError):
        event.type = "other"
    with pytest.raises(ValidationError):
        type(event).model_validate({**event.model_dump(), "surprise": 1})


@EVERY_TYPE
def test_a_fact_survives_json_in_every_way_there_is(event_type: str) -> None:
    """EV-02, EV-04, EV-11: class serializer, union and envelope agree."""
    event = example(event_type)
    assert UNION.validate_json(encode_event(event)) == event
    assert parse_event(json.loads(encode_event(event))) == event
    whole = envelope(event=event, clock={"p": 1}, causation_id=new_event_id())
    assert Envelope.model_validate(whole.model_dump(mode="json")) == whole
    assert Envelope.model_validate_json(whole.model_dump_json()) == whole


@EVERY_TYPE
def test_a_fact_is_read_as_it_was_made_before_it_is_parsed_anew(
    event_type: str,
) -> None:
    """EV-04: a view that is folded at once is the one that is folded from the log."""
    made = example(event_type)
    fact = Recorded(
        1, "r", 1, new_event_id(), NOW, {}, None, 0, event_type, encode_event(made), made
    )  # fmt: skip
    assert fact.event is made
    fact.settle()
    assert fact.event is not made
    assert fact.event == made


def test_the_schema_names_the_discriminator() -> None:
    """EV-02"""
    schema = UNION.json_schema()
    assert schema["discriminator"]["propertyName"] == "type"
    assert set(schema["discriminator"]["mapping"]) == set(EVENT_CLASSES)


@pytest.mark.parametrize("data", [{}, {"type": "no.such"}, {"type": None}, {"type": 3}])
def test_a_missing_or_wrong_type_is_refused(data: dict[str, Any]) -> None:
    """EV-02"""
    with pytest.raises(ValidationError):
        UNION.validate_python(data)


def test_a_recorded_fact_does_not_change_with_the_callers_dict() -> None:
    """EV-01"""
    theirs: dict[str, Any] = {"a": {"b": [1]}}
    clock = {"p": 1}
    event = Milestone(name="m", metadata=theirs)
    whole = envelope(event=event, clock=clock)
    theirs["a"]["b"].append(2)
    clock["p"] = 9
    assert event.metadata == {"a": {"b": [1]}}
    assert whole.clock == {"p": 1}


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("event_id", None), ("event_id", ""), ("event_id", "nope"),
        ("code_version", -1), ("code_version", "x"), ("code_version", 1.5),
        ("code_version", True), ("code_version", 2**63),
        ("sequence", -1), ("sequence", 1.5), ("sequence", "1"), ("position", -1),
        ("run_id", None), ("run_id", ""), ("run_id", "   "), ("run_id", 7),
        ("run_id", "a\0b"), ("run_id", "x" * 201), ("run_id", "x" * 1000),
        ("at", datetime(2026, 1, 1)), ("at", "yesterday"), ("at", None),
        ("clock", [1]), ("clock", {"p": True}), ("clock", {"p": 1.0}),
        ("clock", {"p": -1}), ("clock", {"p": 2**63}), ("clock", {1: 1}),
        ("causation_id", "nope"),
    ],
)  # fmt: skip
def test_a_bad_envelope_field_is_refused_by_name(field: str, value: Any) -> None:
    """EV-05 to EV-10"""
    with pytest.raises(ValidationError) as refusal:
        envelope(**{field: value})
    assert {error["loc"][0] for error in refusal.value.errors()} == {field}


def test_an_envelope_makes_its_id_and_has_these_defaults() -> None:
    """EV-05, EV-08, EV-10"""
    one, other = envelope(), envelope()
    assert one.event_id != other.event_id
    assert (one.position, one.sequence, one.code_version) == (0, 0, 0)
    assert (one.clock, one.causation_id) == ({}, None)
    assert envelope(code_version=2**63 - 1).code_version == 2**63 - 1


def test_event_ids_are_version_7_and_ordered_by_time() -> None:
    """EV-05"""
    before = new_event_id()
    assert (before.version, before.variant) == (7, "specified in RFC 4122")
    ids = [new_event_id() for _ in range(1000)]
    assert len(set(ids)) == 1000
    stamps = [i.int >> 80 for i in ids]
    assert stamps == sorted(stamps)


@pytest.mark.parametrize(
    ("given_id", "kept"),
    [
        ("a", "a"),
        ("x" * LONGEST_RUN_ID, "x" * LONGEST_RUN_ID),
        ("a/b\\c", "a-b-c"),
        ("a\nb\x1b\x7fc\x85d", "a-b--c-d"),
        ("e\u0301", "\u00e9"),
        ("..", "--"),
        (".", "-"),
        ("...", "..."),
        ("../../etc", "..-..-etc"),
        ("日本 ☠", "日本 ☠"),
    ],
)
def test_a_run_id_has_one_form(given_id: str, kept: str) -> None:
    """EV-06, D-12"""
    assert check_run_id(given_id) == kept


@given(st.text(min_size=1, max_size=LONGEST_RUN_ID))
def test_a_run_id_in_its_one_form_stays_so(text: str) -> None:
    """EV-06: what is accepted once is accepted unchanged ever after."""
    try:
        kept = check_run_id(text)
    except ValueError:
        return
    assert check_run_id(kept) == kept
    assert not set("/\\\0\n\r\x1b") & set(kept)
    kept.encode()


def test_a_lone_surrogate_in_a_run_id_is_refused() -> None:
    """EV-06"""
    with pytest.raises(ValueError, match="Unicode"):
        check_run_id("a\ud800")


def test_times_are_kept_in_utc_and_written_in_one_format() -> None:
    """EV-07"""
    east = datetime(2026, 3, 1, 14, 0, tzinfo=timezone(timedelta(hours=2)))
    whole = envelope(at=east)
    assert whole.at == NOW
    assert whole.at.utcoffset() == timedelta(0)
    assert whole.model_dump(mode="json")["at"] == "2026-03-01T12:00:00.000000Z"
    assert format_time(east) == "2026-03-01T12:00:00.000000Z"


def test_the_future_begins_five_seconds_from_now() -> None:
    """EV-07, D-11: refused where it is recorded, so old records stay readable."""
    event = RunCompleted()
    assert (
        new_event("r", event, now=NOW, at=NOW + LARGEST_SKEW).at == NOW + LARGEST_SKEW
    )
    assert LARGEST_SKEW.total_seconds() == 5
    with pytest.raises(Refused, match="at"):
        new_event("r", event, now=NOW, at=NOW + timedelta(seconds=5, microseconds=1))
    assert envelope(at=NOW + timedelta(days=9999)).at.year > 2050


@pytest.mark.parametrize("size", [1, 1_500_000, LARGEST_EVENT_BYTES - 100])
def test_a_large_payload_goes_through_whole(size: int) -> None:
    """EV-11"""
    event = Log(text="x" * size)
    assert parse_event(json.loads(new_event("r", event, now=NOW).body)) == event


def test_a_payload_over_the_limit_is_refused_with_size_and_limit() -> None:
    """EV-11"""
    with pytest.raises(TooLarge) as refusal:
        new_event("r", Log(text="x" * 10_000_000), now=NOW)
    assert str(LARGEST_EVENT_BYTES) in str(refusal.value)
    assert "100000" in str(refusal.value)
    assert refusal.value.facts["limit"] == 8 * 1024 * 1024


def _cycle() -> dict[str, Any]:
    loop: dict[str, Any] = {}
    loop["me"] = loop
    return loop


@pytest.mark.parametrize(
    "value",
    [object(), {1, 2}, b"raw", float("nan"), float("inf"), _cycle(), {1: 2}, NOW, 1j],
    ids=lambda value: type(value).__name__,
)
def test_a_payload_that_is_not_json_is_refused_where_it_is_built(value: Any) -> None:
    """EV-12"""
    for payload in (value, {"deep": [value]}):
        with pytest.raises(ValidationError):
            RunCompleted(result=payload)
    with pytest.raises(ValidationError):
        Milestone(name="m", metadata={"x": value})


@given(json_values)
def test_any_json_goes_through_unchanged(value: Any) -> None:
    """EV-04, EV-11"""
    assert check_json(value) == value
    event = RunCompleted(result=value)
    assert parse_event(json.loads(encode_event(event))) == event


def test_a_fact_from_a_newer_daemon_is_kept_as_it_came() -> None:
    """EV-13"""
    data = {"type": "run.teleported", "to": {"x": 1}, "null": None, "problem": [1]}
    event = parse_event(data)
    assert isinstance(event, UnknownEvent)
    assert event.type == "run.teleported"
    assert json.loads(encode_event(event)) == data


@pytest.mark.parametrize(
    "data", [{}, {"type": None}, {"type": []}, {"type": {}}, {"type": 3}]
)
def test_no_shape_of_a_fact_crashes_its_reader(data: dict[str, Any]) -> None:
    """EV-13, VW-07"""
    assert isinstance(parse_event(data), UnknownEvent)


@pytest.mark.parametrize(
    "data",
    [
        {"type": "run.failed", "reason": ["a", "b"]},
        {"type": "run.failed", "reason": ["a", "b"], "because": "new field"},
        {"type": "run.started", "because": "it lacks what it had"},
    ],
)
def test_a_known_type_in_an_unknown_shape_is_kept_with_its_problem(
    data: dict[str, Any],
) -> None:
    """EV-13, VW-07"""
    event = parse_event(data)
    assert isinstance(event, UnknownEvent)
    assert "validation error" in event.problem
    assert json.loads(encode_event(event)) == data


def test_a_field_that_a_newer_release_added_is_passed_over() -> None:
    """EV-13 MB-14: the fact is what it was; what was recorded is told as it came."""
    data = {"type": "run.started", "kind": "command", "box": "new", "colour": {"x": 1}}
    assert parse_event(data) == RunStarted(kind="command", box="new")
    fact = recorded(json.dumps(data).encode(), "run.started")
    assert fact.event == RunStarted(kind="command", box="new")
    assert json.loads(fact.wire())["event"] == data


def recorded(body: bytes, event_type: str = "log") -> Recorded:
    return Recorded(
        position=41,
        run_id='r"\u00e9',
        sequence=3,
        event_id=new_event_id(),
        at=NOW,
        clock={"a": 1},
        causation_id=None,
        code_version=2,
        type=event_type,
        body=body,
    )


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"null", b"\xff", b'"log"', b"3"])
def test_a_damaged_record_reads_as_unknown(body: bytes) -> None:
    """VW-07"""
    event = recorded(body).event
    assert isinstance(event, UnknownEvent)
    assert event.type == "log"
    assert event.problem


def test_a_record_on_the_wire_is_one_line_and_an_envelope() -> None:
    """EV-04: the wire form is what the envelope would write."""
    row = recorded(encode_event(Log(text="a\nb")))
    line = row.wire()
    assert b"\n" not in line
    assert line is row.wire()
    parsed = Envelope.model_validate_json(line)
    assert parsed.model_dump(mode="json") == json.loads(line)
    assert (parsed.position, parsed.event) == (41, Log(text="a\nb"))
    again = Recorded.from_wire(json.loads(line))
    assert again == row
    assert again.event == row.event


def test_the_cause_goes_over_the_wire() -> None:
    """EV-10"""
    cause = UUID("01890a5d-ac96-774b-bcce-b302099a8057")
    row = Recorded(
        1, "r", 1, new_event_id(), NOW, {}, cause, 0, "log", b'{"type":"log"}'
    )
    assert Recorded.from_wire(json.loads(row.wire())).causation_id == cause


def test_text_progress_milestones_and_steps_have_these_shapes() -> None:
    """EV-14"""
    shapes: dict[type[BaseModel], set[str]] = {
        Progress: {"type", "step", "fraction"},
        Milestone: {"type", "name", "metadata"},
        ArtifactPartial: {"type", "artifact_id", "text", "attempt"},
    }
    for cls, fields in shapes.items():
        assert set(cls.model_fields) == fields
    for fraction in (-0.1, 1.1, float("nan")):
        with pytest.raises(ValidationError):
            Progress(step="s", fraction=fraction)


def test_a_bug_report_checks_its_clock_and_version() -> None:
    """EV-09"""
    for field in ({"version": -1}, {"clock": {"p": -1}}):
        with pytest.raises(ValidationError):
            BugReported.model_validate({"text": "t", **field})


def test_every_fact_is_one_class_without_methods() -> None:
    """EV-03: facts say what happened and do nothing."""
    for cls in EVENT_CLASSES.values():
        assert issubclass(cls, Fact)
        assert not [
            n for n in vars(cls) if callable(vars(cls)[n]) and not n.startswith("_")
        ]


@pytest.mark.processes
def test_the_vocabulary_needs_neither_trio_nor_a_store() -> None:
    """EV-04"""
    program = (
        "import sys, penstock.words.events, penstock.words.clocks, penstock.words.priority, penstock.words.lifecycle,"
        " penstock.words.staleness, penstock.runs.watermark, penstock.words.api, penstock.log.store;"
        "bad = {'trio', 'sqlite3', 'httpx', 'dspy', 'textual', 'asyncio'};"
        "print(sorted(bad & set(sys.modules)))"
    )
    ended = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert ended.stdout.strip() == "[]"


def test_a_run_is_queued_with_what_was_asked_for() -> None:
    queued = RunQueued(kind="command", priority=20, after=("a",), labels={"k": "v"})
    assert json.loads(encode_event(queued))["after"] == ["a"]
