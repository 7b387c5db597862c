"""The keys that mean the same on every screen that is about a run, and what the palette offers."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from textual.binding import Binding

#: First in the footer, so that they are seen on the narrowest screen.
SCREEN_KEYS: list[Binding] = [
    Binding("question_mark", "app.keys", "Help", key_display="?", id="app.help"),
    Binding("q", "app.quit", "Quit", id="app.quit"),
]
RUN_KEYS: list[Binding] = [
    Binding("r", "app.submit", "Run", id="run.new"),
    Binding("c", "app.cancel_run", "Cancel", id="run.cancel"),
    Binding("R", "app.retry_run", "Retry", id="run.retry"),
    Binding("a", "app.answer_run", "Answer", id="run.answer"),
    Binding("d", "app.deny_run", "Deny", id="run.deny"),
    Binding("i", "app.say", "Say", id="run.say"),
    Binding("y", "app.copy_id", "Copy id", show=False, id="run.copy"),
    Binding("e", "app.edit_run", "Edit, or run edited", show=False, id="run.edit"),
    Binding("h", "app.toggle_run", "Hold or go on", show=False, id="run.hold"),
    Binding(
        "plus",
        "app.raise_run(1)",
        "More or less important",
        show=False,
        key_display="+",
        id="run.raise",
    ),
    Binding(
        "minus",
        "app.raise_run(-1)",
        "More or less important",
        show=False,
        key_display="-",
        id="run.lower",
    ),
    Binding("u", "app.move_first", "First in line", show=False, id="run.first"),
    Binding("E", "app.export_run", "Export", show=False, id="run.export"),
    Binding("P", "app.toggle_queue", "Pause the queue", show=False, id="queue.pause"),
    Binding("S", "app.slots", "Slots", show=False, id="queue.slots"),
    Binding("5", "app.schedules", "Schedules", show=False, id="queue.schedules"),
    Binding("colon", "app.command", "Command", key_display=":", id="app.command"),
]
#: What only a list can do.
LIST_KEYS: list[Binding] = [
    Binding("space", "mark", "Mark", id="runs.mark"),
    Binding("o", "fold", "Unfold", show=False, id="runs.fold"),
    Binding("x", "app.dismiss", "Dismiss", show=False, id="runs.dismiss"),
    Binding("X", "app.dismiss_all", "Dismiss all", show=False, id="runs.dismiss_all"),
]
#: Moving over a copied log.
REPLAY_KEYS: list[Binding] = [
    Binding("left", "scrub(-1)", "Back one", show=False, id="replay.back"),
    Binding("right", "scrub(1)", "On one", show=False, id="replay.on"),
    Binding(
        "shift+left,H", "scrub(-100)", "Back 100", show=False, id="replay.far_back"
    ),
    Binding("shift+right,L", "scrub(100)", "On 100", show=False, id="replay.far_on"),
]
#: Actions that change something at the daemon.
CHANGING = frozenset(
    {
        "submit",
        "cancel_run",
        "retry_run",
        "edit_run",
        "raise_run",
        "move_first",
        "answer_run",
        "deny_run",
        "say",
        "pause_queue",
        "resume_queue",
        "toggle_queue",
        "toggle_run",
        "slots",
        "command",
    }
)


#: Title, what it does, and the action behind it.
OFFERS = (
    ("New run", "Submit a run", "submit"),
    ("Cancel run", "Cancel the run under the cursor", "cancel_run"),
    ("Retry run", "The same again", "retry_run"),
    ("Edit", "What it is to do, or of one that has begun a new run", "edit_run"),
    ("Answer", "Answer what a run asks", "answer_run"),
    ("Deny", "Deny what the run under the cursor asks to do", "deny_run"),
    ("Say something", "Tell the run under the cursor something", "say"),
    ("Copy id", "Copy the id of the run", "copy_id"),
    ("Export run", "Write the run's facts to a file", "export_run"),
    ("Pause the view", "Freeze the picture, or go on", "pause"),
    ("Pause the queue", "Start no more runs", "pause_queue"),
    ("Resume the queue", "Start runs again", "resume_queue"),
    ("Hold or go on", "Stop the program of this run, or let it go on", "toggle_run"),
    ("Slots", "How many runs may execute at once", "slots"),
    ("Schedules", "What is run again and again", "schedules"),
    ("Command", "The words of the command line", "command"),
    ("Dismiss all failures", "They need nobody any more", "dismiss_all"),
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
