"""What it costs to show output: the sanitizer of terminals, per MiB of what programs print.

The reference is the same text with its control characters made visible, which is the least that
anything may cost that looks at each of them.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

from bench._shared import Row

from penstock.words.display import TerminalText
from penstock.words.text import neutralise

MIB = 1024 * 1024
#: Characters of a piece, as the log has them.
PIECE = 16 * 1024
TEXTS = {
    "plain lines": "a line of a build, as wide as most of them are: 80 columns, a bit less.\n",
    "a compiler's colours": "\x1b[01m\x1b[Ka.c:3:\x1b[m\x1b[K \x1b[01;31m\x1b[Kerror:\x1b[m\x1b[K expected ';' here\n",
    "a progress bar": "\r[##########··········] 50 %  12.3 MiB/s",
    "a line without an end": "x",
    "bare escapes": "\x1b",
}
#: Milliseconds of CPU. What is meant to be slow may be, but no more than the worst of logs deserves.
TARGETS = dict.fromkeys(TEXTS, 1500) | {"plain lines": 150, "a progress bar": 300}


def rows(long: bool) -> Iterator[Row]:
    """One MiB of each, in pieces, to a terminal of 80 columns."""
    rounds = 20 if long else 5
    for name, line in TEXTS.items():
        text = (line * (MIB // len(line) + 1))[:MIB]
        ours, reference = [], []
        for _ in range(rounds):
            shown = TerminalText(lambda: 80, colour=True, redraw=True)
            ours.append(cpu_milliseconds(shown.feed, text))
            reference.append(cpu_milliseconds(neutralise, text))
        yield Row(
            f"show 1 MiB: {name}", "ms", f"ours < {TARGETS[name]}", ours, reference
        )


def cpu_milliseconds(feed: Callable[[str], str], text: str) -> float:
    """What the whole text costs, piece by piece."""
    began = time.process_time()
    for begin in range(0, len(text), PIECE):
        feed(text[begin : begin + PIECE])
    return (time.process_time() - began) * 1000
