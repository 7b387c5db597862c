"""What preparing a prompt costs: summarising 1000 old events (PF-05), relevance, counting tokens."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

from fakes.history import recorded
from fakes.texts import SAMPLES
from penstock.events import CodeGenerated, Log, ModuleStarted, Recorded
from penstock.llm.relevance import relevant
from penstock.llm.summaries import summarise
from penstock.llm.tokens import estimate


def main() -> None:
    events = history(1000)
    text = (SAMPLES["code"] * 5)[:50_000]
    show("summarise 1000 events", lambda: summarise(events))
    show("pick the relevant of 1000 events", lambda: relevant(events, events[-1]))
    show("estimate 50,000 characters of code", lambda: estimate(text))


def history(count: int) -> list[Recorded]:
    """A third modules, a third code, a third output, about 800 bytes each on average."""
    found = []
    for number in range(1, count + 1):
        name = f"module_{number // 30}"
        kinds = (
            ModuleStarted(module=name),
            CodeGenerated(
                module=name, files=tuple(f"src/{name}/part_{n}.py" for n in range(30))
            ),
            Log(text=f"{number}: " + "output of a test run\n" * 60),
        )
        found.append(recorded(kinds[number % 3], number, version=number // 9))
    return found


def show(what: str, act: Callable[[], object], rounds: int = 30) -> None:
    times = []
    for _ in range(rounds):
        began = time.process_time()
        act()
        times.append(1000 * (time.process_time() - began))
    times.sort()
    print(
        f"{what}: median {times[rounds // 2]:.1f} ms, worst {times[-1]:.1f} ms of CPU"
    )


if __name__ == "__main__":
    main()
