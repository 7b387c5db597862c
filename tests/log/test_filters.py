"""One grammar for choosing runs on every surface."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.log.filters import KEYS, LONGEST_FILTER, RunFilter, matches, parse_filter
from penstock.words.errors import Refused


@dataclass(frozen=True)
class Row:
    run_id: str = "build-7"
    kind: str = "command"
    state: str = "failed"
    priority: int | str = 10
    group: str | None = "web"
    box: str = "loft"
    parent_id: str | None = None
    labels: Mapping[str, str] = field(default_factory=lambda: {"repo": "Penstock"})
    inputs: Mapping[str, Any] = field(
        default_factory=lambda: {"argv": ["make", "two words"], "cwd": "/srv"}
    )


def test_a_filter_of_everything_at_once() -> None:
    """Design 8: the one grammar."""
    text = 'state:failed prio:high kind:x label:k=v group:g box:B parent:P word !no "two words"'
    assert parse_filter(text, before=9, limit=7) == RunFilter(
        states=frozenset({"failed"}),
        kinds=frozenset({"x"}),
        priorities=frozenset({10}),
        groups=frozenset({"g"}),
        boxes=frozenset({"B"}),
        parents=frozenset({"P"}),
        labels={"k": "v"},
        words=("word", "two words"),
        without=("no",),
        before=9,
        limit=7,
    )


@pytest.mark.parametrize("text", ["", "   ", "\n"])
def test_an_empty_filter_wants_every_run(text: str) -> None:
    assert parse_filter(text) == RunFilter()
    assert matches(parse_filter(text), Row())


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("state:failed", True), ("state:running", False), ("state:running state:failed", True),
        ("state:open", False), ("state:ended", True),
        ("prio:high", True), ("prio:10", True), ("priority:HIGH", True), ("prio:low", False),
        ("kind:command", True), ("kind:comm", False), ("kind:a kind:command", True),
        ("label:repo=Penstock", True), ("label:repo=penstock", False), ("label:no=x", False),
        ("label:repo=", False), ("group:web", True), ("group:db", False), ("box:loft", True),
        ("box:attic", False), ("box:attic box:loft", True), ("parent:x", False),
        ("BUILD", True), ("penstock", True), ("repo", True), ("repo=", False), ("fail", True), ("nowhere", False),
        ("build nowhere", False), ("!nowhere", True), ("!build", False), ('"build-7"', True),
        ('!"build-7"', False), ('!"no:where"', True), ("state:failed !FAILED", False),
        ("state:failed prio:low", False),
    ],
)  # fmt: skip
def test_a_run_is_wanted_if_all_that_is_asked_holds(text: str, wanted: bool) -> None:
    assert matches(parse_filter(text), Row()) is wanted


def test_a_client_may_show_priorities_by_name() -> None:
    assert matches(parse_filter("prio:high"), Row(priority="HIGH"))


@pytest.mark.parametrize(
    ("text", "term", "told"),
    [
        ("stat:failed", "stat:failed", "state, prio, kind, label, group, box, parent"),
        ("a b:c d", "b:c", "quote"),
        ("state:done", "state:done", "completed"),
        ("prio:urgent", "prio:urgent", "CRITICAL (0)"),
        ("prio:15", "prio:15", "CRITICAL (0)"),
        ("label:k", "label:k", "KEY=VALUE"),
        ("label:=v", "label:=v", "KEY=VALUE"),
        ("label:k=a label:k=b", "label:k=b", "another value"),
        ("state:", "state:", "nothing"),
        ("!", "!", "nothing"),
        ('""', '""', "nothing"),
        ("!state:failed", "!state:failed", "only words"),
        ("parent:a\0b", "parent:a", "NUL"),
    ],
)
def test_a_bad_term_is_refused_by_name(text: str, term: str, told: str) -> None:
    """Unknown keys are refused with the known ones."""
    with pytest.raises(Refused) as refusal:
        parse_filter(text)
    assert refusal.value.field == "q"
    assert term in str(refusal.value)
    assert told in str(refusal.value)
    assert refusal.value.facts["keys"] == list(KEYS)


def test_a_filter_has_a_longest_length() -> None:
    parse_filter("x" * LONGEST_FILTER)
    with pytest.raises(Refused, match="1000"):
        parse_filter("x" * (LONGEST_FILTER + 1))


@given(st.text(max_size=60))
def test_any_text_is_a_filter_or_is_refused(text: str) -> None:
    try:
        wanted = parse_filter(text)
    except Refused:
        return
    matches(wanted, Row())


@pytest.mark.parametrize(
    ("text", "wanted"),
    [("make", True), ("\"make 'two words'\"", True), ("srv", False), ("argv", False)],
)
def test_words_are_looked_for_in_the_command_line(text: str, wanted: bool) -> None:
    """DU-03: as it would be typed, and in nothing else of the inputs."""
    assert matches(parse_filter(text), Row()) is wanted


@pytest.mark.parametrize("text", ['label:n="two words"', 'label:"n=two words"'])
def test_a_label_with_spaces_can_be_found(text: str) -> None:
    """DU-03"""
    assert parse_filter(text).labels == {"n": "two words"}
