"""What a fact says in one line: one table for every surface. Values in, text out.

A line either shows the fact's type, and `detail_of` stands beside it, or it does not, and
`sentence_of` says it all. The text may be anybody's and is as it came: who shows it makes it
harmless.
"""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any, NamedTuple

from penstock.words.display import plain_text
from penstock.words.printed import ShownFact, text_of

# A command shows facts on plain dicts: models take longer to import than it does all else.
if TYPE_CHECKING:
    from penstock.words import events as e
    from penstock.words.recorded import Recorded

#: Items of a list, and characters of a value that is no text, that a line has room for.
MOST_ITEMS = 8
LONGEST_VALUE = 200
#: Characters of a name that is made of a command line.
LONGEST_MADE_NAME = 40


def detail_of(fact: Recorded, inputs: Mapping[str, Any] | None = None) -> str:
    """What a fact says beside its type; `inputs` are its run's, which only `run.queued` has.

    A fact that is not understood is told as it was recorded.
    """
    from penstock.words.events import RunStarted, UnknownEvent

    event = fact.event
    if isinstance(event, RunStarted):
        return _begin(event, inputs or {})
    if isinstance(event, UnknownEvent):
        return fact.body.decode(errors="replace")
    return SENTENCES[event.type].detail(event)


def queue_name(group: str | None) -> str:
    """What the queue (None) or a group of it is called within a sentence."""
    return "the queue" if group is None else f"the group {group!r}"


def drained_sentence(group: str | None) -> str:
    """Why the queue or a group takes no new run."""
    return f"{queue_name(group)} is drained and takes no new runs until `resume`"


def sentence_of(fact: ShownFact) -> str | None:
    """What a fact says on its own, without the run's name; None if it is not worth a line, "" if just this one is not.

    One with more fields than this version knows says what it can, or what was recorded.
    """
    sentence = SENTENCES.get(fact.type)
    if sentence is None or sentence.alone is None:
        return None
    try:
        return sentence.alone(fact.event)
    except (AttributeError, TypeError, ValueError, LookupError, ArithmeticError):
        # Of this type, but of another version's shape.
        return f"{fact.type} {fact.body.decode(errors='replace')}"


def about(inputs: Mapping[str, Any]) -> str:
    """What a run was asked for: its command, prompt or source."""
    argv = inputs.get("argv")
    if isinstance(argv, list | tuple) and argv:
        return shlex.join(str(word) for word in argv)
    for key in ("prompt", "shell", "source", "repo", "path", "url", "goal", "text"):
        if isinstance(inputs.get(key), str) and inputs[key]:
            return str(inputs[key])
    return next((str(value) for value in inputs.values() if isinstance(value, str)), "")


def made_name(kind: str, inputs: Mapping[str, Any]) -> str:
    """A name that tells what is run: `make-backup`. It is no number alone, which would be a run's."""
    words = re.findall(r"\w+", about(inputs)) or [kind]
    name = "-".join(words)[:LONGEST_MADE_NAME].strip("-")
    return f"{name}-" if name.isdecimal() else name


def number(count: float) -> str:
    """A count in at most five characters: 981, 48.2k, 1.3M."""
    if count < 1000:
        return f"{count:.0f}"
    for unit in "kMG":
        count /= 1000
        if count < 1000:
            return f"{count:.1f}{unit}" if count < 100 else f"{count:.0f}{unit}"
    return f"{count:.0f}T"


def ordinal(place: int) -> str:
    """1st, 2nd, 3rd, 4th, 11th, 21st."""
    teen = place % 100 in (11, 12, 13)
    return f"{place}{'th' if teen else _ENDINGS.get(place % 10, 'th')}"


_ENDINGS = {1: "st", 2: "nd", 3: "rd"}


def clause(sentence: str) -> str:
    """A sentence as it stands within another, or after a colon."""
    return sentence[:1].lower() + sentence[1:].rstrip(".")


def size(count: int) -> str:
    """Bytes: 12 MiB."""
    amount = float(count)
    for unit in ("B", "KiB", "MiB"):
        if amount < 1024:
            return f"{amount:.0f} {unit}"
        amount /= 1024
    return f"{amount:.1f} GiB"


class Sentence(NamedTuple):
    """How facts of one type are told: beside the type's name, and on their own."""

    detail: Callable[[Any], str]
    alone: Callable[[Any], str] | None = None


def _pairs(event: e.Fact) -> str:
    """Every field that is not at its default, by name."""
    data = event.model_dump(mode="json", exclude={"type"}, exclude_defaults=True)
    return "  ".join(f"{key}={_short(value)}" for key, value in data.items())


def _short(value: Any) -> str:
    if isinstance(value, list | tuple):
        return ", ".join(_short(item) for item in value[:MOST_ITEMS])
    return value if isinstance(value, str) else _json(value)[:LONGEST_VALUE]


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def _begin(event: e.RunQueued | e.RunStarted, inputs: Mapping[str, Any]) -> str:
    named = {"parent_id", "retry_of", "after", "group", "attempt"}
    data = event.model_dump(mode="json", include=named, exclude_defaults=True)
    rest = "  ".join(f"{key}={_short(value)}" for key, value in data.items())
    return f"{event.kind}  {about(inputs)}  {rest}".strip()


def _milestone(event: e.Milestone, between: str = " ") -> str:
    pairs = (f"{key}={_json(value)}" for key, value in event.metadata.items())
    return between.join([event.name, *pairs])


def _progress(event: e.Progress) -> str:
    known = event.fraction is not None
    return f"{event.step}  {event.fraction:.0%}".strip() if known else event.step


def _artifact(event: e.ArtifactCompleted) -> str:
    path = f"  {event.path}" if event.path else ""
    return f"{event.artifact_id}  {size(event.size)}{path}"


def left_line(leftover: int) -> str:
    """What became of processes that outlived their program."""
    if leftover == 1:
        return "1 process it left was ended"
    return f"{leftover} processes it left were ended"


def _exited(event: e.ProcessExited) -> str:
    how = f"signal {event.signal}" if event.signal else f"status {event.exit_code}"
    left = event.survivors
    survivors = f"  survivors {left if isinstance(left, str) else list(left)}"
    ended = f"  {left_line(event.leftover)}" if event.leftover else ""
    return f"pid {event.pid}  {how}{ended}{survivors if left else ''}"


def _model_used(event: e.ModelUsed) -> str:
    given, came = number(event.tokens_in), number(event.tokens_out)
    return f"{event.model}  {given} tokens in  {came} out  {event.seconds:.1f} s"


def model_doing(event: e.ModelProgress) -> str:
    """What a model does now, in a few words."""
    tokens = f"{event.tokens:,}"
    if event.phase == "reading":
        read = "" if event.read is None else f"{event.read:,} of "
        return f"reading {read}{tokens} tokens"
    speed = "" if event.per_second is None else f" at {event.per_second:.1f}/s"
    return f"{event.phase} {tokens}{speed}"


def _model_answered(event: e.ModelAnswered) -> str:
    said = f"not usable: {event.refused}" if event.refused else "used"
    return f"{event.question or 'a question'}  {event.model}  answer {event.attempt}  {said}"


def _log(event: e.Log) -> str:
    return plain_text(text_of(event)).rstrip("\n")


def _answered(event: e.AskAnswered) -> str:
    return f"{event.name}: {event.answer} (by {event.by})"


def _said(event: e.AgentSaid) -> str:
    return plain_text(event.text).strip() if event.role == "agent" else ""


def _called(event: e.ToolCalled) -> str:
    """What the tool does, unless its title begins with that."""
    title = event.title or ", ".join(event.paths[:MOST_ITEMS])
    if not title or title.lower().startswith(event.tool):
        return title or event.tool
    return f"{event.tool}: {title}"


def _tool_ended(event: e.ToolEnded) -> str:
    """How it went wrong; what went well says nothing that its beginning did not."""
    said = event.output.strip().splitlines()
    why = f": {said[-1]}" if said else ""
    return "" if event.status == "completed" else f"tool {event.status}{why}"


def _plan(event: e.PlanUpdated) -> str:
    """How far, and what comes now; of the entries as models or as plain JSON has them."""
    entries = [e if isinstance(e, Mapping) else e.model_dump() for e in event.entries]
    done = sum(entry.get("status") == "completed" for entry in entries)
    now = next((e["content"] for e in entries if e.get("status") == "in_progress"), "")
    return f"plan: {done} of {len(entries)} done{f', now: {now}' if now else ''}"


def _raised(event: e.BackpressureRaised) -> str:
    if event.level == "critical":
        return f"{event.gauge} full: {event.used}/{event.capacity}"
    return f"{event.gauge} {event.used}/{event.capacity}, above 80 %"


def _queue(
    event: e.QueuePaused | e.QueueResumed | e.QueueDrained | e.QueueOpened,
) -> str:
    return "queue" if event.group is None else f"group {event.group}"


def _requeued(event: e.RunRequeued) -> str:
    # On plain dicts it is there only where there is one.
    if getattr(event, "not_before", None) is None:
        aside = ", stashed" if getattr(event, "stashed", False) else ""
        return f"back in the queue ({event.reason}{aside})"
    return f"failed, and is tried again at {_clock(event.not_before)}: {event.error}"


def _rearranged(event: e.RunRearranged) -> str:
    said = []
    if event.priority is not None:
        said.append(f"priority {event.priority}")
    if event.turn is not None:
        said.append("moved in the line")
    if event.stashed:
        said.append("stashed")
    elif event.not_before is not None:
        said.append(f"not before {_clock(event.not_before)}")
    elif event.stashed is not None:
        said.append("enqueued")
    return ", ".join(said)


def _clock(moment: Any) -> str:
    """A time of day here, of a moment as a model or as plain JSON has it."""
    if isinstance(moment, str):
        moment = datetime.fromisoformat(moment)
    return str(moment.astimezone().strftime("%Y-%m-%d %H:%M:%S"))


def _slots(event: e.SlotsChanged) -> str:
    whose = "" if event.group is None else f" of the group {event.group}"
    if box := getattr(event, "box", ""):
        whose = f" of the box {box}"
    count = "as configured" if event.slots is None else str(event.slots)
    return f"slots{whose}: {count}"


def _daemon_started(event: e.DaemonStarted) -> str:
    found = {
        "requeued": event.requeued,
        "failed": event.failed,
        "cancelled": event.cancelled,
        "asked about": event.asked,
    }
    repaired = ", ".join(f"{len(ids)} {word}" for word, ids in found.items() if ids)
    where = f" on the box {box}" if (box := getattr(event, "box", "")) else ""
    return f"daemon {event.version} started{where}" + (
        f": {repaired}" if repaired else ""
    )


def _daemon_stopping(event: e.DaemonStopping) -> str:
    where = f" of the box {box}" if (box := getattr(event, "box", "")) else ""
    return f"daemon{where} stops {event.reason}".rstrip()


#: By type; each known one stands here.
SENTENCES: Mapping[str, Sentence] = {
    "run.queued": Sentence(lambda e: _begin(e, e.inputs)),
    "run.started": Sentence(lambda e: _begin(e, {}), lambda e: "started"),
    "run.resumed": Sentence(_pairs, lambda e: f"resumed (attempt {e.attempt})"),
    # Its kind and subject say the same, for programs.
    "run.waiting": Sentence(lambda e: e.reason, lambda e: f"waiting: {e.reason}"),
    "run.preempted": Sentence(_pairs, lambda e: f"preempted by {e.by}"),
    "run.requeued": Sentence(_pairs, _requeued),
    "run.paused": Sentence(_pairs, lambda e: "paused"),
    "run.continued": Sentence(_pairs, lambda e: "goes on"),
    "run.rearranged": Sentence(_pairs, _rearranged),
    "run.edited": Sentence(
        lambda e: about(e.inputs), lambda e: f"edited: {about(e.inputs)}"
    ),
    "run.cancel_requested": Sentence(
        lambda e: e.reason, lambda e: f"cancel requested: {e.reason}"
    ),
    "run.completed": Sentence(lambda e: _short(e.result or ""), lambda e: "completed"),
    "run.failed": Sentence(
        lambda e: f"{e.reason}: {e.error}", lambda e: f"failed: {e.error or e.reason}"
    ),
    "run.cancelled": Sentence(
        lambda e: e.reason, lambda e: f"was cancelled: {e.reason}"
    ),
    "plan.completed": Sentence(
        _pairs, lambda e: f"plan: {len(e.modules)} modules {e.summary}"
    ),
    "module.started": Sentence(_pairs, lambda e: f"module {e.module}"),
    "module.iterated": Sentence(_pairs),
    "code.generated": Sentence(_pairs),
    "test.started": Sentence(_pairs),
    "test.passed": Sentence(_pairs, lambda e: f"tests passed {e.summary}"),
    "test.failed": Sentence(_pairs, lambda e: f"tests failed: {e.summary or e.reason}"),
    "bug.reported": Sentence(_pairs),
    "correction.started": Sentence(_pairs),
    "correction.completed": Sentence(_pairs),
    "analysis.completed": Sentence(_pairs),
    "step.completed": Sentence(_pairs),
    "step.failed": Sentence(_pairs, lambda e: f"step {e.name} failed: {e.error}"),
    "milestone": Sentence(lambda e: _milestone(e, "  "), _milestone),
    "progress": Sentence(_progress, _progress),
    "artifact.partial": Sentence(
        lambda e: f"{e.artifact_id}  +{len(e.text)} characters"
    ),
    "artifact.completed": Sentence(_artifact, _artifact),
    "log": Sentence(_log, _log),
    "log.truncated": Sentence(
        lambda e: f"{size(e.dropped_bytes)} of output not kept",
        lambda e: f"{e.dropped_bytes} bytes of {e.stream} were not kept",
    ),
    "process.started": Sentence(
        lambda e: f"pid {e.pid}  {e.method}  {shlex.join(e.argv)}"
    ),
    "process.exited": Sentence(_exited),
    "model.used": Sentence(_model_used),
    "model.answered": Sentence(
        _model_answered,
        lambda e: (
            f"{e.model}: an answer could not be used: {e.refused}" if e.refused else ""
        ),
    ),
    "model.progress": Sentence(model_doing),
    "agent.said": Sentence(lambda e: f"{e.role}: {plain_text(e.text)}", _said),
    "tool.called": Sentence(_called, _called),
    "tool.ended": Sentence(lambda e: f"{e.call}  {e.status}", _tool_ended),
    "plan.updated": Sentence(_plan, _plan),
    "ask.raised": Sentence(
        lambda e: f"{e.name}: {e.question}", lambda e: f"asks {e.name}: {e.question}"
    ),
    "ask.answered": Sentence(_answered, _answered),
    "ask.withdrawn": Sentence(
        lambda e: f"{e.name}: {e.reason}",
        lambda e: f"no longer asks {e.name}: {e.reason}",
    ),
    "intervention.received": Sentence(lambda e: e.text),
    "backpressure.raised": Sentence(
        lambda e: f"{e.gauge} {e.used}/{e.capacity} ({e.level})", _raised
    ),
    "backpressure.cleared": Sentence(
        lambda e: f"{e.gauge} {e.used}/{e.capacity}",
        lambda e: f"{e.gauge} back at {e.used}/{e.capacity}",
    ),
    "subscriber.lagged": Sentence(
        lambda e: f"{e.subscriber} dropped {e.dropped} events",
        lambda e: f"client {e.subscriber} dropped {e.dropped} events",
    ),
    "queue.paused": Sentence(
        _pairs, lambda e: f"{_queue(e)} paused {e.reason}".rstrip()
    ),
    "queue.resumed": Sentence(_pairs, lambda e: f"{_queue(e)} resumed"),
    "queue.drained": Sentence(_pairs, lambda e: f"{_queue(e)} takes no new runs"),
    "queue.opened": Sentence(_pairs, lambda e: f"{_queue(e)} takes new runs again"),
    "failures.dismissed": Sentence(
        lambda e: " ".join(e.runs), lambda e: f"dismissed: {', '.join(e.runs)}"
    ),
    "slots.changed": Sentence(_pairs, _slots),
    "schedule.set": Sentence(
        lambda e: f"{e.name}  {e.timing}  {e.kind}  {about(e.inputs)}".rstrip(),
        lambda e: f"schedule {e.name}: {e.timing} ({e.zone})",
    ),
    "schedule.removed": Sentence(_pairs, lambda e: f"schedule {e.name} removed"),
    "schedule.skipped": Sentence(
        _pairs,
        lambda e: f"schedule {e.name} passed over at {_clock(e.due)}: {e.reason}",
    ),
    "box.lost": Sentence(
        lambda e: f"{e.box}  silent for {e.silent_seconds:.0f} s",
        lambda e: f"box {e.box} is lost: silent for {e.silent_seconds:.0f} s",
    ),
    "box.forgotten": Sentence(
        lambda e: e.box, lambda e: f"box {e.box} is forgotten, until it comes back"
    ),
    "box.drained": Sentence(
        lambda e: e.box, lambda e: f"box {e.box} drains: it starts no more runs"
    ),
    "box.resumed": Sentence(
        lambda e: e.box, lambda e: f"box {e.box} starts runs again"
    ),
    "daemon.started": Sentence(_pairs, _daemon_started),
    "daemon.stopping": Sentence(_pairs, _daemon_stopping),
}
