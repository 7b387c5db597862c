"""Facts and alerts as lines of a tail."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from penstock.words.display import Span
from penstock.words.events import DAEMON_STREAM, ModelAnswered
from penstock.words.output_lines import OutputLine
from penstock.words.recorded import Recorded
from penstock.words.sentences import detail_of
from penstock.words.sgr import PLAIN
from penstock.words.text import shortened
from penstock_tui.alerts import Alert
from penstock_tui.widgets.tail_line import Line
from penstock_tui.wording import clock_time, lines_of, plain

_TONES = {
    "box.lost": "error",
    "run.failed": "error",
    "test.failed": "error",
    "step.failed": "error",
    "run.completed": "success",
    "test.passed": "success",
    "milestone": "success",
    "run.cancelled": "dim",
    "run.cancel_requested": "warning",
    "ask.raised": "warning",
    "bug.reported": "warning",
    "backpressure.raised": "warning",
    "subscriber.lagged": "error",
    "log": "dim",
    "artifact.partial": "dim",
    "progress": "dim",
    "model.progress": "dim",
}
_STREAM_TONES = {"stderr": "warning", "pipeline": "", "stdout": ""}


def tone_of(fact: Recorded) -> str:
    """The colour of a fact; most have none."""
    return _TONES.get(fact.type, "")


def event_line(fact: Recorded, inputs: Mapping[str, Any] | None = None) -> Line:
    """A fact among those of all runs; `inputs` are its run's."""
    who = "" if fact.run_id == DAEMON_STREAM else plain(fact.run_id)
    said = plain(detail_of(fact, inputs))
    return Line(
        f"{fact.position:>7}  {fact.type:<18} {shortened(who, 14):<14} {said}",
        tone_of(fact),
    )


def timeline_line(fact: Recorded, inputs: Mapping[str, Any] | None = None) -> Line:
    """A fact among those of its own run, whose inputs these are."""
    at, said = clock_time(fact.at, millis=True), plain(detail_of(fact, inputs))
    return Line(f"{at}  {fact.position:>7}  {fact.type:<20} {said}", tone_of(fact))


def log_line(printed: OutputLine, at: datetime | None = None) -> Line:
    """A line of what a run printed, in the colours that it was printed in; it was whole `at` this time."""
    tone = "dim" if printed.missing else _STREAM_TONES[printed.stream]
    spans = tuple(Span(plain(text), style) for text, style in printed.line.spans)
    text = "".join(span.text for span in spans)
    coloured = any(span.style != PLAIN for span in spans)
    time = "" if at is None else clock_time(at)
    return Line(text, tone, spans if coloured else (), printed.stream, time)


def exchange_lines(exchange: ModelAnswered) -> list[Line]:
    """What a model was sent and said, and whether that could be used."""
    lines = []
    for message in exchange.sent:
        cut = f", {message.left_out} characters left out" if message.left_out else ""
        lines.append(Line(f"── sent, {plain(message.role)}{cut}", "dim"))
        lines += [Line(line, "dim") for line in lines_of(message.content)]
    if exchange.thoughts:
        lines.append(Line("── thought", "dim"))
        lines += [Line(line, "dim") for line in lines_of(exchange.thoughts)]
    who = f"── {exchange.question} {exchange.model}, answer {exchange.attempt}"
    lines += [Line(plain(who)), *(Line(line) for line in lines_of(exchange.said))]
    if exchange.refused:
        lines.append(Line(plain(f"── not usable: {exchange.refused}"), "warning"))
    return lines


def alert_line(alert: Alert) -> Line:
    return Line(f"{clock_time(alert.at)}  {alert.text}", alert.tone)
