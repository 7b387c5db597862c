"""What preparing a prompt costs: summarising 1000 old events (PF-05), relevance, counting tokens."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

from bench._shared import Row

from fakes.history import recorded
from fakes.texts import SAMPLES
from penstock.llm.context import relevant
from penstock.llm.summaries import summarise
from penstock.llm.token_estimate import estimate
from penstock.words.events import CodeGenerated, Log, ModuleStarted
from penstock.words.recorded import Recorded


def rows(long: bool) -> Iterator[Row]:
    """What is done before each question to a model, as CPU time."""
    rounds = 100 if long else 30
    events = history(1000)
    text = (SAMPLES["code"] * 5)[:50_000]
    acts: dict[str, Callable[[], object]] = {
        "summarise 1,000 events": lambda: summarise(events),
        "pick the relevant of 1,000 events": lambda: relevant(events, events[-1]),
        "estimate 50,000 characters of code": lambda: estimate(text),
    }
    for what, act in acts.items():
        times = [cpu_milliseconds(act) for _ in range(rounds)]
        yield Row(what, "ms", "ours < 100", times)


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


def cpu_milliseconds(act: Callable[[], object]) -> float:
    """What one call costs."""
    began = time.process_time()
    act()
    return (time.process_time() - began) * 1000
