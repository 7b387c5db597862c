"""What the palette offers, and the keys as help lists them. Values in, values out."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from textual.binding import Binding

#: Title, what it does, and the action behind it.
OFFERS = (
    ("New run", "Submit a run", "submit"),
    ("Cancel run", "Cancel the run under the cursor", "cancel_run"),
    ("Retry run", "The same again", "retry_run"),
    ("Answer", "Answer what a run asks", "answer_run"),
    ("Say something", "Tell the run under the cursor something", "say"),
    ("Copy id", "Copy the id of the run", "copy_id"),
    ("Export run", "Write the run's facts to a file", "export_run"),
    ("Pause the view", "Freeze the picture, or go on", "pause"),
    ("Pause the queue", "Start no more runs", "pause_queue"),
    ("Resume the queue", "Start runs again", "resume_queue"),
)
#: Keys that every Textual program has, and nobody looks for in our help.
_KEYS_OF_TEXTUAL = ("super+", "ctrl+page", "ctrl+c", "left", "right")


def key_rows(
    bindings: Iterable[Binding], shown_as: Callable[[Binding], str]
) -> list[tuple[str, str]]:
    """The keys of each thing that can be done now."""
    keys: dict[str, list[str]] = {}
    for binding in bindings:
        if binding.description and not binding.key.startswith(_KEYS_OF_TEXTUAL):
            keys.setdefault(binding.description, []).append(shown_as(binding))
    return [(" ".join(said), what) for what, said in keys.items()]
