"""RS-05, DS-03, QA-04: the beginning and the end of a run's output are kept, the cut is told."""

from __future__ import annotations

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st

from penstock.processes.output import KeptOutput, OutputLimits, open_output
from penstock.words.events import Log, LogTruncated
from penstock.words.printed import text_of

LIMITS = OutputLimits(
    head_bytes=20,
    tail_bytes=30,
    line_bytes=1000,
    throttle_seconds=0.1,
    throttle_bytes=1000,
)
ROOMY = OutputLimits(
    head_bytes=10_000,
    tail_bytes=10_000,
    line_bytes=1000,
    throttle_seconds=0.1,
    throttle_bytes=1000,
)


def joined(events: list[Log | LogTruncated], stream: str = "stdout") -> str:
    return "".join(
        text_of(e) for e in events if isinstance(e, Log) and e.stream == stream
    )


def cuts(events: list[Log | LogTruncated]) -> dict[str, int]:
    return {e.stream: e.dropped_bytes for e in events if isinstance(e, LogTruncated)}


def keep(limits: OutputLimits, *parts: bytes) -> list[Log | LogTruncated]:
    kept = KeptOutput(limits)
    events: list[Log | LogTruncated] = []
    for part in parts:
        events += kept.feed("stdout", part, now=0.0)
    return [*events, *kept.finish(now=0.0)]


def test_output_within_the_limits_is_kept_whole() -> None:
    """RS-05"""
    data = b"0123456789" * 5
    events = keep(LIMITS, data[:7], data[7:33], data[33:])
    assert joined(events) == data.decode()
    assert not cuts(events)


def test_the_middle_is_dropped_and_counted() -> None:
    """RS-05"""
    data = "".join(f"{n:04}" for n in range(100)).encode()
    events = keep(LIMITS, data[:100], data[100:])
    assert joined(events) == (data[:20] + data[-30:]).decode()
    assert cuts(events) == {"stdout": len(data) - 50}


def test_a_character_at_the_cut_is_counted_and_not_maimed() -> None:
    """RS-05, DS-03"""
    data = ("x" * 19 + "é" * 40 + "y").encode()
    events = keep(LIMITS, data)
    text = joined(events)
    assert "\ufffd" not in text
    assert len(text.encode()) + cuts(events)["stdout"] == len(data)


def test_a_split_character_between_head_and_tail_survives() -> None:
    """DS-03"""
    assert (
        joined(keep(LIMITS, ("x" * 19 + "é" + "y" * 10).encode()))
        == "x" * 19 + "é" + "y" * 10
    )


def test_invalid_bytes_and_escape_sequences_are_neutralised() -> None:
    assert joined(keep(ROOMY, b"\xff\x1b[2Jok\n")) == "\ufffd␛[2Jok\n"


def test_long_lines_are_broken() -> None:
    """RS-05"""
    events = keep(ROOMY, b"a" * 600, b"a" * 600, b"a" * 1300)
    assert [len(line) for line in joined(events).split("\n")] == [1000, 1000, 500]


def test_a_second_process_uses_what_the_first_has_left() -> None:
    """RS-05: the limits are the run's."""
    kept = KeptOutput(LIMITS)
    first = [*kept.feed("stdout", b"a" * 40, 0.0), *kept.finish(0.0)]
    second = [*kept.feed("stdout", b"b" * 40, 1.0), *kept.finish(1.0)]
    assert joined(first) == "a" * 40
    assert joined(second) == "b" * 10
    assert cuts(second) == {"stdout": 30}


def test_two_streams_taking_turns_do_not_cost_memory() -> None:
    """RS-05, QA-05: bytes by turns would be a piece each."""
    kept = KeptOutput(OutputLimits(0, 10**9, 10**6, 0.1, 1000))
    for _ in range(40_000):
        kept.feed("stdout", b"o", 0.0)
        kept.feed("stderr", b"e", 0.0)
    events = list(kept.finish(0.0))
    assert len(events) == 4, "not an event for each byte"
    assert len(joined(events)) + cuts(events)["stdout"] == 40_000


@given(
    st.lists(st.tuples(st.sampled_from(["stdout", "stderr"]), st.binary(max_size=30)))
)
def test_every_byte_is_kept_or_counted(parts: list[tuple[str, bytes]]) -> None:
    """RS-05: ASCII, so that a byte is a character."""
    kept = KeptOutput(LIMITS)
    events: list[Log | LogTruncated] = []
    for stream, data in parts:
        ascii_data = bytes(65 + byte % 26 for byte in data)
        events += kept.feed(stream, ascii_data, 0.0)  # type: ignore[arg-type]
    events += kept.finish(0.0)
    for stream in ("stdout", "stderr"):
        total = sum(len(data) for name, data in parts if name == stream)
        assert len(joined(events, stream)) + cuts(events).get(stream, 0) == total
    assert len(joined(events)) + len(joined(events, "stderr")) <= 50


class Recorder:
    """Takes events; can be told to stall."""

    def __init__(self) -> None:
        self.events: list[tuple[float, Log | LogTruncated]] = []
        self.stalled = False

    async def emit(self, event: Log | LogTruncated) -> None:
        if self.stalled:
            await trio.sleep_forever()
        await trio.lowlevel.checkpoint()
        self.events.append((trio.current_time(), event))

    @property
    def facts(self) -> list[Log | LogTruncated]:
        return [event for _, event in self.events]


async def test_the_first_line_comes_at_once_and_later_ones_together(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """QA-04"""
    recorder, start = Recorder(), trio.current_time()
    async with open_output(KeptOutput(ROOMY), recorder.emit, 1.0) as feed:
        for line in (b"one\n", b"two\n", b"three\n"):
            await feed("stdout", line)
        await trio.sleep(1)
    assert [
        (round(at - start, 6), e.text)
        for at, e in recorder.events
        if isinstance(e, Log)
    ] == [
        (0, "one\n"),
        (0.1, "two\nthree\n"),
    ]


async def test_a_full_throttle_does_not_wait(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """QA-04: a fast writer is not slowed to the pace of the throttle."""
    recorder, start = Recorder(), trio.current_time()
    async with open_output(KeptOutput(ROOMY), recorder.emit, 1.0) as feed:
        for _ in range(9):
            await feed("stdout", b"a" * 999 + b"\n")
        assert trio.current_time() == start
        assert len(recorder.events) == 9


async def test_the_end_is_emitted_after_a_cancel(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """RS-05, DS-03"""
    recorder = Recorder()
    with trio.CancelScope() as scope:
        async with open_output(KeptOutput(LIMITS), recorder.emit, 1.0) as feed:
            await feed("stdout", b"a" * 100 + b"z")
            scope.cancel(reason="test")
            await trio.sleep_forever()
    assert joined(recorder.facts) == "a" * 49 + "z"
    assert cuts(recorder.facts) == {"stdout": 51}


async def test_a_failure_comes_out_as_it_is_and_after_the_end(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """DS-03"""
    recorder = Recorder()
    with pytest.raises(KeyError):
        async with open_output(KeptOutput(LIMITS), recorder.emit, 1.0) as feed:
            await feed("stdout", b"first")
            await feed("stdout", b"second")
            raise KeyError
    assert joined(recorder.facts) == "firstsecond"


async def test_a_failure_after_a_cancel_is_not_lost(
    autojump_clock: trio.testing.MockClock,
) -> None:
    with pytest.RaisesGroup(KeyError), trio.CancelScope() as scope:
        async with open_output(KeptOutput(LIMITS), Recorder().emit, 1.0):
            scope.cancel(reason="test")
            raise KeyError


async def test_a_stalled_recorder_holds_a_cancel_only_for_the_bound(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """CN-04"""
    recorder, start = Recorder(), trio.current_time()
    with trio.CancelScope() as scope:
        async with open_output(KeptOutput(LIMITS), recorder.emit, 1.0) as feed:
            await feed("stdout", b"a")
            await feed("stdout", b"b")
            recorder.stalled = True
            scope.cancel(reason="test")
            await trio.sleep_forever()
    assert scope.cancelled_caught
    assert trio.current_time() - start == pytest.approx(1.0)
