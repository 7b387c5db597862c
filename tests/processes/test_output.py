"""PT-03, DS-03, QA-04: output goes out as it was read, in its order, at a pace that ends never."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from uuid import UUID

import pytest
import trio
from hypothesis import given, settings
from hypothesis import strategies as st

from fakes.few_numbers import some_fast
from penstock.log.new_events import new_event
from penstock.log.redaction import make_held_back, make_redaction
from penstock.log.writes import Append
from penstock.processes.output import (
    OutputPieces,
    RunOutput,
    Stream,
    nothing_secret,
    open_output,
)
from penstock.words.batching import Pace
from penstock.words.events import Log
from penstock.words.printed import bytes_of, size_of
from penstock.words.values import utc_now

PACE = Pace(shortest=0.1, smallest_bytes=1000, largest_bytes=4000)
HEAD = 1 << 30


def fed(*parts: tuple[Stream, bytes], pace: Pace = PACE) -> list[Log]:
    """The pieces of a program that said this all at once, and ended."""
    pieces = OutputPieces(pace, HEAD)
    for stream, data in parts:
        pieces.feed(stream, data, now=0.0)
    return pieces.finish(now=0.0)


def joined(pieces: Sequence[Log], stream: str = "stdout") -> bytes:
    return b"".join(bytes_of(p) or b"" for p in pieces if p.stream == stream)


def turns(pieces: Sequence[tuple[str, bytes]]) -> list[tuple[str, bytes]]:
    """What was said, with neighbours of one stream joined."""
    told: list[tuple[str, bytes]] = []
    for stream, data in pieces:
        if told and told[-1][0] == stream:
            data = told.pop()[1] + data
        if data:
            told.append((stream, data))
    return told


SAID = st.lists(
    st.tuples(
        st.sampled_from(["stdout", "stderr"]),
        st.binary(max_size=12)
        | st.sampled_from(["é", "日本", "🎉", "a\r\n", "\x1b[1m"]).map(str.encode)
        | st.sampled_from([b"\xf0\x9f", b"\x8e\x89", b"\xe6", b"\x97\xa5", b"\xff"]),
        st.sampled_from([0.0, 0.03, 0.1, 0.5]),
    ),
    max_size=60,
)


@settings(max_examples=300)
@given(SAID, st.integers(1, 20))
def test_every_byte_goes_out_once_and_in_the_order_it_was_read(
    said: list[tuple[Stream, bytes, float]], size: int
) -> None:
    """PT-03: whatever was said on two streams, however it came."""
    pieces = OutputPieces(Pace(0.1, size, 2 * size), HEAD)
    now, out = 0.0, []
    for stream, data, pause in said:
        pieces.feed(stream, data, now)
        out += pieces.take(now)
        now += pause
        out += pieces.take(now)
    out += pieces.finish(now)
    told = [(piece.stream, bytes_of(piece) or b"") for piece in out]
    assert turns(told) == turns([(s, data) for s, data, _ in said])
    assert all(data for _, data in told)


@given(st.text(min_size=1), st.lists(st.integers(1, 7)))
def test_text_stays_text_however_it_is_cut(text: str, sizes: list[int]) -> None:
    """PT-03: pieces end on the boundaries of characters, when they can."""
    data, pieces, out = text.encode(), OutputPieces(Pace(0.1, 5, 5), HEAD), []
    for size in sizes:
        pieces.feed("stdout", data[:size], 0.0)
        data = data[size:]
        out += pieces.take(0.0)
    pieces.feed("stdout", data, 0.0)
    out += pieces.finish(0.0)
    assert "".join(piece.text or "" for piece in out) == text


def test_nothing_is_added_or_changed() -> None:
    """PT-03: carriage returns, colours, NUL, lines without an end."""
    said = b"10 %\r20 %\r\n\x1b[31mred\x1b[m\x00\x07" + b"x" * 100_000
    assert joined(fed(("stdout", said))) == said


def test_the_beginning_of_a_character_waits_no_longer_than_the_throttle() -> None:
    """PT-03: then it goes as bytes."""
    pieces = OutputPieces(PACE, HEAD)
    pieces.feed("stdout", b"a\xc3", 5.0)
    assert [p.text for p in pieces.take(5.0)] == ["a"]
    assert pieces.take(5.09) == []
    assert pieces.due(5.09) == pytest.approx(5.1)
    assert [(p.base64, bytes_of(p)) for p in pieces.take(5.1)] == [("ww==", b"\xc3")]
    pieces.feed("stdout", b"\xa9", 5.3)
    assert joined(pieces.take(5.3)) == b"\xa9"


def test_a_stream_that_speaks_first_is_not_overtaken() -> None:
    """PT-03: not by the other one, and not for the sake of a character."""
    told = fed(("stdout", b"a\xc3"), ("stderr", b"x"), ("stdout", b"\xa9b"))
    assert [(p.stream, bytes_of(p)) for p in told] == [
        ("stdout", b"a\xc3"),
        ("stderr", b"x"),
        ("stdout", b"\xa9b"),
    ]


# -- secrets


def test_a_secret_that_straddles_a_flush_is_whole_in_one_piece() -> None:
    """API-07: held back until its line is complete, and only what may be its beginning."""
    pieces = OutputPieces(PACE, HEAD, make_held_back([], ["tok-123456"]))
    pieces.feed("stdout", b"the token is tok-12", 0.0)
    assert joined(pieces.take(0.0)) == b"the token is "
    pieces.feed("stderr", b"other", 0.2)
    pieces.feed("stdout", b"3456 and more", 0.3)
    told = pieces.take(0.3)
    assert [(p.stream, p.text) for p in told] == [
        ("stderr", "other"),
        ("stdout", "tok-123456 and more"),
    ]


def test_what_was_held_back_goes_after_a_second_at_the_latest() -> None:
    """API-07: a prompt is seen though its line does not end."""
    pieces = OutputPieces(PACE, HEAD, make_held_back(["password=.*"]))
    pieces.feed("stdout", b"line\nname? ", 0.0)
    assert joined(pieces.take(0.0)) == b"line\n"
    pieces.feed("stdout", b"(or none) ", 0.6)
    assert pieces.take(0.6) == []
    assert pieces.due(0.6) == 1.0
    assert joined(pieces.take(1.0)) == b"name? (or none) "


def test_holding_back_delays_its_own_stream_only_and_reorders_nothing_in_it() -> None:
    """API-07, PT-03"""
    pieces = OutputPieces(PACE, HEAD, make_held_back(["pin=[0-9]+"]))
    pieces.feed("stdout", b"pin=1", 0.0)
    pieces.feed("stderr", b"warning\n", 0.0)
    assert [(p.stream, p.text) for p in pieces.take(0.0)] == [("stderr", "warning\n")]
    pieces.feed("stdout", b"234\nnext\n", 0.2)
    assert [p.text for p in pieces.take(0.2)] == ["pin=1234\nnext\n"]


@settings(max_examples=100)
@given(SAID, st.integers(1, 200), st.booleans())
def test_what_is_held_back_is_lost_neither(
    said: list[tuple[Stream, bytes, float]], size: int, any_pattern: bool
) -> None:
    """API-07, PT-03: each stream is what the program wrote."""
    held = make_held_back(["a.*"] if any_pattern else [], ["é日本", "a\r\n\x1b"])
    pieces = OutputPieces(Pace(0.1, size, 2 * size), HEAD, held)
    now, out = 0.0, []
    for stream, data, pause in said:
        pieces.feed(stream, data, now)
        now += pause
        out += pieces.take(now)
    out += pieces.finish(now)
    for stream in ("stdout", "stderr"):
        assert joined(out, stream) == b"".join(d for s, d, _ in said if s == stream)


@pytest.mark.parametrize("patterns", [[], ["key=[a-z]+"]])
def test_a_secret_is_taken_out_wherever_pieces_are_cut(patterns: list[str]) -> None:
    """API-07: in a line far longer than any piece, too."""
    secrets = [] if patterns else ["key=abcdefghij"]
    redact = make_redaction(patterns, secrets)
    held = make_held_back(patterns, secrets)
    dice = random.Random(5)
    for filler in (b".", b"\xff", b"\n", b"\r"):
        said = b"".join(
            filler * dice.randint(1, 9000) + b"key=abcdefghij" for _ in range(20)
        )
        pieces, out, now = OutputPieces(Pace(0.1, 9000, 9000), HEAD, held), [], 0.0
        while said:
            size = dice.randint(1, 700)
            pieces.feed("stdout", said[:size], now)
            said, now = said[size:], now + 0.01
            out += pieces.take(now)
        out += pieces.finish(now)
        told = b""
        for piece in out:
            write = redact(Append((new_event("r", piece, now=utc_now()),)))
            assert isinstance(write, Append)
            told += bytes_of(Log.model_validate_json(write.new_events[0].body)) or b""
        assert b"abcdefghij" not in told
        assert told.count(b"[redacted]") == 20


# -- the pace


def test_a_program_that_takes_turns_byte_by_byte_costs_no_fact_for_each() -> None:
    """PT-04: then a stream's bytes stand together, and none is lost."""
    pieces = OutputPieces(PACE, HEAD)
    out: list[Log] = []
    for number in range(40_000):
        pieces.feed("stdout", b"o", number / 1e5)
        pieces.feed("stderr", b"e", number / 1e5)
        out += pieces.take(number / 1e5)
    out += pieces.finish(1.0)
    assert joined(out) == b"o" * 40_000
    assert joined(out, "stderr") == b"e" * 40_000
    assert len(out) < 12_000


def test_what_outruns_the_pace_is_counted_from_the_oldest_on() -> None:
    """PT-04: once the beginning went out; and memory does not grow."""
    pace = replace(PACE, at_once=20, a_day=1000)
    pieces = OutputPieces(pace, head_bytes=5000)
    out: list[Log] = []
    for number in range(5000):
        pieces.feed("stdout", b"%06d\n" % number * 100, number / 1000)
        out += pieces.take(number / 1000)
    out += pieces.finish(5.0)
    assert sum(map(size_of, out)) == 5000 * 700
    assert len(out) <= 24
    head = joined(out)[:5000]
    assert head == b"".join(b"%06d\n" % number * 100 for number in range(8))[:5000]
    assert out[-1].text is not None
    assert out[-1].text.endswith("004999\n")
    assert all(not piece.emptied for piece in out[:5])
    after = [b.text for a, b in pairwise(out) if a.emptied]
    assert all(len(text.split("\n")[0]) == 6 for text in after if text)


@pytest.mark.parametrize("size", some_fast([60, 300], 1))
def test_what_a_disk_would_wear_of_is_counted(size: int) -> None:
    """PT-04: a program that prints 300 MiB in three seconds has no more than its share recorded."""
    pace = Pace(0.1, 64 * 1024)
    pieces = OutputPieces(pace, head_bytes=2 << 20)
    out: list[Log] = []
    for number in range(size * 16):
        pieces.feed("stdout", bytes(64 * 1024), number / 1600)
        out += pieces.take(number / 1600)
    out += pieces.finish(size / 100)
    assert sum(map(size_of, out)) == size << 20
    recorded = sum(size_of(piece) for piece in out if not piece.emptied)
    assert recorded <= pace.bytes_at_once + 4 * pace.bytes_a_second
    assert len(out) < 400


def test_no_run_has_more_pieces_than_its_age_allows() -> None:
    """PT-04: a program that prints without end, for two days of virtual time."""
    pace = Pace(0.1, 64 * 1024)
    pieces = OutputPieces(pace, head_bytes=2 << 20)
    now, count, longest = 0.0, 0, 0.0
    last = 0.0
    while now < 2 * 86400:
        pieces.feed("stdout", b"a line of output\n", now)
        if told := pieces.take(now):
            longest, last = max(longest, now - last), now
            count += len(told)
        due = pieces.due(now)
        now = max(now + 1.0, due or 0.0)
    assert count <= pace.at_once + 2 * pace.a_day + 2
    assert longest < 60


def test_a_quiet_run_is_seen_at_once_however_old_it_is() -> None:
    """PT-04, QA-04"""
    pieces = OutputPieces(Pace(0.1, 64 * 1024), HEAD)
    for hour in range(200):
        pieces.feed("stdout", b"still here\n", hour * 3600.0)
        assert pieces.take(hour * 3600.0) != []


# -- on the way


class Recorder:
    """Takes pieces; can be told to stall, or to drop them as in an outage."""

    def __init__(self) -> None:
        self.batches: list[tuple[float, list[Log]]] = []
        self.ids: list[UUID] = []
        self.stalled = False
        self.dropping = False

    async def emit(self, pieces: Sequence[tuple[UUID, Log]]) -> bool:
        if self.stalled:
            await trio.sleep_forever()
        await trio.lowlevel.checkpoint()
        if self.dropping:
            return False
        if pieces[0][0] not in self.ids:
            self.ids += [event_id for event_id, _ in pieces]
            self.batches.append((trio.current_time(), [p for _, p in pieces]))
        return True

    def output(self, pace: Pace = PACE) -> RunOutput:
        return RunOutput(OutputPieces(pace, HEAD, nothing_secret), self.emit)

    @property
    def pieces(self) -> list[Log]:
        return [piece for _, pieces in self.batches for piece in pieces]


async def test_a_log_that_records_nothing_holds_a_program_for_its_patience_only(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """PT-04 PT-06: who looks beside the log is not kept waiting; what the log lacks it counts."""
    recorder, start = Recorder(), trio.current_time()
    recorder.stalled = True
    output = recorder.output()
    piece, count = bytes(PACE.largest_bytes), 40
    with trio.fail_after(60):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(output.send_due)
            for _ in range(count):
                await output.feed("stdout", piece, 2.0)
            nursery.cancel_scope.cancel()
    # Once, and not for each.
    assert trio.current_time() - start == pytest.approx(2.0, abs=1.0)
    recorder.stalled = False
    await output.finish()
    assert sum(map(size_of, recorder.pieces)) == count * len(piece)
    # It records again, so the program waits for it again, as any does.
    recorder.stalled, before = True, trio.current_time()
    with trio.move_on_after(10):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(output.send_due)
            for _ in range(4):
                await output.feed("stdout", piece)
    assert trio.current_time() - before == 10


async def test_the_first_line_comes_at_once_and_later_ones_together(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """QA-04"""
    recorder, start = Recorder(), trio.current_time()
    async with open_output(recorder.output(), 1.0) as feed:
        await feed("stdout", b"one\n")
        await trio.sleep(0.01)
        await feed("stdout", b"two\n")
        await feed("stdout", b"three\n")
        await trio.sleep(1)
    told = [(round(at - start, 6), joined(pieces)) for at, pieces in recorder.batches]
    assert told == [(0, b"one\n"), (0.1, b"two\nthree\n")]


async def test_a_fast_writer_is_not_slowed_to_the_pace_of_the_throttle(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """QA-04"""
    recorder, start = Recorder(), trio.current_time()
    async with open_output(recorder.output(), 1.0) as feed:
        for _ in range(90):
            await feed("stdout", b"a" * 999 + b"\n")
        assert trio.current_time() == start
    assert joined(recorder.pieces) == (b"a" * 999 + b"\n") * 90


async def test_a_source_waits_while_its_pieces_are_on_their_way(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """QA-05: what is read and not recorded is bounded."""
    recorder = Recorder()
    recorder.stalled = True
    fed_bytes = 0
    with trio.move_on_after(100) as scope:
        async with open_output(recorder.output(), 1.0) as feed:
            while True:
                await feed("stdout", b"a" * 100)
                fed_bytes += 100
    assert scope.cancelled_caught
    assert fed_bytes <= 2 * PACE.largest_bytes


async def test_the_end_is_recorded_after_a_cancel(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """RS-05, DS-03: all of it once, wherever the cancel met it."""
    for steps in range(8):
        recorder = Recorder()
        with trio.CancelScope() as scope:
            async with open_output(recorder.output(), 1.0) as feed:
                await feed("stdout", b"a" * 100 + b"z")
                await feed("stderr", b"b")
                for _ in range(steps):
                    await trio.lowlevel.checkpoint()
                scope.cancel(reason="test")
                await trio.sleep_forever()
        assert joined(recorder.pieces) == b"a" * 100 + b"z"
        assert joined(recorder.pieces, "stderr") == b"b"


async def test_a_failure_comes_out_as_it_is_and_after_the_end(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """DS-03"""
    recorder = Recorder()
    with pytest.raises(KeyError):
        async with open_output(recorder.output(), 1.0) as feed:
            await feed("stdout", b"first")
            await feed("stdout", b"second")
            raise KeyError
    assert joined(recorder.pieces) == b"firstsecond"


async def test_a_failure_after_a_cancel_is_not_lost(
    autojump_clock: trio.testing.MockClock,
) -> None:
    with pytest.RaisesGroup(KeyError), trio.CancelScope() as scope:
        async with open_output(Recorder().output(), 1.0):
            scope.cancel(reason="test")
            raise KeyError


async def test_a_stalled_recorder_holds_a_cancel_only_for_the_bound(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """CN-04"""
    recorder, start = Recorder(), trio.current_time()
    with trio.CancelScope() as scope:
        async with open_output(recorder.output(), 1.0) as feed:
            await feed("stdout", b"a")
            await feed("stdout", b"b")
            recorder.stalled = True
            scope.cancel(reason="test")
            await trio.sleep_forever()
    assert scope.cancelled_caught
    assert trio.current_time() - start == pytest.approx(1.0)


async def test_what_an_outage_of_the_store_lost_is_told_in_bytes(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """PT-04, D-16: the program goes on, and who reads is told."""
    recorder = Recorder()
    async with open_output(recorder.output(), 1.0) as feed:
        await feed("stdout", b"before\n")
        await trio.sleep(1)
        recorder.dropping = True
        await feed("stdout", b"meanwhile\n")
        await trio.sleep(1)
        recorder.dropping = False
        await feed("stdout", b"after\n")
    told = [(p.text, p.bytes) for p in recorder.pieces]
    assert told == [("before\n", None), (None, 10), ("after\n", None)]


async def test_two_programs_of_one_run_share_its_output(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """PT-03"""
    recorder = Recorder()
    output = recorder.output()

    async def say(word: bytes) -> None:
        async with open_output(output, 1.0) as feed:
            for _ in range(300):
                await feed("stdout", word)
                await trio.sleep(0.01)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(say, b"one\n")
        nursery.start_soon(say, b"two\n")
    said = joined(recorder.pieces)
    assert (said.count(b"one\n"), said.count(b"two\n")) == (300, 300)
