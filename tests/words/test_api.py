"""What clients send and what they get."""

from __future__ import annotations

import json
from typing import Annotated, Any

import pytest
from pydantic import Field, TypeAdapter

from penstock.words import api as replies
from penstock.words.api import (
    AnswerRequest,
    BugReportRequest,
    ByeFrame,
    CancelReceipt,
    CancelRequest,
    ChildRequest,
    EventsFrame,
    EventsPage,
    GapFrame,
    HealthReply,
    HelloFrame,
    InterventionRequest,
    OpenFrame,
    ReadyFrame,
    Received,
    RunReply,
    RunsPage,
    RunSummary,
    Sent,
    StdinReply,
    SubmitReply,
    SubmitRequest,
    TaskReply,
    TaskRequest,
    read_json,
)
from penstock.words.errors import Refused
from penstock.words.priority import Priority

SENT: dict[type[Sent], dict[str, Any]] = {
    SubmitRequest: {"kind": "command"},
    CancelRequest: {},
    AnswerRequest: {"answer": ""},
    InterventionRequest: {"text": "stop"},
    BugReportRequest: {"text": "it breaks", "version": 2},
    TaskRequest: {"prompt": "a todo app"},
    OpenFrame: {"type": "open"},
}
AT = "2026-03-01T12:00:00.000000Z"
RUN = {
    "run_id": "r", "kind": "command", "state": "queued", "priority": "MEDIUM",
    "created_at": AT, "sequence": 1,
}  # fmt: skip
GOT: dict[type[Received], dict[str, Any]] = {
    SubmitReply: {
        "run_id": "r", "kind": "command", "state": "queued", "priority": "MEDIUM",
        "sequence": 1, "position": 41, "websocket_url": "ws://127.0.0.1:9876/ws/r",
    },
    RunReply: RUN,
    RunsPage: {"runs": [RUN]},
    EventsPage: {"events": [{"position": 41}], "next": 41, "more": False},
    RunSummary: RUN,
    replies.NamedRun: {"run_id": "r", "kind": "command", "state": "queued", "priority": "LOW"},
    replies.SelectionReply: {"runs": []},
    replies.AskReply: {"name": "q", "question": "Which?"},
    replies.ArtifactReply: {"artifact_id": "a"},
    TaskReply: {
        **RUN, "task_id": "r", "status": "created", "websocket_url": "ws://h/ws/r",
    },
    CancelReceipt: {"run_id": "r", "outcome": "cancelled", "requested_at": AT},
    StdinReply: {"run_id": "r", "bytes": 3, "open": True},
    HealthReply: {"status": "ok", "version": "1", "epoch": "e", "uptime": 1.5},
    replies.WhyReason: {"code": "slots", "text": "All slots are busy."},
    replies.WhysReply: {"runs": [], "numbers": {}},
    replies.WhyReply: {
        "run_id": "r", "state": "queued", "reasons": [{"code": "slots", "text": "x", "runs": []}],
        "text": "x",
    },
}  # fmt: skip
EVERY_SENT = pytest.mark.parametrize("model", list(SENT))
EVERY_GOT = pytest.mark.parametrize("model", list(GOT))


def read(model: type[Sent], **fields: Any) -> Any:
    return read_json(model, json.dumps({**SENT.get(model, {}), **fields}))


def refusal(model: type[Sent], body: str | bytes) -> Refused:
    with pytest.raises(Refused) as caught:
        read_json(model, body)
    return caught.value


def refused(model: type[Sent], **fields: Any) -> Refused:
    return refusal(model, json.dumps({**SENT.get(model, {}), **fields}))


@EVERY_SENT
def test_the_least_of_a_request_is_enough(model: type[Sent]) -> None:
    assert read(model) == model.model_validate(SENT[model])


@EVERY_SENT
def test_an_unknown_field_is_refused_by_its_name(model: type[Sent]) -> None:
    """Design 8: unknown fields are refused with their name."""
    error = refused(model, surprise=1)
    assert (error.field, str(error)) == ("surprise", "surprise: unknown field")


@EVERY_SENT
@pytest.mark.parametrize(
    "body", ["", "{", "[]", "null", '"x"', "3", b"\xff", "{}x", "[" * 9999]
)
def test_a_body_that_is_no_json_object_is_refused(
    model: type[Sent], body: str | bytes
) -> None:
    """API-01"""
    assert refusal(model, body).field == "body"


def test_a_cancel_may_come_without_a_body() -> None:
    assert read_json(CancelRequest, b"", empty=b"{}").reason == "requested"


def test_a_submit_has_these_defaults() -> None:
    """Design 8, the fixed shapes."""
    assert read(SubmitRequest).model_dump(mode="json") == {
        "kind": "command", "inputs": {}, "priority": "MEDIUM", "run_id": None, "after": [],
        "group": None, "timeout": None, "labels": {}, "on_restart": None, "traceparent": None,
        "not_before": None, "delay": None, "stashed": False, "retries": 0, "backoff": 10.0, "needs": {}, "anywhere": False,
    }  # fmt: skip


@pytest.mark.parametrize("value", ["HIGH", "high", 10])
def test_a_priority_is_taken_by_name_and_number_and_written_by_name(value: Any) -> None:
    """PR-04"""
    for model in (SubmitRequest, TaskRequest):
        request = read(model, priority=value)
        assert request.priority is Priority.HIGH
        assert request.model_dump(mode="json")["priority"] == "HIGH"


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("kind", None), ("kind", ""), ("kind", "  "), ("kind", 7), ("kind", "k" * 201),
        ("inputs", []), ("inputs", None), ("priority", "INVALID"), ("priority", -1),
        ("priority", 101), ("priority", 15), ("priority", None), ("priority", True),
        ("run_id", ""), ("run_id", "a\0"), ("run_id", "x" * 201), ("run_id", 7),
        ("run_id", "daemon"), ("after", "r1"), ("after", ["x"] * 101), ("after", None),
        ("group", ""), ("group", 7), ("timeout", -1), ("timeout", "5"), ("timeout", True),
        ("timeout", float("nan")), ("timeout", float("inf")), ("labels", []),
        ("labels", {str(n): "" for n in range(33)}), ("labels", {"k" * 64: ""}),
        ("labels", {"": "v"}), ("labels", {"k": "v" * 256}), ("on_restart", "maybe"),
    ],
)  # fmt: skip
def test_a_bad_field_of_a_submit_is_refused_by_name(field: str, value: Any) -> None:
    """API-04, EV-06, SC-06"""
    assert refused(SubmitRequest, **{field: value}).field.split(".")[0] == field


def test_the_largest_that_is_allowed_is_taken() -> None:
    labels = {f"{n:063}": "v" * 255 for n in range(32)}
    request = read(
        SubmitRequest, labels=labels, timeout=0, run_id="x" * 200, kind="k" * 200
    )
    assert (request.labels, request.timeout) == (labels, 0)


def test_an_id_that_is_looked_for_is_brought_into_its_one_form() -> None:
    """EV-06: of the run itself only what looks the same anyway."""
    request = read(SubmitRequest, run_id="e\u0301", after=["c/d", "c-d", "e"])
    assert (request.run_id, request.after) == ("\u00e9", ("c-d", "e"))


@pytest.mark.parametrize(
    ("run_id", "why"),
    [("../../x", "would become '..-..-x'"), ("a b/c", "would become 'a b-c'"),
     ("a\\b", "would become 'a-b'"), ("a\nb", "would become 'a-b'"), ("..", "would become '--'"),
     ("-x", "must not begin with -"), ("12", "must not be a number alone")],
)  # fmt: skip
def test_an_id_for_a_new_run_is_kept_as_it_is_or_refused(run_id: str, why: str) -> None:
    """EV-06 CL-04"""
    error = refused(SubmitRequest, run_id=run_id)
    assert error.field == "run_id"
    assert why in str(error)


@pytest.mark.parametrize("run_id", ["a b", "12a", "1.2", "a-", "...", "日本 ☠", "@x"])
def test_what_no_command_mistakes_is_an_id(run_id: str) -> None:
    assert read(SubmitRequest, run_id=run_id).run_id == run_id


def test_a_child_keeps_the_id_of_a_parent_that_an_older_daemon_took() -> None:
    """EV-06 RS-01: a loop that was begun before goes on."""
    assert read(ChildRequest, kind="k", run_id="-x.turn-1").run_id == "-x.turn-1"


def test_a_run_cannot_wait_for_itself() -> None:
    """SC-09: in any spelling of its id."""
    error = refused(SubmitRequest, run_id="a-b", after=["a/b"])
    assert (error.field, "itself" in str(error)) == ("after", True)


def test_a_refused_element_is_named_by_its_place() -> None:
    assert refused(SubmitRequest, after=["ok", ""]).field == "after.1"


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("prompt", ""), ("prompt", "  \n"), ("prompt", None), ("prompt", 7), ("answers", "no"),
        ("answers", {}), ("answers", None), ("answers", 7), ("priority", "urgent"),
    ],
)  # fmt: skip
def test_a_bad_coding_request_is_refused_by_name(field: str, value: Any) -> None:
    """API-01"""
    assert refused(TaskRequest, **{field: value}).field == field


@pytest.mark.parametrize("prompt", ["x" * 100_000, "日本 ☠ \u0001 \r\n\t", "  kept  "])
def test_a_prompt_is_kept_exactly(prompt: str) -> None:
    """API-02"""
    assert read(TaskRequest, prompt=prompt).prompt == prompt


@pytest.mark.parametrize("answers", [[], ["a"] * 1000])
def test_answers_may_be_none_or_many(answers: list[str]) -> None:
    """API-02"""
    assert list(read(TaskRequest, answers=answers).answers) == answers
    assert read(TaskRequest).answers == ()


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("type", "close"), ("after", -1), ("after", "x"), ("after", 1.5), ("after", True),
        ("overflow", "explode"), ("token", 7),
    ],
)  # fmt: skip
def test_a_bad_open_frame_is_refused_by_name(field: str, value: Any) -> None:
    """WS-09, ST-05"""
    assert refused(OpenFrame, **{field: value}).field == field


def test_a_token_is_not_shown() -> None:
    """API-07"""
    assert "secret" not in repr(read(OpenFrame, token="secret"))
    assert "secret" not in str(refused(OpenFrame, token="secret", after=-1))


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("text", " "),
        ("version", -1),
        ("version", None),
        ("clock", {"p": -1}),
        ("clock", []),
    ],
)
def test_a_bad_bug_report_is_refused_by_name(field: str, value: Any) -> None:
    """EV-09, OR-05"""
    assert refused(BugReportRequest, **{field: value}).field == field


@EVERY_GOT
def test_a_reply_survives_json_and_its_none_is_null(model: type[Received]) -> None:
    """API-03"""
    reply = model.model_validate(GOT[model])
    written = json.loads(reply.model_dump_json())
    assert model.model_validate(written) == reply
    assert set(written) == set(model.model_fields)
    assert GOT[model].items() <= written.items() or model in (
        RunsPage,
        replies.SelectionReply,
    )


@EVERY_GOT
def test_a_reply_of_a_newer_daemon_is_understood(model: type[Received]) -> None:
    """EV-13"""
    newer = model.model_validate({**GOT[model], "from_tomorrow": 1})
    assert newer == model.model_validate(GOT[model])


def test_every_reply_is_tested_here() -> None:
    named = {
        c
        for c in vars(replies).values()
        if isinstance(c, type) and issubclass(c, Received)
    }
    assert {c for c in named if not c.__name__.endswith("Frame")} - {Received} == set(
        GOT
    )


FRAMES: TypeAdapter[Any] = TypeAdapter(
    Annotated[
        HelloFrame | EventsFrame | GapFrame | ReadyFrame | ByeFrame,
        Field(discriminator="type"),
    ]
)


@pytest.mark.parametrize(
    "frame",
    [
        {
            "type": "hello",
            "daemon": "d",
            "epoch": "e",
            "life": "l",
            "head": 9,
            "floor": 1,
            "known": True,
        },
        {"type": "events", "events": [{"position": 1}]},
        {
            "type": "gap",
            "first": 1,
            "last": 9,
            "dropped": None,
            "put_back": True,
        },
        {"type": "ready", "head": 9},
        {"type": "bye", "reason": "shutdown"},
    ],
)
def test_a_frame_is_read_by_its_type(frame: dict[str, Any]) -> None:
    """WS-05"""
    read_back = FRAMES.validate_json(json.dumps(frame))
    assert read_back.type == frame["type"]
    assert FRAMES.dump_python(read_back, mode="json") == frame


def test_unknown_survivors_are_said_so() -> None:
    """CN-06: never gone when nobody knows."""
    receipt = CancelReceipt.model_validate(
        {**GOT[CancelReceipt], "survivors": "unknown"}
    )
    assert receipt.model_dump(mode="json")["survivors"] == "unknown"
    assert receipt.gone_at is None
