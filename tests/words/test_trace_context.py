"""W3C Trace Context: what is read, what is overlooked, and ids that are derived from a run."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from pydantic import ValidationError

from penstock.words.api import SubmitRequest
from penstock.words.trace_context import (
    MOST_ADDED,
    TraceContext,
    context_of_run,
    execution_context,
    read_traceparent,
)

GIVEN = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)


def test_what_is_read_is_written_again() -> None:
    """HO-05"""
    context = read_traceparent(GIVEN)
    assert context == TraceContext(
        0x0AF7651916CD43DD8448EB211C80319C, 0xB7AD6B7169203331, True
    )
    assert str(context) == GIVEN
    dropped = read_traceparent(GIVEN[:-1] + "0")
    assert dropped is not None
    assert dropped.sampled is False
    assert str(dropped) == GIVEN[:-1] + "0"


def test_a_later_version_may_say_more() -> None:
    """HO-05"""
    assert read_traceparent(f"cc{GIVEN[2:]}-what-will-be") == read_traceparent(GIVEN)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "00",
        GIVEN.upper(),
        GIVEN + "-more",
        GIVEN + "\n",
        "ff" + GIVEN[2:],
        f"00-{'0' * 32}-b7ad6b7169203331-01",
        f"00-0af7651916cd43dd8448eb211c80319c-{'0' * 16}-01",
        GIVEN.replace("-", " "),
        "cc" + GIVEN[2:] + "-nul\0",
        "cc" + GIVEN[2:] + "-über",
        "cc" + GIVEN[2:] + "-" + "x" * (MOST_ADDED + 1),
    ],
)
def test_what_is_no_traceparent_is_overlooked(text: str) -> None:
    """HO-05: and refused in the field that is for it alone."""
    assert read_traceparent(text) is None
    request = SubmitRequest(kind="command")
    assert request.in_trace(text).traceparent is None
    with pytest.raises(ValidationError, match="must be a traceparent"):
        SubmitRequest(kind="command", traceparent=text)


def test_a_field_says_it_before_a_header() -> None:
    """HO-05"""
    other = GIVEN.replace("b7ad", "aaaa")
    request = SubmitRequest(kind="command")
    assert request.in_trace(GIVEN).traceparent == GIVEN
    said = SubmitRequest(kind="command", traceparent=other)
    assert said.in_trace(GIVEN).traceparent == other


def test_ids_are_those_of_the_run_whoever_asks() -> None:
    """HO-05: a restarted daemon derives the same; another run, execution or log has others."""
    run = context_of_run("r", NOW, None)
    assert run == context_of_run("r", NOW, None)
    later = context_of_run("r", NOW.replace(hour=13), None)
    others = {
        run.span_id,
        later.span_id,
        context_of_run("q", NOW, None).span_id,
        execution_context(run, 1).span_id,
        execution_context(run, 2).span_id,
    }
    assert len(others) == 5
    assert later.trace_id != run.trace_id
    assert execution_context(run, 1).trace_id == run.trace_id
    below = context_of_run("r", NOW, GIVEN)
    assert (below.trace_id, below.sampled) == (0x0AF7651916CD43DD8448EB211C80319C, True)
    assert below.span_id == run.span_id
