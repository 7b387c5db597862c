"""Redaction: what must not be read later is never recorded."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest
import trio.testing

from fakes.cores import (
    Nothing,
    Seconds,
    fake_environment,
    kind,
    open_fake_core,
    request,
    wait_ended,
    whole_log,
)
from penstock.log.kept import ScheduleRow
from penstock.log.new_events import new_event
from penstock.log.redaction import REDACTED, make_redaction, make_text_redaction
from penstock.log.results import Result
from penstock.log.writes import (
    AdvanceSchedule,
    Append,
    Edit,
    RequestCancel,
    SetSchedule,
    Write,
)
from penstock.pipeline import Inputs, Kind, Run
from penstock.testing import START
from penstock.words.api import BugReportRequest
from penstock.words.errors import PenstockError, StartRefused
from penstock.words.events import Log, Milestone
from penstock.words.printed import bytes_of, piece_of

SECRET = "tok-1234567890"


class Words(Inputs):
    """Something to say."""

    text: str


async def tell(run: Run, _inputs: Seconds) -> Nothing:
    """Say the secret in every way a run has."""
    await run.log(f"the token is {SECRET}, and password=hunter2")
    await run.emit(Milestone(name="m", metadata={"deep": [{"x": SECRET}]}))
    async with run.artifact("a.txt") as artifact:
        await artifact.write(SECRET)
    raise PenstockError(f"it ends with {SECRET}")


async def test_a_secret_is_in_no_fact_but_an_artifact(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """API-07: of a log line, of nested data, of a failure, of labels and inputs as shown."""
    redact = make_redaction([r"password=\S+"], [SECRET])
    environment = replace(fake_environment(), redact=redact)
    async with open_fake_core(kind("tell", tell), environment=environment) as core:
        await core.submitter.submit(request("tell", "t"))
        await wait_ended(core, "t")
        bodies = {fact.type: fact.body.decode() for fact in await whole_log(core.store)}
        assert f"the token is {REDACTED}, and {REDACTED}" in bodies["log"]
        assert REDACTED in bodies["milestone"]
        assert REDACTED in bodies["run.failed"]
        assert SECRET in bodies.pop("artifact.partial")
        assert not [body for body in bodies.values() if SECRET in body]


def test_without_secrets_or_patterns_nothing_is_touched() -> None:
    """The way of every fact of most daemons."""
    write: object = object()
    assert make_redaction([], [""])(write) is write  # type: ignore[arg-type]


async def ask_twice(run: Run, _inputs: Seconds) -> Nothing:
    """Ask, and end with what was heard."""
    await run.ask("word", "Which word?")
    return Nothing()


async def test_what_people_say_is_redacted(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """API-07: inputs, labels, an answer, an intervention, a report, the reason of a cancel or pause."""
    environment = replace(fake_environment(), redact=make_redaction([], [SECRET]))
    async with open_fake_core(kind("ask", ask_twice), environment=environment) as core:
        labels = {"ticket": f"see {SECRET}"}
        await core.submitter.submit(request("ask", "a", labels=labels))
        with core.bus.subscribe("a", 0) as subscription:
            async for batch in subscription:
                if any(fact.type == "ask.raised" for fact in batch.facts):
                    break
        await core.control.intervene("a", f"use {SECRET}")
        report = BugReportRequest(text=f"{SECRET} fails", version=0)
        await core.control.report_bug("a", report)
        await core.control.answer("a", "word", f"it is {SECRET}", "me")
        await wait_ended(core, "a")
        await core.queue.pause(None, f"for {SECRET}")
        await core.submitter.submit(request("sleep", "b", seconds=1000))
        await core.control.cancel("b", f"{SECRET} is known", wait=True)
        await core.control.cancel("c", f"{SECRET} is known", wait=True)
        await core.queue.resume(None)
        assert (await core.submitter.submit(request("sleep", "c"))).view.ended
        await core.submitter.submit(request("sleep", "d", seconds=1000))
        await core.control.cancel("d", f"{SECRET} is known", wait=True)
        facts = await whole_log(core.store)
        views = [await core.reader.view(run_id) for run_id in "abcd"]
    told = {fact.type: fact.body.decode() for fact in facts if fact.run_id != "b"}
    for kind_of_fact in (
        "ask.answered", "intervention.received", "bug.reported", "queue.paused",
        "run.cancel_requested", "run.cancelled",
    ):  # fmt: skip
        assert REDACTED in told[kind_of_fact], kind_of_fact
    assert views[0].labels == {"ticket": f"see {REDACTED}"}
    assert [view.reason for view in views[1:]] == [f"{REDACTED} is known"] * 3
    assert not [fact for fact in facts if SECRET in fact.body.decode()]


async def test_a_secret_in_a_key_is_redacted_too(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """API-07: keys of labels, variables and metadata are words of somebody; names of fields are not."""

    class Table(Inputs):
        text: dict[str, str]

    async def tell_keys(run: Run, inputs: Table) -> Nothing:
        await run.emit(Milestone(name="m", metadata={"deep": [{SECRET: 1}]}))
        assert inputs.text == {SECRET: "x"}
        return Nothing()

    told = Kind("keys", "keys", Table, Nothing, tell_keys)
    environment = replace(
        fake_environment(), redact=make_redaction([SECRET, "metadata|labels|text"])
    )
    async with open_fake_core(told, environment=environment) as core:
        await core.submitter.submit(
            request("keys", "k", text={SECRET: "x"}, labels={SECRET: SECRET})
        )
        await wait_ended(core, "k")
        view = await core.reader.view("k")
        assert (view.state, view.labels) == ("completed", {REDACTED: REDACTED})
        log = await whole_log(core.store)
        assert not [f for f in log if SECRET in f.event.model_dump_json()]
        [said] = [f.event for f in log if isinstance(f.event, Milestone)]
        assert said.metadata == {"deep": [{REDACTED: 1}]}


async def test_what_an_open_run_asks_is_shown_redacted(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """API-07: what is folded of a fact is what was recorded of it, and not what was said."""
    environment = replace(fake_environment(), redact=make_redaction([], [SECRET]))

    async def ask(run: Run, _inputs: Seconds) -> Nothing:
        await run.ask("word", f"is it {SECRET}?")
        return Nothing()

    async with open_fake_core(kind("ask", ask), environment=environment) as core:
        await core.submitter.submit(request("ask", "a"))
        await trio.testing.wait_all_tasks_blocked()
        asked = core.table.views["a"].asks["word"]
        assert asked.question == f"is it {REDACTED}?"
        await core.control.cancel("a", "it was shown", wait=True)


@pytest.mark.parametrize(
    "write",
    [
        Edit("r", START, b"{}", b"", {"seconds": SECRET}),
        SetSchedule(
            ScheduleRow("n", "1h", "UTC", "{}", {"a": SECRET}, START, START),
            START,
            "k",
            9,
        ),
        AdvanceSchedule("n", START, START, START, "n@1", f"a: {SECRET} is no number"),
    ],
    ids=lambda write: type(write).__name__,
)
def test_what_is_told_of_a_change_is_redacted(write: Write[Result]) -> None:
    """API-07, DU-04: other inputs, those of a schedule, and why a due time was passed over."""
    clean = repr(make_redaction([], [SECRET])(write))
    assert SECRET not in clean
    assert REDACTED in clean


async def test_inputs_are_shown_redacted_and_kept_whole(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """API-07: whoever tries the run again needs them as they were."""
    environment = replace(fake_environment(), redact=make_redaction(["1[0-9]{3}"]))
    heard: list[str] = []

    async def listen(_run: Run, inputs: Words) -> Nothing:
        heard.append(inputs.text)
        return Nothing()

    say = Kind("say", "say", Words, Nothing, listen)
    async with open_fake_core(say, environment=environment) as core:
        await core.submitter.submit(request("say", "s", text="pin 1234"))
        await wait_ended(core, "s")
        assert (await core.reader.view("s")).inputs == {"text": f"pin {REDACTED}"}
        assert not [f for f in await whole_log(core.store) if "1234" in f.body.decode()]
        again = await core.submitter.retry("s")
        await wait_ended(core, again.view.run_id)
    assert heard == ["pin 1234"] * 2


def test_each_pattern_stands_on_its_own() -> None:
    """API-07: its groups keep their names and numbers beside those of others."""
    redact = make_redaction(
        [r"(a)(b)", r"(?P<q>x)(?P=q)", r"(?P<q>[0-9])\1", "(?i:pin)"]
    )
    at = datetime(2026, 1, 1, tzinfo=UTC)
    told = redact(RequestCancel("r", "ab xx 77 78 PIN", at))
    assert isinstance(told, RequestCancel)
    assert told.reason == f"{REDACTED} {REDACTED} {REDACTED} 78 {REDACTED}"


def test_a_pattern_that_matches_nothing_too_says_nothing_there() -> None:
    """API-07: one that ends with an alternative too many makes no text unreadable."""
    redact = make_text_redaction(["tok-[0-9]+|", "x*"])
    assert redact("ready tok-12 at once") == f"ready {REDACTED} at once"


def test_a_pattern_that_is_none_is_named() -> None:
    """APP-02"""
    with pytest.raises(StartRefused, match=r"redact: '\('"):
        make_redaction(["("])


@pytest.mark.parametrize("pattern", ["(?i)secret", "a(?i)b", "(?sx) a"])
def test_a_flag_for_a_whole_pattern_is_a_sentence(pattern: str) -> None:
    """APP-02: and it says how such a pattern is written."""
    with pytest.raises(StartRefused, match=r"redact: .*write \(\?i:"):
        make_redaction(["fine", pattern])


def printed(data: bytes, *patterns: str) -> bytes:
    """What is recorded of a piece of output."""
    redact = make_redaction(patterns, [] if patterns else [SECRET])
    made = new_event("r", piece_of("stdout", data), now=datetime.now(UTC))
    write = redact(Append((made,)))
    assert isinstance(write, Append)
    kept = Log.model_validate_json(write.new_events[0].body)
    assert kept.stream == "stdout"
    return bytes_of(kept) or b""


@pytest.mark.parametrize(
    ("data", "kept"),
    [
        (b"10 %\r20 %\r" + SECRET.encode() + b"\r\n", b"10 %\r20 %\r[redacted]\r\n"),
        (b"\x1b[1m" + SECRET.encode() + b"\x1b[m", b"\x1b[1m[redacted]\x1b[m"),
        (b"\xff\x00" + SECRET.encode() + b"\xfe", b"\xff\x00[redacted]\xfe"),
        (b"tok-\x1b[31m1234\x1b[0m567890 x", b"[redacted]\x1b[31m\x1b[0m x"),
        (
            b"\x1b[1mtok\x1b[m-\x1b[1m1234567890\x1b[m!",
            b"\x1b[1m[redacted]\x1b[m\x1b[1m\x1b[m!",
        ),
    ],
)
def test_a_secret_in_output_is_found_in_every_form(data: bytes, kept: bytes) -> None:
    """API-07: among bytes that are no text, and with colours in its midst."""
    assert printed(data) == kept


def test_a_pattern_sees_output_as_it_was_printed() -> None:
    """API-07: not the escapes that JSON writes for its tabs and quotes."""
    assert printed(b'pin\t"12\\34"\n', r'\t".*"') == b"pin[redacted]\n"
    assert printed(b"a\x1b[1mb\n", r"\x1b\[1m") == b"a[redacted]b\n"
