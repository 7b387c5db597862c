"""DS-02, DS-03: the first piece at once, then at most one per interval, and nothing lost."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from penstock.words.batching import Throttle

INTERVAL = 0.1


def test_the_first_piece_goes_at_once_and_the_next_waits_for_the_interval() -> None:
    """DS-02"""
    throttle = Throttle(INTERVAL, 100)
    assert throttle.add("a", now=5.0) == "a"
    assert throttle.add("b", now=5.05) == ""
    assert throttle.add("c", now=5.06) == ""
    assert throttle.due == 5.0 + INTERVAL
    assert throttle.take(now=5.09) == ""
    assert throttle.take(now=5.1) == "bc"
    assert throttle.due is None


def test_a_piece_after_a_pause_goes_at_once() -> None:
    """DS-02"""
    throttle = Throttle(INTERVAL, 100)
    throttle.add("a", now=0.0)
    assert throttle.add("b", now=1.0) == "b"


def test_a_flush_sends_what_is_held_and_nothing_twice() -> None:
    """DS-03"""
    throttle = Throttle(INTERVAL, 100)
    throttle.add("a", now=0.0)
    throttle.add("b", now=0.01)
    assert throttle.flush(now=0.02) == "b"
    assert throttle.flush(now=0.02) == ""


def test_a_throttle_is_full_until_the_held_text_went_out() -> None:
    """DS-02"""
    throttle = Throttle(INTERVAL, 4)
    throttle.add("first", now=0.0)
    throttle.add("abc", now=0.01)
    assert not throttle.full
    throttle.add("d", now=0.02)
    assert throttle.full
    assert throttle.statistics().held == 4
    throttle.take(now=0.1)
    assert not throttle.full


@given(
    st.lists(
        st.tuples(
            # Hundredths: pauses that are just the interval are as likely as any.
            st.integers(0, 30).map(lambda hundredths: hundredths / 100),
            st.text("ab€", max_size=5),
            st.sampled_from(["add", "take", "flush"]),
        ),
        max_size=40,
    )
)
def test_joined_output_is_the_input_and_the_pace_is_kept(
    script: list[tuple[float, str, str]],
) -> None:
    """DS-02, DS-03: for every order of pieces, looks and flushes."""
    throttle = Throttle(INTERVAL, 10)
    now, fed, sent, last_sent = 0.0, "", "", None
    for pause, text, verb in script:
        now += pause
        if verb == "add":
            fed += text
            out = throttle.add(text, now)
        else:
            out = throttle.take(now) if verb == "take" else throttle.flush(now)
        if out:
            assert verb == "flush" or last_sent is None or now >= last_sent + INTERVAL
            last_sent = now
        sent += out
        assert fed.startswith(sent)
        assert (throttle.due is None) == (sent == fed)
    assert sent + throttle.flush(now) == fed
