"""Keys that mean the same on every screen that is about a run."""

from __future__ import annotations

from textual.binding import Binding

#: First in the footer, so that they are seen on the narrowest screen.
SCREEN_KEYS: list[Binding] = [
    Binding("question_mark", "app.keys", "Help", key_display="?", id="app.help"),
    Binding("q", "app.quit", "Quit", id="app.quit"),
]
RUN_KEYS: list[Binding] = [
    Binding("n", "app.submit", "New", id="run.new"),
    Binding("c", "app.cancel_run", "Cancel", id="run.cancel"),
    Binding("R", "app.retry_run", "Retry", id="run.retry"),
    Binding("a", "app.answer_run", "Answer", id="run.answer"),
    Binding("i", "app.say", "Say", id="run.say"),
    Binding("y", "app.copy_id", "Copy id", show=False, id="run.copy"),
    Binding("e", "app.export_run", "Export", show=False, id="run.export"),
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
        "answer_run",
        "say",
        "pause_queue",
        "resume_queue",
    }
)
