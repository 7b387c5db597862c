"""How much work a model gets done: `python -m bench.models URL [--model NAME] [--record FILE]`.

What is asked, and how it is judged, stands in README.md and `tasks.toml`. Coding tasks run as a person
would run them, `penstock run coding` with a daemon; plans, judgements and descriptions are asked by
the code of the kinds, one question each. Each result is a line of the record, with the exchanges that
led to it, so a bench that was broken off goes on where it was; a table is printed at the end.
"""

from __future__ import annotations

import argparse
import json
import math
import subprocess
import sys
import tempfile
import time
import tomllib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import trio
from bench._shared import scratch
from bench.main_job import PENSTOCK, daemon, environ_in

from penstock.kinds.coding.modules import make_plan, name_files
from penstock.llm.budget import Spending, Spent
from penstock.llm.models import open_models
from penstock.llm.run_models import RunModels, load_programs
from penstock.words.config import Budget, Models
from penstock.words.errors import PenstockError
from penstock.words.events import ModelAnswered

TASKS = Path(__file__).parent / "tasks.toml"
#: Seconds for one coding run, and for its hidden checks.
CODING_SECONDS, CHECK_SECONDS = 1800, 30
#: Standard deviations of a 95 % interval.
_WIDE = 1.96

#: What hidden checks may use beside what the run has written.
CHECKER = """
import importlib.util, pathlib, sys
sys.path.insert(0, sys.argv[1])
names = {}
for path in sorted(pathlib.Path(sys.argv[1]).glob("**/*.py")):
    if not path.name.startswith("test"):
        spec = importlib.util.spec_from_file_location(path.stem, path)
        module = importlib.util.module_from_spec(spec)
        sys.modules.setdefault(path.stem, module)
        spec.loader.exec_module(module)
        names |= vars(module)
def raises(error, fn, *args):
    try:
        fn(*args)
    except error:
        return True
    return False
def balance_after(account):
    one = account()
    one.deposit(10)
    one.withdraw(3)
    return one.balance() if callable(one.balance) else one.balance
names |= {"raises": raises, "balance_after": balance_after}
sys.exit(not all(eval(line, names) for line in sys.argv[2:]))
"""


@dataclass
class Result:
    """What came of one task."""

    part: str
    name: str
    held_out: bool
    #: It came to an end as asked: the run completed, the answer could be used.
    usable: bool
    #: It is right: hidden checks pass, the judgement is true.
    right: bool
    tokens: int
    seconds: float
    note: str = ""
    exchanges: list[dict[str, Any]] = field(default_factory=list)


class Asker:
    """One question at a time, with what it cost and what was said."""

    def __init__(self, config: Models) -> None:
        self._config = config
        self.tokens = 0
        self.exchanges: list[dict[str, Any]] = []

    async def ask(self, signature: Any, inputs: Mapping[str, Any], **how: Any) -> Any:
        """The fields of an answer; PenstockError if it cannot be had."""

        async def on_spent(_model: str, spent: Spent, _id: Any) -> None:
            await trio.lowlevel.checkpoint()
            self.tokens += spent.tokens

        async def on_answered(told: ModelAnswered) -> None:
            await trio.lowlevel.checkpoint()
            self.exchanges.append(told.model_dump(mode="json"))

        async with open_models(self._config, {}) as chain:
            assert chain is not None
            ledger = Spending(Budget(), Budget())
            models = RunModels(
                chain, ledger, run_id="bench", root_id="bench",
                on_spent=on_spent, on_answered=on_answered,
            )  # fmt: skip
            return (await models.ask(signature, inputs=inputs, **how)).fields


async def plan(asker: Asker, task: Mapping[str, Any]) -> tuple[bool, bool]:
    """Whether a plan can be used, and has no more files than the task needs."""
    from penstock.kinds.coding import signatures

    made = []

    def check(fields: Mapping[str, Any]) -> None:
        modules = name_files(fields["modules"])
        made.append(make_plan({**fields, "modules": modules}, most=12, there=None))

    inputs = {
        "task": task["prompt"], "notes": "(none)", "files": "(none)",
        "tests": "run by: python3 -m unittest",
    }  # fmt: skip
    await asker.ask(signatures.MakePlan, inputs, check=check, form="json", role="plan")
    return True, len(made[-1].modules) <= task["most"]


async def judge(asker: Asker, task: Mapping[str, Any]) -> tuple[bool, bool]:
    """Whether a judgement can be used, and is true."""
    from penstock.kinds.loop import signatures

    inputs = {
        "goal": task["goal"], "observation": task["observation"], "turn": "2 of 10",
    }  # fmt: skip
    said = await asker.ask(signatures.Judge, inputs, form="json", role="judge")
    return True, said["done"] == task["done"]


async def describe(asker: Asker, task: Mapping[str, Any]) -> tuple[bool, bool]:
    """Whether a description can be used, and speaks of what the file is for."""
    from penstock.kinds.llms_txt import signatures

    inputs = {"project": "tools: Small tools.", "file": f"{task['name']}\n{task['text']}"}  # fmt: skip
    said = await asker.ask(
        signatures.DescribeFile, inputs, form="json", role="describe"
    )
    line = said["description"]
    usable = "\n" not in line.strip() and 3 <= len(line.split()) <= 30
    return usable, any(word.lower() in line.lower() for word in task["words"])


ASKED: Mapping[str, Callable[[Asker, Mapping[str, Any]], Any]] = {
    "plan": plan, "judge": judge, "describe": describe,
}  # fmt: skip


def ask_one(config: Models, part: str, task: Mapping[str, Any]) -> Result:
    """One question, judged."""
    asker, began, note = Asker(config), time.monotonic(), ""
    usable = right = False

    async def main() -> tuple[bool, bool]:
        await load_programs()
        answer: tuple[bool, bool] = await ASKED[part](asker, task)
        return answer

    try:
        usable, right = trio.run(main)
    except PenstockError as error:
        note = str(error)
    if part == "judge" and usable and not right and not task["done"]:
        note = "false done"
    return _result(part, task, usable, right, asker.tokens, began, note, asker.exchanges)  # fmt: skip


def code_one(environ: Mapping[str, str], task: Mapping[str, Any]) -> Result:
    """One coding run, and the hidden checks on what it leaves."""
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as out:
        run_id = f"coding-{task['name']}-{int(time.time())}"
        words = ["run", "coding", "--prompt", task["prompt"], "--out", out, "--id", run_id]  # fmt: skip
        words += ["--timeout", str(CODING_SECONDS)]
        done = subprocess.run([*PENSTOCK, *words], env=environ, capture_output=True, text=True)  # fmt: skip
        completed = done.returncode == 0
        right = completed and passes(out, task["checks"])
    view = json.loads(_say(environ, "show", run_id, "--json"))
    lines = _say(environ, "context", run_id, "--sent", "--json").splitlines()
    exchanges = [json.loads(line) for line in lines]
    tokens = view.get("tokens_in", 0) + view.get("tokens_out", 0)
    note = "" if completed else str(view.get("error") or done.stderr[-300:])
    return _result("coding", task, completed, right, tokens, began, note, exchanges)


def _say(environ: Mapping[str, str], *words: str) -> str:
    return subprocess.run(
        [*PENSTOCK, *words], env=environ, capture_output=True, text=True, check=True
    ).stdout


def passes(folder: str, checks: Sequence[str]) -> bool:
    """Whether the hidden checks pass, in a process of their own."""
    try:
        argv = [sys.executable, "-c", CHECKER, folder, *checks]
        ended = subprocess.run(argv, capture_output=True, timeout=CHECK_SECONDS)
    except subprocess.TimeoutExpired:
        return False
    return ended.returncode == 0


def _result(
    part: str, task: Mapping[str, Any], usable: bool, right: bool, tokens: int,
    began: float, note: str, exchanges: list[dict[str, Any]],
) -> Result:  # fmt: skip
    seconds = round(time.monotonic() - began, 1)
    held_out = bool(task.get("held_out", False))
    return Result(part, task["name"], held_out, usable, right, tokens, seconds, note, exchanges)  # fmt: skip


def interval(hits: int, count: int) -> str:
    """A share with its 95 % interval (Wilson), in percent."""
    if not count:
        return ""
    share, wide = hits / count, _WIDE * _WIDE / count
    middle = (share + wide / 2) / (1 + wide)
    half = _WIDE / (1 + wide) * math.sqrt(share * (1 - share) / count + wide / (4 * count))  # fmt: skip
    return f"{100 * (middle - half):.0f}-{100 * (middle + half):.0f} %"


def rows(results: Sequence[Result]) -> Iterator[str]:
    """The table, as Markdown; what was held out stands apart."""
    yield "| what | n | usable | right | interval of right | tokens each | seconds each |"
    yield "|---|---|---|---|---|---|---|"
    for part in ("plan", "judge", "describe", "coding"):
        for held_out in (False, True):
            found = [r for r in results if (r.part, r.held_out) == (part, held_out)]
            if not found:
                continue
            n, right = len(found), sum(r.right for r in found)
            name = f"{part}{', held out' if held_out else ''}"
            tokens = sum(r.tokens for r in found) // n
            seconds = sum(r.seconds for r in found) / n
            usable = sum(r.usable for r in found)
            yield f"| {name} | {n} | {usable} | {right} | {interval(right, n)} | {tokens} | {seconds:.0f} |"  # fmt: skip
    false = sum(r.note == "false done" for r in results)
    yield f'\nFalse "done": {false}.'


def main() -> None:
    """Ask what has not been asked yet, and print the table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("url", help="the server, as models.url")
    parser.add_argument("--model", default="local")
    parser.add_argument("--provider", default="openai", choices=["openai", "ollama"])
    parser.add_argument("--record", type=Path, default=Path("bench-models.jsonl"))
    parser.add_argument("--part", action="append", choices=[*ASKED, "coding"])
    parser.add_argument("--half", choices=["open", "held-out"], help="only this half")
    options = parser.parse_args()
    config = Models(provider=options.provider, url=options.url, chain=(options.model,))
    known = options.record.read_text().splitlines() if options.record.exists() else []
    results = [Result(**json.loads(line)) for line in known]
    done = {(result.part, result.name) for result in results}
    tasks = tomllib.loads(TASKS.read_text())
    left = [
        (part, task)
        for part in options.part or [*ASKED, "coding"]
        for task in tasks[part]
        if (part, task["name"]) not in done
        and options.half in (None, "held-out" if task.get("held_out") else "open")
    ]
    with scratch() as folder, options.record.open("a") as record:
        environ = environ_in(folder / "home") | {
            "PENSTOCK_MODELS__PROVIDER": options.provider,
            "PENSTOCK_MODELS__URL": options.url,
            "PENSTOCK_MODELS__CHAIN": json.dumps([options.model]),
        }
        for part, task in left:
            if part == "coding":
                with daemon(environ):
                    result = code_one(environ, task)
            else:
                result = ask_one(config, part, task)
            results.append(result)
            record.write(json.dumps(asdict(result)) + "\n")
            record.flush()
            say = "right" if result.right else "usable" if result.usable else "failed"
            print(f"{part} {task['name']}: {say} {result.tokens} tokens {result.seconds:.0f} s {result.note}", file=sys.stderr)  # fmt: skip
    print("\n".join(rows(results)))


if __name__ == "__main__":
    main()
