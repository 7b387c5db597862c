"""CX-07 and CX-08: prompts are made once, and a broken maker ends nothing."""

from __future__ import annotations

from penstock.llm.prompts import BY_TYPE, GENERIC, PromptCache


class CountingMaker:
    def __init__(self, failures: int = 0) -> None:
        self.calls: list[str] = []
        self.failures = failures

    def __call__(self, event_type: str) -> str:
        self.calls.append(event_type)
        if len(self.calls) <= self.failures:
            raise OSError("the disk is on fire")
        return f"prompt for {event_type}, number {len(self.calls)}"


def test_a_prompt_is_made_once() -> None:
    """CX-07: the first call makes, the second returns the same without making."""
    make = CountingMaker()
    cache = PromptCache(make)
    assert cache.get("a") is cache.get("a")
    assert make.calls == ["a"]


def test_types_never_share_prompts() -> None:
    """CX-07: 100 entries are fine."""
    make = CountingMaker()
    cache = PromptCache(make)
    made = {name: cache.get(name) for name in map(str, range(100))}
    assert len(set(made.values())) == 100
    assert made == {name: cache.get(name) for name in made}
    assert len(make.calls) == 100


def test_after_a_clear_it_is_made_anew() -> None:
    """CX-07."""
    make = CountingMaker()
    cache = PromptCache(make)
    first = cache.get("a")
    cache.clear()
    assert cache.get("a") == "prompt for a, number 2" != first


def test_an_unknown_type_gets_the_generic_prompt() -> None:
    """CX-08."""
    cache = PromptCache()
    assert cache.get("no.such.type") == GENERIC
    assert cache.get("test.failed") == BY_TYPE["test.failed"]
    assert len(cache) == 1


def test_a_failure_is_tried_once_more() -> None:
    """CX-08: one retry."""
    make = CountingMaker(failures=1)
    assert PromptCache(make).get("a") == "prompt for a, number 2"


def test_a_failure_is_not_cached() -> None:
    """CX-08: then the generic prompt, and the next call tries again."""
    make = CountingMaker(failures=2)
    cache = PromptCache(make)
    assert cache.get("a") == GENERIC
    assert cache.get("a") == "prompt for a, number 3"


def test_the_cache_is_bounded_and_forgets_what_is_used_least() -> None:
    make = CountingMaker()
    cache = PromptCache(make, capacity=2)
    for name in ("a", "b", "a", "c", "a"):
        cache.get(name)
    assert len(cache) == 2
    assert make.calls == ["a", "b", "c"]
