"""An exchange with a model as it is recorded: bounded, since prompts hold whole files. Values in, values out."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from penstock.llm.chat import Message
from penstock.words.events import ModelAnswered, SentMessage
from penstock.words.values import check_json

#: Characters of a prompt that are kept, all its messages together, and of an answer: what a small
#: model can take and give. Beginning and end say most, so it is the middle that is left out.
LARGEST_PROMPT = 96 * 1024
LARGEST_ANSWER = 64 * 1024
#: Characters of thoughts that are kept.
LARGEST_THOUGHTS = 16 * 1024
#: Characters of inputs and fields as values: only what is small makes an example to learn from.
LARGEST_VALUES = 64 * 1024
#: Stands where the middle was.
_LEFT_OUT = "\n…\n"


@dataclass(slots=True)
class Exchange:
    """One question to a model and its answer, while it is not known yet whether that can be used."""

    question: str
    attempt: int
    sent: Sequence[Message]
    model: str = ""
    said: str = ""
    thoughts: str = ""
    finish_reason: str = ""
    inputs: Mapping[str, Any] = field(default_factory=dict)
    fields: Mapping[str, Any] = field(default_factory=dict)

    def fact(self, refused: str = "") -> ModelAnswered:
        """As it is recorded; `refused` says why the answer was not used."""
        said, less = without_middle(self.said, LARGEST_ANSWER)
        thoughts, fewer = without_middle(self.thoughts, LARGEST_THOUGHTS)
        return ModelAnswered(
            question=self.question,
            attempt=self.attempt,
            model=self.model,
            sent=_sent(self.sent),
            said=said,
            thoughts=thoughts,
            left_out=less + fewer,
            refused=refused,
            finish_reason=self.finish_reason,
            inputs=_values(self.inputs),
            fields={} if refused else _values(self.fields),
        )


def without_middle(text: str, most: int) -> tuple[str, int]:
    """The text, or its beginning and its end; and how many characters are left out."""
    text = text.encode("utf-8", "replace").decode()
    if len(text) <= most:
        return text, 0
    half = max(1, (most - len(_LEFT_OUT)) // 2)
    return f"{text[:half]}{_LEFT_OUT}{text[-half:]}", len(text) - 2 * half


def _sent(messages: Sequence[Message]) -> tuple[SentMessage, ...]:
    """The messages as they are kept; what short ones leave of the room is for the long ones."""
    room, places = LARGEST_PROMPT, range(len(messages))
    kept: dict[int, SentMessage] = {}
    for place in sorted(places, key=lambda place: len(messages[place].content)):
        share = room // (len(messages) - len(kept))
        content, left_out = without_middle(messages[place].content, share)
        room -= min(len(content), share)
        role = messages[place].role
        kept[place] = SentMessage(role=role, content=content, left_out=left_out)
    return tuple(kept[place] for place in places)


def _values(values: Mapping[str, Any]) -> dict[str, Any]:
    """As JSON; {} if they are none, or large."""
    try:
        checked: dict[str, Any] = check_json(_plain(dict(values)))
    except ValueError:
        return {}
    return checked if len(json.dumps(checked)) <= LARGEST_VALUES else {}


def _plain(value: Any) -> Any:
    if hasattr(value, "model_dump"):
        return value.model_dump(mode="json")
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value
