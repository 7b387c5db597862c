"""System prompts by event type, made once and kept."""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Callable, Mapping

_log = logging.getLogger(__name__)

#: Prompts kept: far more than there are event types, and still no way to fill the memory.
CAPACITY = 256

#: For event types that nobody wrote a prompt for.
GENERIC = (
    "You are a careful assistant inside a build pipeline. Answer only what is asked, in exactly the "
    "form that is asked for."
)

#: What a model should keep in mind when it answers to an event of this type.
BY_TYPE: Mapping[str, str] = {
    "run.started": (
        "You plan software. Split the task into few small modules, each with one purpose and "
        "testable alone, and name what each needs of the others."
    ),
    "module.started": (
        "You write software. Write complete, plain, working code for the one module at hand, with "
        "tests that fail if it is wrong. Leave nothing out."
    ),
    "test.failed": (
        "You repair software. Find the cause in the test output first, then change as little as "
        "will do. Never weaken a test to make it pass."
    ),
    "bug.reported": (
        "You repair software. Decide whether the report is right about the code at hand, then "
        "change as little as will do."
    ),
    "code.generated": (
        "You review software. Report only what is wrong for certain, with the line and the reason."
    ),
    "step.completed": (
        "You observe, then decide on one next step towards the goal, or say that it is reached."
    ),
}


def look_up(event_type: str) -> str:
    """The prompt written for an event type. KeyError if there is none."""
    return BY_TYPE[event_type]


class PromptCache:
    """Prompts by event type. `make` makes one, and raises KeyError for a type it does not know."""

    def __init__(
        self,
        make: Callable[[str], str] = look_up,
        *,
        generic: str = GENERIC,
        capacity: int = CAPACITY,
    ) -> None:
        self._make = make
        self._generic = generic
        self._capacity = capacity
        self._made: OrderedDict[str, str] = OrderedDict()

    def __len__(self) -> int:
        return len(self._made)

    def get(self, event_type: str) -> str:
        """The prompt for an event type.

        The generic one if the type is unknown, or if making it fails twice; a failure is not kept.
        """
        if event_type in self._made:
            self._made.move_to_end(event_type)
            return self._made[event_type]
        prompt = self._try(event_type)
        if prompt is None:
            return self._generic
        self._made[event_type] = prompt
        if len(self._made) > self._capacity:
            self._made.popitem(last=False)
        return prompt

    def clear(self) -> None:
        """Forget every prompt; the next `get` makes it anew."""
        self._made.clear()

    def _try(self, event_type: str) -> str | None:
        for _ in range(2):
            try:
                return self._make(event_type)
            except KeyError:
                return None
            except Exception:  # noqa: BLE001 - a broken prompt must not end a run
                _log.warning(
                    "no prompt could be made for %s", event_type, exc_info=True
                )
        return None
