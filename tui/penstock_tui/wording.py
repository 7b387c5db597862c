"""How things are said on the screen: words, numbers, times and bars. Values in, text out.

`Harmless` is the last thing before the terminal: no line commands it, whoever wrote it and whatever
drew it. Widgets show text by `plain`, which also keeps it on one line; it is for the one that forgets to.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from textwrap import wrap

from rich.cells import cell_len, set_cell_size
from rich.segment import Segment
from textual.color import Color
from textual.filter import LineFilter

from penstock.log.projections import RunView
from penstock.words.ask_details import is_permission
from penstock.words.lifecycle import State
from penstock.words.priority import Priority
from penstock.words.sentences import about, number
from penstock.words.text import neutralise

#: Ballot crosses are missing from many fonts for terminals.
CROSS = "\N{MULTIPLICATION SIGN}"

PRIORITY_WORDS = {
    Priority.CRITICAL: "CRIT",
    Priority.HIGH: "HIGH",
    Priority.MEDIUM: "MED",
    Priority.LOW: "LOW",
    Priority.BACKGROUND: "BG",
}

#: The colour of the queue's five parts, by the name of a theme variable.
PRIORITY_TONES = {
    Priority.CRITICAL: "error",
    Priority.HIGH: "warning",
    Priority.MEDIUM: "primary",
    Priority.LOW: "secondary",
    Priority.BACKGROUND: "dim",
}

#: A line on the screen is never longer; the rest is in the export.
LONGEST_LINE = 4000

#: English text in the usual vocabularies; only for what nobody has counted yet.
CHARACTERS_PER_TOKEN = 4

_EIGHTHS = " ▏▎▍▌▋▊▉"

# What `neutralise` leaves: line ends and tabs.
_REST: dict[int, str] = {0x09: " ", 0x0A: "⏎"}


@dataclass(frozen=True, slots=True)
class Look:
    """How a state is shown: its glyph, its colour as the name of a theme variable."""

    glyph: str
    tone: str
    #: Whether how far the run has come is still, or already, worth a bar.
    progress: bool = True


#: State is told by glyph and by word, never by colour alone.
LOOKS: Mapping[State, Look] = {
    "queued": Look("…", "dim", progress=False),
    "running": Look("▶", "primary"),
    "paused": Look("□", "warning"),
    "waiting": Look("○", "warning"),
    "preempted": Look("←", "warning"),
    "completed": Look("✓", "success"),
    "failed": Look(CROSS, "error", progress=False),
    "cancelled": Look("■", "dim", progress=False),
}


def plain(text: str) -> str:
    """The text as one harmless line: control characters are shown instead of obeyed."""
    text = text[:LONGEST_LINE]
    return (
        text
        if text.isascii() and text.isprintable()
        else neutralise(text).translate(_REST)
    )


def cut_middle(text: str, width: int) -> str:
    """The text in so many cells: of a longer one its begin and its end, by which names of one team differ."""
    if cell_len(text) <= width:
        return text
    begin = set_cell_size(text, width // 2).rstrip()
    end = ""
    for letter in reversed(text):
        if cell_len(f"{begin}…{letter}{end}") > width:
            break
        end = letter + end
    return f"{begin}…{end}"


def lines_of(text: str) -> list[str]:
    """The lines of a text, each harmless."""
    return [plain(line.removesuffix("\r")) for line in text.split("\n")]


def duration(seconds: float) -> str:
    """A stretch of time: 04:31, 1:02:03, 3d 04:12."""
    whole = max(0, int(seconds))
    days, rest = divmod(whole, 86400)
    hours, rest = divmod(rest, 3600)
    minutes, left = divmod(rest, 60)
    if days:
        return f"{days}d {hours:02d}:{minutes:02d}"
    return f"{hours}:{minutes:02d}:{left:02d}" if hours else f"{minutes:02d}:{left:02d}"


def ago(seconds: float) -> str:
    """A past time in at most four characters: now, 5m, 3h, 12d."""
    minutes = int(max(0.0, seconds)) // 60
    if minutes < 1:
        return "now"
    if minutes < 60:
        return f"{minutes}m"
    return f"{minutes // 60}h" if minutes < 48 * 60 else f"{minutes // 1440}d"


def counted(count: int, thing: str) -> str:
    """1 line, 2 lines."""
    return f"{count:,} {thing}{'' if count == 1 else 's'}"


def wrapped_line(text: str, number: int, width: int) -> str:
    """The line of this number (from 0) of a text that is wrapped; "" if it has none."""
    lines = wrap(text, max(1, width))
    return lines[number] if 0 <= number < len(lines) else ""


def clock_time(moment: datetime, *, millis: bool = False) -> str:
    """The local time of day."""
    local = moment.astimezone()
    text = local.strftime("%H:%M:%S")
    return f"{text}.{local.microsecond // 1000:03d}" if millis else text


def bar(fraction: float | None, width: int = 10) -> str:
    """A bar with eighths, then the percentage; blank while nothing is known."""
    if fraction is None:
        return ""
    fraction = min(1.0, max(0.0, fraction))
    eighths = int(fraction * width * 8)
    full, part = divmod(eighths, 8)
    drawn = "█" * full + (_EIGHTHS[part] if part else "")
    return f"{drawn.ljust(width, '·')} {fraction:4.0%}"


def priority_word(priority: int) -> str:
    """CRIT, HIGH, MED, LOW or BG."""
    return PRIORITY_WORDS.get(Priority(priority), str(priority))


def tokens_of(view: RunView) -> str:
    """What models were given and gave; an estimate (~) of what streams while nobody counted yet."""
    if used := view.tokens_in + view.tokens_out:
        return number(used)
    if view.ended:
        return ""
    streaming = sum(
        artifact.characters
        for artifact in view.artifacts.values()
        if artifact.size is None
    )
    tokens = streaming // CHARACTERS_PER_TOKEN
    return f"~{number(tokens)}" if tokens else ""


def model_use(view: RunView) -> str:
    """What a run's requests to models came to: tokens in and out, money, seconds."""
    if not (view.tokens_in or view.tokens_out):
        return ""
    said = f"tokens {number(view.tokens_in)} in {number(view.tokens_out)} out"
    if view.cost:
        said += (
            f"  cost {view.cost:.4f}" if view.cost < 1 else f"  cost {view.cost:.2f}"
        )
    return f"{said}  models {duration(view.model_seconds)}"


def answer_keys(choices: Sequence[str]) -> str:
    """By which keys a question is answered."""
    return "a allows, d denies" if is_permission(choices) else "a answers"


def title_of(view: RunView) -> str:
    """What the run is about, in one line."""
    named = view.labels.get("title")
    return plain(str(named)) if named else plain(about(view.inputs))


class Harmless(LineFilter):
    """Shows control characters, and what turns the direction of text around, in place of them."""

    def apply(self, segments: list[Segment], background: Color) -> list[Segment]:
        return [
            segment
            if segment.control or segment.text.isprintable()
            else segment._replace(text=neutralise(segment.text))
            for segment in segments
        ]


#: One object, since lines are kept by the filter they have passed.
HARMLESS = Harmless()
