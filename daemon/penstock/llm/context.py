"""The four layers a model sees, in order: system prompt, state, earlier events, the event at hand."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from penstock.llm.chat import Message
from penstock.llm.prompts import PromptCache
from penstock.llm.relevance import LIMIT, relevant
from penstock.llm.summaries import KEEP, describe, summarise
from penstock.llm.tokens import estimate
from penstock.words.recorded import Recorded


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
    limit: int = LIMIT,
    keep: int = KEEP,
) -> Layers:
    """The layers for a question about `current`; valid with no history at all.

    `events` is the run's history in order. Without a current event the prompt is the generic one
    and the newest `limit` events are shown.
    """
    earlier = [e for e in events if current is None or e.sequence < current.sequence]
    if current is None:
        shown: Sequence[Recorded] = earlier[-limit:] if limit else ()
    else:
        shown = relevant(earlier, current, limit=limit)
    return Layers(
        system=prompts.get(current.type if current else ""),
        state=describe(events),
        events=summarise(shown, keep).events,
        current=current.body.decode() if current else "",
    )


def arrange(layers: Layers, messages: Sequence[Message]) -> list[Message]:
    """The messages with the layers around them.

    The first system message begins with the system prompt. State and earlier events stand before
    the question, inside the last user message, since many chat formats take no two messages of one
    role in a row.
    """
    arranged = list(messages)
    if layers.system:
        if arranged and arranged[0].role == "system":
            arranged[0] = _before(arranged[0], layers.system)
        else:
            arranged.insert(0, Message("system", layers.system))
    told = [
        f"{title}:\n{text}"
        for title, text in (
            ("State of the run", layers.state),
            ("Earlier events", layers.events),
            ("Current event", layers.current),
        )
        if text
    ]
    if told:
        place = max(
            (i for i, message in enumerate(arranged) if message.role == "user"),
            default=None,
        )
        if place is None:
            arranged.append(Message("user", "\n\n".join(told)))
        else:
            arranged[place] = _before(arranged[place], "\n\n".join(told))
    return arranged


def _before(message: Message, text: str) -> Message:
    return replace(message, content=f"{text}\n\n{message.content}")
