"""CX-09 and CX-10: which events matter."""

from __future__ import annotations

from uuid import uuid4

import pytest

from fakes.history import recorded
from penstock.llm.context import relevant
from penstock.words import events as facts
from penstock.words.errors import Refused
from penstock.words.events import CodeGenerated
from penstock.words.recorded import Recorded


def fitting(count: int, *, module: str = "auth", version: int = 3) -> list[Recorded]:
    return [
        recorded(CodeGenerated(module=module), n, version=version)
        for n in range(1, count + 1)
    ]


def now(sequence: int = 1000, **more: object) -> Recorded:
    return recorded(facts.TestFailed(module="auth"), sequence, version=3, **more)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("count", "limit", "first"), [(100, 10, 91), (3, 10, 1), (10, 10, 1)]
)
def test_the_newest_fitting_events_come_by_sequence(
    count: int, limit: int, first: int
) -> None:
    """CX-09: 100 fitting, limit 10 -> exactly the newest 10; 3 fitting -> 3."""
    events = fitting(count)
    found = relevant(list(reversed(events)), now(), limit=limit)
    assert [event.sequence for event in found] == list(range(first, count + 1))


def test_nothing_fits_nothing() -> None:
    """CX-09: none -> []."""
    assert relevant([], now()) == ()
    assert relevant(fitting(5), now(), limit=0) == ()


def test_a_negative_limit_is_refused() -> None:
    """CX-09, bad."""
    with pytest.raises(Refused, match="limit"):
        relevant([], now(), limit=-1)


def test_other_modules_and_runs_never_fit() -> None:
    """CX-10, even when they are causes."""
    other_module = recorded(CodeGenerated(module="billing"), 1, version=3)
    other_run = recorded(CodeGenerated(module="auth"), 2, version=3, run_id="r-2")
    for event in (other_module, other_run):
        assert relevant([event], now(cause=event.event_id)) == ()


def test_an_older_version_fits_only_on_the_causal_chain() -> None:
    """CX-10: same version or on the causal chain, through events of other modules too."""
    old = recorded(CodeGenerated(module="auth"), 1, version=1)
    bridge = recorded(CodeGenerated(module="billing"), 2, version=2, cause=old.event_id)
    stranger = recorded(CodeGenerated(module="auth"), 3, version=2)
    current = now(cause=bridge.event_id)
    assert relevant([old, bridge, stranger], current) == (old,)


def test_a_broken_chain_yields_what_is_reachable() -> None:
    """CX-10: the cause of a cause is missing, or the chain bites its tail."""
    first, second = uuid4(), uuid4()
    one = recorded(
        CodeGenerated(module="auth"), 1, version=1, event_id=first, cause=uuid4()
    )
    two = recorded(
        CodeGenerated(module="auth"), 2, version=2, event_id=second, cause=first
    )
    assert relevant([one, two], now(cause=second)) == (one, two)
    assert relevant([two], now(cause=second)) == (two,)
    loop = recorded(
        CodeGenerated(module="auth"), 1, version=1, event_id=first, cause=second
    )
    assert relevant([loop, two], now(cause=second)) == (loop, two)
