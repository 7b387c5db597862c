"""What an error is on the outside: status, document, exit code."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from penstock.words import errors
from penstock.words.api import Problem, problem_of
from penstock.words.error_status import (
    OWN_MEMBERS,
    PROBLEMS,
    exit_code_of,
    headers_of,
    type_of,
)
from penstock.words.errors import PenstockError, Refused, TooLarge
from penstock.words.exit_codes import Exit

# Written out by hand: status and exit code of each error that a surface meets.
EXPECTED: list[tuple[PenstockError, int, int]] = [
    (Refused("kind", "unknown"), 400, 2),
    (errors.UnknownPrerequisite("after", "r1"), 400, 2),
    (errors.TreeTooLarge("parent", "64"), 400, 2),
    (TooLarge("body", "9 MiB"), 413, 2),
    (errors.Unauthorised(), 401, 77),
    (errors.Forbidden(), 403, 77),
    (errors.NotFound(), 404, 3),
    (errors.RunNotFound(), 404, 3),
    (errors.AskNotFound(), 404, 3),
    (errors.ScheduleNotFound(), 404, 3),
    (errors.Conflict(), 409, 4),
    (errors.OtherInputs(), 409, 4),
    (errors.AlreadyAnswered(), 409, 4),
    (errors.Terminal(), 409, 4),
    (errors.Fenced(), 409, 4),
    (errors.QueueFull(), 429, 75),
    (errors.StoreUnavailable(), 503, 69),
    (errors.StoreAway(), 503, 69),
    (errors.ShuttingDown(), 503, 69),
    (errors.NotAvailable(), 503, 69),
    (errors.DaemonUnreachable(), 503, 69),
    (errors.LogDamaged(), 500, 1),
    (errors.StoreBroken(), 500, 74),
    (errors.StartRefused(), 500, 1),
    (PenstockError(), 500, 1),
]
EVERY = pytest.mark.parametrize(
    ("error", "status", "code"),
    EXPECTED,
    ids=[type(e).__name__ for e, _, _ in EXPECTED],
)


@EVERY
def test_an_error_has_its_status_and_its_exit_code(
    error: PenstockError, status: int, code: int
) -> None:
    """API-07, CL-01"""
    assert (problem_of(error)[0], exit_code_of(error)) == (status, code)


@EVERY
def test_a_problem_document_has_the_members_of_rfc_9457(
    error: PenstockError, status: int, code: int
) -> None:
    """API-07"""
    document = json.loads(problem_of(error)[1].model_dump_json())
    assert {"type", "title", "status", "detail"} <= set(document)
    assert document["status"] == status
    assert document["type"] == type_of(type(error))
    assert document["detail"]


def test_the_exit_codes_are_these() -> None:
    """Design 8."""
    codes = [0, 1, 2, 3, 4, 69, 70, 74, 75, 77, 124, 125, 126, 127, 130, 143]
    assert [int(code) for code in Exit] == codes


def test_the_table_has_a_line_for_everything() -> None:
    """No error is without a status: the root of the tree is in the table."""
    assert PenstockError in PROBLEMS


def test_a_refusal_names_field_and_reason() -> None:
    """API-07"""
    _, problem = problem_of(TooLarge("body", "10 bytes; the limit is 9", limit=9))
    document = problem.model_dump()
    assert document["detail"] == "body: 10 bytes; the limit is 9"
    assert (document["field"], document["limit"]) == ("body", 9)
    assert document["type"] == "urn:penstock:too-large"


@pytest.mark.parametrize(
    "cls",
    [errors.StoreUnavailable, errors.StoreAway, errors.StoreBroken, PenstockError],
)
def test_what_the_system_said_is_not_told(cls: type[PenstockError]) -> None:
    """API-07: no paths and no secrets."""
    _, problem = problem_of(cls("cannot write /home/me/secret.db", path="/home/me"))
    assert "/home/me" not in problem.model_dump_json()
    assert problem.detail == (cls.__doc__ or "").strip()


@pytest.mark.parametrize(
    "value", [object(), {1}, b"x", float("nan"), datetime.now(UTC)]
)
def test_facts_that_are_not_json_are_left_out(value: Any) -> None:
    """API-03: a problem always serialises."""
    _, problem = problem_of(errors.Conflict("", current=3, odd=value))
    document = json.loads(problem.model_dump_json())
    assert document["current"] == 3
    assert "odd" not in document


def test_a_fact_never_replaces_a_member_of_the_document() -> None:
    """API-07"""
    _, problem = problem_of(
        errors.Conflict("sentence", status=200, title="ok", type="x")
    )
    assert (problem.status, problem.title, problem.detail) == (
        409,
        "Conflict",
        "sentence",
    )


def test_what_a_document_names_itself_is_read_as_no_fact() -> None:
    """API-07: the table knows the members without the model that has them."""
    assert set(Problem.model_fields) | {"instance"} == OWN_MEMBERS


def test_a_full_queue_says_when_to_come_again() -> None:
    """API-04"""
    assert headers_of(errors.QueueFull()) == {"Retry-After": "1"}
    assert headers_of(errors.QueueFull("", retry_after=7)) == {"Retry-After": "7"}
    assert headers_of(errors.ShuttingDown()) == {"Retry-After": "1"}
    assert headers_of(errors.Unauthorised()) == {"WWW-Authenticate": "Bearer"}
    assert headers_of(errors.NotFound()) == {}
