"""What may stand nowhere in the house, read off its source."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterable, Iterator
from functools import cache, wraps
from pathlib import Path
from typing import Any, TypeVar, cast

import pytest

from document_tables import (
    DOCUMENT,
    DOCUMENTS,
    MANUAL,
    lifecycle_table,
    manual,
    renewed,
    rooms_table,
)

ROOT = Path(__file__).parent.parent
DAEMON = ROOT / "daemon" / "penstock"
FILES = sorted(DAEMON.rglob("*.py"))
EVERYWHERE = sorted(
    p for name in ("daemon", "tui") for p in (ROOT / name).rglob("*.py")
)
Check = TypeVar("Check", bound=Callable[[str], Any])
TERMINALS = {"RunCompleted", "RunFailed", "RunCancelled"}

#: file and function -> why it sleeps. Waiting for a state is waiting on the log or on an event.
MAY_SLEEP = {
    (
        "cli/open_daemon.py",
        "embedded",
    ): "until an embedded daemon has started, or stopped",
    (
        "cli/mcp.py",
        "find_daemon",
    ): "until a daemon that holds its lock listens, or ends",
    ("cli/raw_terminal.py", "_attach_again"): "the pause before attaching again",
    ("client/bridge.py", "_post_patiently"): "the pause before connecting again",
    ("client/stream.py", "_pump"): "the pause before connecting again",
    ("llm/activity.py", "_tell"): "between two facts of what a model does",
    ("llm/chain.py", "_slot_of"): "between two looks at the slots of a server",
    ("llm/run_models.py", "_wait_server"): "between two looks at a server that is away",
    ("log/put_back.py", "follow"): "the least time between two writes of the mark",
    ("log/put_back.py", "_watch_files"): "between two looks at the files of the log",
    (
        "log/sqlite/database.py",
        "_lock",
    ): "before a start; clients look at the lock for a moment",
    ("log/postgresql/store.py", "_cut_overdue"): "between two looks at calls",
    (
        "log/postgresql/sharing.py",
        "wait_written",
    ): "instead of a word of others, while none can be heard",
    ("runs/takeover.py", "keep_lease"): "between two renewals of the lease",
    (
        "runs/takeover.py",
        "watch_leases",
    ): "between two looks at leases: who is gone tells nobody",
    ("log/recorder.py", "enter_due"): "the least time between two events of one gauge",
    ("runs/screen.py", "keep"): "the pause of an emulator that is behind: others' time",
    (
        "runs/printed_progress.py",
        "tell",
    ): "the least time between two facts of progress",
    ("runs/reader.py", "_ask"): "the pause before asking a failed store again",
    (
        "server/mcp/subscriptions.py",
        "_patiently",
    ): "the pause before asking a failed store again",
    (
        "log/recorder.py",
        "_wait_for_store",
    ): "the pause before asking a failed store again",
    (
        "log/other_writers.py",
        "read_between",
    ): "the pause before asking a failed store again",
    (
        "processes/termination.py",
        "wait_unseen",
    ): "in a thread; strangers' processes tell nobody they end",
    (
        "processes/testimony.py",
        "wait_testimonies",
    ): "in a thread; supervisors of another life tell nobody they end",
    ("llm/chain.py", "_persist"): "the pause before asking a failed model again",
    ("runs/artifact_writer.py", "pump"): "until the throttle's next piece is due",
    ("server/door.py", "_idle_timeout"): "the limit of a first request that never ends",
    ("runs/retention.py", "prune_regularly"): "between two rounds of forgetting",
    (
        "runs/retention.py",
        "watch_disk",
    ): "between two looks at a disk that others fill",
    (
        "server/mcp/subscriptions.py",
        "_announce_changes",
    ): "the least time between two notices of one resource",
    ("client/bridge.py", "_listen"): "the pause before connecting again",
    (
        "testing/fake_programs.py",
        "__call__",
    ): "as long as a fake program lasts, and takes to end",
    ("testing/faulty_store.py", "run"): "as long as a call of a store is to take",
    ("testing/fake_programs.py", "_perform"): "as long as a fake program lasts",
    ("service/watchdog.py", "keep_beating"): "between two signs of life of the loop",
    (
        "service/signals.py",
        "_wait",
    ): "in a thread: the time that the end of the process has",
    (
        "concurrency/threads.py",
        "retry_threadless",
    ): "the pause before a thread is asked for again",
    (
        "concurrency/enduring.py",
        "endure",
    ): "the pause before a failed task is begun again",
    (
        "kinds/agent/allowance.py",
        "_sleep_until",
    ): "until a quota is open again, which the time of day alone tells",
    (
        "kinds/agent/conversation.py",
        "_watch",
    ): "between two looks for a silent agent",
    (
        "kinds/agent/conversation.py",
        "pump",
    ): "what an agent says is joined on the way to the recorder",
}


def name_of(path: Path) -> str:
    return path.relative_to(DAEMON).as_posix()


def dotted(node: ast.AST) -> str:
    """`a.b.c` of a name or an attribute; "" of anything else."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        return f"{dotted(node.value)}.{node.attr}"
    return ""


@cache
def walk(source: str) -> tuple[tuple[str, ast.AST], ...]:
    """Every node with the name of the function it stands in; each file is parsed once."""

    found: list[tuple[str, ast.AST]] = []
    coming: list[tuple[str, ast.AST]] = [("", ast.parse(source))]
    while coming:
        function, node = coming.pop()
        found.append((function, node))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            function = node.name
        children = [(function, child) for child in ast.iter_child_nodes(node)]
        coming += reversed(children)
    return tuple(found)


@pytest.fixture(scope="module", autouse=True)
def forgotten() -> Iterator[None]:
    """The trees of all files are much; other tests need none of them."""
    yield
    walk.cache_clear()
    text_of.cache_clear()


def told(check: Callable[[str], object], *but: str) -> dict[str, object]:
    """What a check finds, by file; files named in `but` may have it."""
    found = {name_of(path): check(text_of(path)) for path in FILES}
    return {name: what for name, what in found.items() if what and name not in but}


@cache
def text_of(path: Path) -> str:
    return path.read_text()


def where(words: str) -> Callable[[Check], Check]:
    """A check of sources that have one of these words; to parse the others takes seconds."""
    wanted = re.compile(words)

    def decorate(check: Check) -> Check:
        @wraps(check)
        def checked(source: str) -> Any:
            return check(source) if wanted.search(source) else []

        return cast("Check", checked)

    return decorate


def imported(source: str) -> set[str]:
    names = set()
    for _, node in walk(source):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module} | {
                f"{node.module}.{alias.name}" for alias in node.names
            }
    return names


@where(r"\binf|Inf")
def endless(source: str) -> list[int]:
    """Lines that name an infinite number."""
    found = []
    for _, node in walk(source):
        if isinstance(node, ast.Attribute) and dotted(node) in {
            "math.inf",
            "numpy.inf",
        }:
            found.append(node.lineno)
        if isinstance(node, ast.ImportFrom) and node.module == "math":
            found += [node.lineno for alias in node.names if alias.name == "inf"]
        if isinstance(node, ast.Call) and dotted(node.func) == "float" and node.args:
            value = getattr(node.args[0], "value", None)
            # Minus infinity is a moment that has passed, and bounds nothing.
            if isinstance(value, str) and value.strip("+ ").lower().startswith("inf"):
                found.append(node.lineno)
    return found


@where(r"open_memory_channel|Queue")
def queues(source: str) -> list[int]:
    """Lines that make a buffer without a bound of its own."""
    found = []
    for _, node in walk(source):
        if not isinstance(node, ast.Call):
            continue
        func = node.func.value if isinstance(node.func, ast.Subscript) else node.func
        name = dotted(func).rpartition(".")[2]
        if name == "open_memory_channel" and not node.args and not node.keywords:
            found.append(node.lineno)
        bounded = bool(node.args or node.keywords)
        if name == "SimpleQueue" or (name in {"Queue", "LifoQueue"} and not bounded):
            found.append(node.lineno)
    return found


@where(r"RunCompleted|RunFailed|RunCancelled")
def makes_terminals(source: str) -> list[int]:
    """Lines that make a terminal event by its class, under whatever name it was imported."""
    names = set(TERMINALS)
    for _, node in walk(source):
        if isinstance(node, ast.ImportFrom):
            names |= {a.asname for a in node.names if a.name in TERMINALS and a.asname}
    makers = {"model_validate", "model_validate_json", "model_construct"}
    found = []
    for _, node in walk(source):
        if not isinstance(node, ast.Call):
            continue
        parts = dotted(node.func).split(".")
        if parts[-1] in names or (parts[-1] in makers and set(parts[:-1]) & names):
            found.append(node.lineno)
    return found


@where(r"\bterminal\(")
def calls_terminal(source: str) -> bool:
    return any(
        isinstance(node, ast.Call)
        and dotted(node.func) in {"terminal", "lifecycle.terminal"}
        for _, node in walk(source)
    )


@where(r"sleep|pause")
def sleeps(source: str) -> set[str]:
    return {
        function
        for function, node in walk(source)
        if isinstance(node, ast.Call)
        and dotted(node.func)
        in {"trio.sleep", "time.sleep", "sleep", "trio.sleep_until", "pause"}
    }


@where(r"except:|BaseException|Cancelled")
def swallows(source: str) -> list[int]:
    """Lines that catch `Cancelled`, by whatever name, and do not raise again."""
    found = []
    for _, node in walk(source):
        if not isinstance(node, ast.ExceptHandler):
            continue
        caught = [node.type] if not isinstance(node.type, ast.Tuple) else node.type.elts
        wide = node.type is None or any(
            dotted(kind) in {"BaseException", "trio.Cancelled", "Cancelled"}
            for kind in caught
            if kind is not None
        )
        if wide and not any(isinstance(inner, ast.Raise) for inner in ast.walk(node)):
            found.append(node.lineno)
    return found


@where(r"echo|secho|style|print|write")
def prints(source: str) -> list[int]:
    """Lines that write to the terminal themselves."""
    named = {
        "click.echo", "click.secho", "click.style", "print", "sys.stdout.write", "sys.stderr.write",
        "sys.stdout.buffer.write", "sys.stdout.writelines", "sys.stderr.writelines",
    }  # fmt: skip
    return [
        node.lineno
        for _, node in walk(source)
        if isinstance(node, ast.Call) and dotted(node.func) in named
    ]


def defines(path: Path, name: str) -> bool:
    """Whether a file has this function or class, or this method of that class."""
    if not path.exists():
        return False
    body = ast.parse(path.read_text()).body
    for part in name.split("."):
        kinds = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
        found = [n for n in body if isinstance(n, kinds) and n.name == part]
        if not found:
            return False
        body = found[0].body
    return True


def test_the_daemon_runs_on_trio_alone() -> None:
    """D-01"""

    @where("asyncio|anyio")
    def others(source: str) -> set[str]:
        roots = {name.split(".")[0] for name in imported(source)}
        return roots & {"asyncio", "anyio"}

    assert told(others) == {}


def test_nothing_is_endless() -> None:
    """BP-04: no capacity and no deadline is infinite, and no buffer is without a bound."""
    assert told(endless) == {}
    assert told(queues) == {}


def test_terminals_are_made_in_one_place() -> None:
    """CC-01, law 1: `lifecycle.terminal`, called by `conclude` and by the store's decisions."""
    lifecycle = "words/lifecycle.py"
    assert told(makes_terminals, lifecycle) == {}
    assert {
        function
        for function, node in walk((DAEMON / lifecycle).read_text())
        if isinstance(node, ast.Call) and dotted(node.func) in TERMINALS
    } == {"terminal"}
    callers = told(calls_terminal, lifecycle)
    assert {name for name in callers if not name.startswith("log/")} == set()


#: May print: the one way out, click's own help, before any of ours is imported, and the last
#: sentence of a command that ends as nobody foresaw, which makes it harmless itself.
PRINTERS = {"cli/output.py": None, "cli/main.py": 1, "unforeseen.py": 1}


def test_what_is_said_goes_out_in_one_place() -> None:
    """TU-04: it is made harmless there, and every verb uses it."""
    for path in FILES:
        found, most = prints(path.read_text()), PRINTERS.get(name_of(path), 0)
        assert most is None or len(found) <= most, (name_of(path), found)


def test_cancelled_is_never_swallowed() -> None:
    """CC-03"""
    assert told(swallows) == {}


def test_who_is_dead_is_decided_in_one_place() -> None:
    """CN-06: /proc shows a living process as a zombie, or not at all; the kernel's handle knows."""
    tests = Path(__file__).parent.rglob("*.py")
    states = '"Z' + 'X"'
    found = {path.name for path in (*FILES, *tests) if states in path.read_text()}
    assert found == {"liveness.py"}


@where(r"reason\.")
def takes_reasons_apart(source: str) -> list[int]:
    """Lines that look for values in what a reason says in words."""
    apart = {"partition", "split", "startswith", "removeprefix", "endswith"}
    return [
        node.lineno
        for _, node in walk(source)
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr in apart
        and dotted(node.func.value).rpartition(".")[2] == "reason"
    ]


def test_reasons_are_taken_apart_in_one_place() -> None:
    """EV-04: what a run waits for is a value; words are for people, and for logs of old."""
    found = {path.name for path in EVERYWHERE if takes_reasons_apart(path.read_text())}
    assert found == {"wait_reason.py"}


def test_nothing_waits_for_a_state_by_sleeping() -> None:
    """SC-03 QA-11: every sleep has a reason; whoever adds one writes it down here.

    Drills are no part of it: they play people and programs, which take their time.
    """
    found = {
        (name_of(path), function)
        for path in FILES
        for function in sleeps(path.read_text())
    }
    assert found == set(MAY_SLEEP)


def test_packages_are_light_to_import() -> None:
    """Design 2: dspy, mcp and textual cost seconds and are imported where they are needed."""
    for path in (*DAEMON.rglob("__init__.py"), *(ROOT / "tui").rglob("__init__.py")):
        outside = {n.split(".")[0] for n in imported(path.read_text())}
        assert outside <= {"__future__", "penstock", "penstock_tui", "typing"}, path


def test_the_roots_of_the_source_are_no_packages() -> None:
    """Design 2"""
    for folder in ("daemon", "tui", "tests"):
        assert not (ROOT / folder / "__init__.py").exists()


def test_the_tables_of_the_document_are_up_to_date() -> None:
    """CC-06: run tests/document_tables.py to renew them."""
    for document, tables in DOCUMENTS.items():
        text = document.read_text()
        assert renewed(text, tables) == text
    assert manual() == MANUAL.read_text()
    assert "run.cancelled" in lifecycle_table()
    assert "| `runs/` |" in rooms_table()


def test_every_hop_of_the_document_is_in_the_code() -> None:
    """`room/file.py:Name.name` is a definition of that file."""
    hops = re.findall(r"([a-z_/]+\.py):(\w+(?:\.\w+)?)", DOCUMENT.read_text())
    assert len(hops) > 20
    assert [hop for hop in hops if not defines(DAEMON / hop[0], hop[1])] == []


def test_every_room_says_what_it_is() -> None:
    """A folder without a line of its own is a row without words."""
    assert "|  |" not in rooms_table()


def test_a_document_without_markers_is_refused() -> None:
    with pytest.raises(ValueError, match="markers"):
        renewed("no table here")


def test_the_document_names_only_tests_that_exist() -> None:
    named = {
        word.strip("`,") for word in DOCUMENT.read_text().split() if "test_" in word
    }
    existing = {path.name for path in (ROOT / "tests").rglob("test_*.py")}
    assert {name for name in named if name.startswith("test_")} <= existing


@pytest.mark.parametrize(
    ("check", "planted"),
    [
        (endless, "import math\nx = math.inf"),
        (endless, "from math import inf"),
        (endless, "x = float('Infinity')"),
        (queues, "import trio\ntrio.open_memory_channel()"),
        (queues, "import queue\nqueue.SimpleQueue()"),
        (queues, "import queue\nqueue.Queue[int]()"),
        (makes_terminals, "RunFailed(reason='x', error='y')"),
        (
            makes_terminals,
            "from penstock.words.events import RunFailed as F\nF(reason='x')",
        ),
        (makes_terminals, "events.RunCancelled(reason='x')"),
        (makes_terminals, "events.RunCompleted.model_construct()"),
        (calls_terminal, "lifecycle.terminal('failed')"),
        (prints, "import click\nclick.echo('x')"),
        (prints, "import sys\nsys.stdout.write('x')"),
        (sleeps, "async def f():\n    await trio.sleep(1)"),
        (swallows, "try:\n    x()\nexcept BaseException:\n    pass"),
        (swallows, "try:\n    x()\nexcept:\n    pass"),
        (swallows, "try:\n    x()\nexcept (ValueError, trio.Cancelled):\n    pass"),
    ],
)
def test_each_check_sees_what_it_looks_for(check: object, planted: str) -> None:
    """A check that can see nothing proves nothing."""
    assert callable(check)
    assert check(planted)


def test_only_the_rooms_that_may_do_without_threads_ask_trio_for_one() -> None:
    """RS-01: a machine may refuse a thread; `run_in_thread` asks again, and says so in a sentence."""
    package = ROOT / "daemon" / "penstock"
    asking = {
        str(file.relative_to(package))
        for file in package.rglob("*.py")
        if re.search(
            r"to_thread\.run_sync|lowlevel\.open_process|trio\.run_process",
            file.read_text(),
        )
    }
    allowed = {"concurrency/threads.py", "processes/launching.py"}
    assert {name for name in asking if not name.startswith("cli/")} == allowed


def test_no_two_classes_of_the_product_have_one_name() -> None:
    """CC-06: whoever looks for a name finds one thing."""
    found: dict[str, list[Path]] = {}
    for path in EVERYWHERE:
        for name in re.findall(r"^class (\w+)[(:]", path.read_text(), re.MULTILINE):
            found.setdefault(name, []).append(path)
    twice = {name: paths for name, paths in found.items() if len(paths) > 1}
    # Not what is written in a text that becomes a program elsewhere.
    assert {
        n for n, paths in twice.items() if sum(defines(p, n) for p in paths) > 1
    } == set()


#: What makes of one word another that is easily taken for it.
ENDINGS = {
    "s", "es", "ed", "ing", "er", "or", "ner", "ning", "ned", "al", "ion", "ment",
}  # fmt: skip


def near_twins(names: Iterable[str]) -> set[tuple[str, str]]:
    """Pairs of which one is the other with an ending."""
    known = set(names)
    longer = {
        (name, name.removesuffix(ending) + e)
        for name in known
        for ending in ENDINGS
        for e in ("", "e")
        if name.endswith(ending)
    }
    return {(short, name) for name, short in longer if short in known and short != name}


def test_no_two_files_differ_by_an_ending() -> None:
    """CC-06: tree.py beside trees.py is one name to whoever looks for one of them."""
    assert near_twins(path.stem for path in EVERYWHERE) == set()


def test_names_that_differ_by_an_ending_are_seen() -> None:
    assert near_twins(["tree", "trees", "parking", "pause", "pausing", "core"]) == {
        ("tree", "trees"),
        ("pause", "pausing"),
    }
