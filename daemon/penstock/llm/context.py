"""What a run has recorded, as the layers that a model is told."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from uuid import UUID

from penstock.llm.chat import Message
from penstock.llm.prompts import PromptCache
from penstock.llm.summaries import KEEP, body_of, describe, summarise, told
from penstock.llm.token_estimate import estimate
from penstock.runs.run import Run
from penstock.words.errors import Refused
from penstock.words.events import DROPPABLE_TYPES, EVENT_CLASSES
from penstock.words.recorded import Recorded

#: Facts that a model is told of, for every kind: what was planned, done, found and said, and nothing
#: of processes, slots, clocks and money, which no answer depends on.
TOLD_TYPES = frozenset({
    "plan.completed", "module.started", "module.iterated", "code.generated", "test.started",
    "test.passed", "test.failed", "bug.reported", "correction.started", "correction.completed",
    "analysis.completed", "step.failed", "milestone", "ask.answered", "intervention.received",
})  # fmt: skip

#: Told beside them where the event at hand is one: most kinds tell otherwise what their steps came to.
STEPS = "step.completed"

#: Where the layers stand in a question that says so; else they stand before it.
LAYERS_HERE = "\x00layers\x00"

# Facts read at once.
_PAGE = 500

#: Facts that layers are made from, the run's moves for its state; those of older and newer daemons
#: are not among them.
READ_TYPES = (
    frozenset(EVENT_CLASSES) - DROPPABLE_TYPES - {"model.used", "model.answered"}
)

#: Events that a prompt is made from, unless the caller wants others: a chain of modules has long
#: forgotten what lies further back.
MOST_RELATED = 50


@dataclass(frozen=True, slots=True)
class Layers:
    """What a model is told; any layer may be empty."""

    system: str = ""
    state: str = ""
    events: str = ""
    #: The event at hand. A request fills it with the question itself.
    current: str = ""

    def counts(self) -> dict[str, int]:
        """Estimated tokens by layer, in order."""
        return {
            "system prompt": estimate(self.system),
            "state summary": estimate(self.state),
            "compressed events": estimate(self.events),
            "current event": estimate(self.current),
        }


def build_layers(
    prompts: PromptCache,
    events: Sequence[Recorded],
    current: Recorded | None = None,
    *,
    limit: int = MOST_RELATED,
    keep: int = KEEP,
) -> Layers:
    """The layers for a question about `current`; valid with no history at all.

    `events` is the run's history in order. Without a current event the prompt is the generic one
    and the newest `limit` events are shown.
    """
    earlier = [
        e
        for e in events
        if is_told(e, current) and (current is None or e.sequence < current.sequence)
    ]
    if current is None:
        shown: Sequence[Recorded] = earlier[-limit:] if limit else ()
    else:
        shown = relevant(earlier, current, limit=limit)
    return Layers(
        system=prompts.get(current.type if current else ""),
        state=describe(events),
        events=summarise(shown, keep, told).events,
        current=told(current) if current else "",
    )


def is_told(fact: Recorded, current: Recorded | None) -> bool:
    """Whether a model is told of a fact, in a question about `current`."""
    steps = current is not None and current.type == STEPS
    return fact.type in TOLD_TYPES or (steps and fact.type == STEPS)


def arrange(layers: Layers, messages: Sequence[Message]) -> list[Message]:
    """The messages with the layers around them.

    The first system message begins with the system prompt. State and earlier events stand inside
    the last user message, since many chat formats take no two messages of one role in a row: where the
    question says so, behind what stays the same from one question to the next, so that the server
    need not read that again; else before the question.
    """
    arranged = list(messages)
    if layers.system:
        if arranged and arranged[0].role == "system":
            arranged[0] = _before(arranged[0], layers.system)
        else:
            arranged.insert(0, Message("system", layers.system))
    parts = [
        f"{title}:\n{text}"
        for title, text in (
            ("State of the run", layers.state),
            ("Earlier events", layers.events),
            ("Current event", layers.current),
        )
        if text
    ]
    if parts:
        place = max(
            (i for i, message in enumerate(arranged) if message.role == "user"),
            default=None,
        )
        if place is None:
            arranged.append(Message("user", "\n\n".join(parts)))
        else:
            arranged[place] = _with_layers(arranged[place], "\n\n".join(parts))
    return [_without_mark(message) for message in arranged]


def append(messages: Sequence[Message], text: str) -> list[Message]:
    """The messages with a text at the end, in the last one if that is the user's already."""
    if not text:
        return list(messages)
    if messages and messages[-1].role == "user":
        last = messages[-1]
        return [*messages[:-1], replace(last, content=f"{last.content}\n\n{text}")]
    return [*messages, Message("user", text)]


def _with_layers(message: Message, told: str) -> Message:
    if LAYERS_HERE not in message.content:
        return _before(message, told)
    content = message.content.replace(LAYERS_HERE, f"{told}\n\n", 1)
    return replace(message, content=content)


def _without_mark(message: Message) -> Message:
    if LAYERS_HERE not in message.content:
        return message
    return replace(message, content=message.content.replace(LAYERS_HERE, ""))


def _before(message: Message, text: str) -> Message:
    return replace(message, content=f"{text}\n\n{message.content}")


async def read_layers(run: Run, *, at: str | None = None) -> Layers:
    """The layers for a question about the run's newest fact of the type `at`, or about no fact.

    The event at hand stays empty: the question itself takes its place.
    """
    facts: list[Recorded] = []
    read = run.reads.read
    after = 0
    while page := await read(run.run_id, after, _PAGE, types=READ_TYPES):
        facts += page
        after = page[-1].position
    return replace(layers_at(facts, at), current="")


def layers_at(facts: Iterable[Recorded], at: str | None) -> Layers:
    """The layers of a run's history, in order, with its newest fact of a type at hand."""
    known = [fact for fact in facts if fact.type in READ_TYPES]
    current = next((fact for fact in reversed(known) if fact.type == at), None)
    return build_layers(PromptCache(), known, current)


def relevant(
    events: Sequence[Recorded], current: Recorded, *, limit: int = MOST_RELATED
) -> tuple[Recorded, ...]:
    """The newest `limit` events that fit `current`, by sequence.

    An event fits if it is of the same run and module, and of the same code version or among the
    causes of `current`. A cause that is missing ends the chain there. Refused for a negative limit.
    """
    if limit < 0:
        raise Refused("limit", "must not be negative")
    chain = _causes(events, current)
    module = module_of(current)
    fitting = [
        event
        for event in events
        if event.run_id == current.run_id
        and event.event_id != current.event_id
        and (event.code_version == current.code_version or event.event_id in chain)
        and module_of(event) == module
    ]
    fitting.sort(key=lambda event: event.sequence)
    return tuple(fitting[-limit:]) if limit else ()


def module_of(event: Recorded) -> str:
    """The module an event is about; "" for none."""
    # Most events have none, and searching is far cheaper than parsing.
    if b'"module"' not in event.body:
        return ""
    module = body_of(event).get("module")
    return module if isinstance(module, str) else ""


def _causes(events: Sequence[Recorded], current: Recorded) -> frozenset[UUID]:
    """Ids of what led to `current`, as far back as the events at hand tell; a cycle ends."""
    by_id = {
        event.event_id: event for event in events if event.run_id == current.run_id
    }
    found: set[UUID] = set()
    cause = current.causation_id
    while cause is not None and cause not in found and cause in by_id:
        found.add(cause)
        cause = by_id[cause].causation_id
    return frozenset(found)
