"""QA-08, ML-04: what strangers wrote is read by a process that it may break, and costs only itself."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import trio

import penstock.pipeline
from fakes.coding import open_coding, place
from fakes.kind_runs import (
    Ended,
    RealPrograms,
    RunWithFault,
    processes_of,
    run_kind,
    with_fault,
)
from penstock.kinds.coding.analysis import NAMES
from penstock.kinds.llms_txt import standing
from penstock.kinds.llms_txt.analyse import ANSWERS
from penstock.kinds.llms_txt.pipeline import KIND
from penstock.kinds.strangers import (
    LAUNCH,
    LIBRARIES,
    MOST_BROKEN,
    READER_CODE,
    first_lines,
    folders_of,
    read_confined,
)
from penstock.pipeline import Config, Inputs, Kind, Output
from penstock.words.api import SubmitRequest
from penstock.words.events import ProcessExited

pytestmark = pytest.mark.processes

#: A reader with the real limits, whose requests say what becomes of it.
READER = """
import os, signal, sys
from penstock.kinds.confined import Limits, serve

def make_answer(common):
    def answer(request):
        match request["path"]:
            case "hang":
                any(iter(int, 1))
            case "sleep":
                signal.pause()
            case "eat":
                bytearray(1 << 33)
            case "die":
                os.kill(os.getpid(), signal.SIGSEGV)
            case "raise":
                raise ZeroDivisionError
            case "large":
                return "x" * 3_000_000
        return [common["round"], request["path"]]
    return answer

serve(make_answer, sys.stdin.buffer, sys.stdout.buffer, Limits())
"""


class BreakableReader(RunWithFault):
    """Reads by the program above."""

    def process(self, argv: Sequence[str], **options: Any) -> Any:
        main = "from penstock.kinds.confined import main; main()"
        assert main in argv[-2]
        argv = [*argv[:-2], argv[-2].replace(main, READER)]
        return self.real.process(argv, **options)


async def ask(
    tmp_path: Path, *paths: str, **settings: Any
) -> tuple[list[Any], list[str], int]:
    """The answers, the log, and how many processes there were."""
    answers: list[Any] = []

    async def take(number: int, reply: Any) -> None:
        await trio.lowlevel.checkpoint()
        assert number == len(answers)
        answers.append(reply)

    run = await read(tmp_path, *paths, take=take, **settings)
    assert run.view.state == "completed", run.view.error
    return answers, run.log().splitlines(), len(processes_of(run))


async def read(
    tmp_path: Path,
    *paths: str,
    take: Callable[[int, Any], Awaitable[None]],
    **settings: Any,
) -> Ended:
    """A run that asks the breakable reader for these and hands over what it says."""
    rounds = iter(range(1000))

    def common() -> Mapping[str, Any]:
        return {"round": next(rounds)}

    async def pipeline(run: Any, _inputs: Inputs) -> Output:
        requests = [{"path": path} for path in paths]
        await read_confined(run, "none", requests, take, common)
        return Output()

    kind = with_fault(Kind("read", "Read", Inputs, Output, pipeline), BreakableReader)
    settings = {"reader_cpu_seconds": 1, **settings}
    return await run_kind(kind, {}, tmp_path, programs=RealPrograms(), **settings)


@pytest.mark.parametrize("module", [ANSWERS, NAMES])
def test_a_reader_needs_no_file_of_the_package(module: str) -> None:
    """RS-04: an upgrade may have replaced it since the daemon started."""
    head = {"cpu": 5, "wall": 60, "memory": 1 << 30}
    said = json.dumps(head) + '\n{"common": {"root": "/"}}\n'
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", LAUNCH, module],
        input=READER_CODE + said.encode(),
        capture_output=True,
        timeout=60,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")


def _answers(tmp_path: Path, module: str, *requests: dict[str, Any]) -> list[Any]:
    """What the real program answers about a folder, begun as the daemon begins it."""
    config = Config(reader_cpu_seconds=30)
    lines = [{"common": {"root": str(tmp_path)}}, *requests]
    said = b"".join(json.dumps(line).encode() + b"\n" for line in lines)
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", LAUNCH, module],
        input=first_lines(config) + said,
        capture_output=True,
        timeout=60,
    )
    assert (done.returncode, done.stderr) == (0, b"")
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_the_reader_parses_documents_by_the_libraries(tmp_path: Path) -> None:
    """ML-02 It has no path of what is installed, and is told where these few lie."""
    (tmp_path / "a.md").write_text("# A\n\nIt *does* what things do.\n")
    (tmp_path / "a.rst").write_text("B\n=\n\nIt ``does`` what things do.\n")
    requests = [{"verb": "readme", "path": path} for path in ("a.md", "a.rst")]
    assert _answers(tmp_path, ANSWERS, *requests) == [
        ["A", "It does what things do."],
        ["B", "It does what things do."],
    ]


def test_the_reader_finds_nothing_else_that_is_installed() -> None:
    """QA-08 RS-04 Not what lies beside them, and of Penstock only what was handed on."""
    limits = "from penstock.kinds.confined import Limits; Limits().admit(json.loads(sys.argv[1]))"
    tried = "[find_spec(name) is not None for name in (*sys.argv[2:],)]"
    code = f"import json, sys; from importlib.util import find_spec; sys.path.insert(0, sys.argv.pop()); {limits}; sys.path.pop(0); print({tried})"
    names = ("docutils", "markdown_it", "mdurl", "trio", "pydantic", "docutils_")
    package = str(Path(penstock.pipeline.__file__).parent.parent)
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", code, json.dumps(folders_of(LIBRARIES)), *names, package],
        check=True,
        capture_output=True,
        text=True,
        timeout=60,
    )  # fmt: skip
    assert json.loads(done.stdout.lower()) == [True, True, True, False, False, False]


def test_the_daemon_imports_no_parser_of_documents() -> None:
    """QA-08 Strangers' documents are parsed in the process that they may break, and nowhere else."""
    room = Path(penstock.pipeline.__file__).parent / "kinds" / "llms_txt"
    parsers = {"read_markdown", "read_rst"}
    ours = [path.stem for path in room.glob("*.py") if path.stem not in parsers]
    modules = ", ".join(f"penstock.kinds.llms_txt.{name}" for name in sorted(ours))
    code = f"import sys, penstock.kinds.strangers, {modules}; penstock.kinds.strangers.folders_of({LIBRARIES}); print([m for m in {LIBRARIES} if m in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, timeout=60
    )
    assert done.stdout == b"[]\n"


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("hang", "killed by SIGXCPU"),
        ("sleep", "killed by SIGALRM"),
        ("die", "killed by SIGSEGV"),
        ("raise", "exit status 1"),
    ],
)
async def test_what_breaks_the_reader_costs_only_itself(
    tmp_path: Path, path: str, words: str
) -> None:
    """QA-08 The reading goes on behind it, in a new process, and the log tells what is missing."""
    answers, told, processes = await ask(
        tmp_path, "a", path, "b", "c", reader_seconds=2.0 if path == "sleep" else 60.0
    )
    assert answers == [[0, "a"], None, [1, "b"], [1, "c"]]
    assert f"{path} was not read: {words}" in told
    assert processes == 2


async def test_what_takes_too_much_memory_costs_only_itself(tmp_path: Path) -> None:
    """QA-08"""
    answers, told, processes = await ask(tmp_path, "a", "eat", "b")
    assert answers == [[0, "a"], None, [0, "b"]]
    assert told == ["eat was not read: it takes too much memory"]
    assert processes == 1


async def test_a_tree_that_does_nothing_but_break_the_reader_ends(
    tmp_path: Path,
) -> None:
    """QA-08 Each break costs a process, so they are counted."""
    count = MOST_BROKEN + 5
    answers, told, processes = await ask(tmp_path, *["die"] * count)
    assert answers == [None] * count
    assert processes == MOST_BROKEN
    assert len(told) == count


async def test_a_long_answer_arrives_whole(tmp_path: Path) -> None:
    """ML-04"""
    answers, _, _ = await ask(tmp_path, "large", "a")
    assert answers == ["x" * 3_000_000, [0, "a"]]


async def test_one_process_reads_a_whole_tree(tmp_path: Path) -> None:
    """QA-08 And none is begun when nothing is asked."""
    assert (await ask(tmp_path, *map(str, range(500))))[2] == 1
    assert (await ask(tmp_path)) == ([], [], 0)


async def test_what_the_taker_raises_comes_as_it_is(tmp_path: Path) -> None:
    """ER-04 Not in a group, and the process is gone."""

    async def refuse(number: int, reply: Any) -> None:
        await trio.lowlevel.checkpoint()
        raise KeyError(number)

    run = await read(tmp_path, "a", take=refuse)
    assert (run.view.state, run.view.error) == ("failed", "KeyError: 0")
    assert len(run.of(ProcessExited)) == 0


def hostile_files() -> dict[str, str]:
    """Each of these held the interpreter for seconds to minutes."""
    return {
        "setup.cfg": f"[metadata]\nname{' ' * 9000}x\n",
        "package.json": json.dumps({"name": "p", "description": "a" + " " * 20_000 + "b"}),
        "pyproject.toml": f"{'.'.join('a' * 20_000)} = 1\n[project]\n",
        "Cargo.toml": f'[package]\ndescription = "a{" " * 20_000}b"\n',
        "README.md": f"# Thing\n\n{'<a' + ' ' * 30_000}\n\nThing does what things do.\n",
        "docs/a.md": "---\ntitle:" + " " * 1900 + "x" * 1900 + "\n---\n\nSome words of prose here.\n",
        "docs/b.md": "<!---->" * 9000,
        "docs/c.rst": ":ref:`" + " " * 60_000,
        "pkg/deep.py": "x = " + "(" * 50_000,
        "pkg/good.py": '"""Does what is good."""\n',
    }  # fmt: skip


async def _describe(home: Path, source: Path, out: Path) -> float:
    """Seconds of CPU of this process, children apart."""
    begin = time.process_time()
    given = {"source": str(source), "out": str(out), "model": False}
    run = await run_kind(KIND, given, home, programs=RealPrograms())
    assert run.view.state == "completed", run.view.error
    return time.process_time() - begin


async def test_a_hostile_tree_costs_the_daemon_no_more_than_a_plain_one(
    tmp_path: Path,
) -> None:
    """QA-08 Ten files of each kind, so that it is compared with what is always there."""
    spent: dict[str, float] = {}
    for kind in ("plain", "hostile", "plain", "hostile"):
        root = tmp_path / kind
        for path, text in hostile_files().items():
            (root / path).parent.mkdir(parents=True, exist_ok=True)
            said = text if kind == "hostile" or path.endswith("good.py") else "words\n"
            (root / path).write_text(said)
        took = await _describe(tmp_path / "runs", root, tmp_path / f"out-{kind}")
        spent[kind] = min(took, spent.get(kind, took))
        assert "Does what is good." in (tmp_path / f"out-{kind}/llms.txt").read_text()
    assert spent["hostile"] < 3 * spent["plain"] + 0.2


async def test_an_llms_txt_that_is_there_is_read_by_the_reader_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """QA-08 ML-04 Not by the daemon, in a thread that holds its interpreter; the reader has code of its own."""

    def refuse(*_given: Any) -> None:
        raise AssertionError("read by the daemon")

    monkeypatch.setattr(standing, "_Addresses", refuse)
    root = tmp_path / "tree"
    root.mkdir()
    (root / "new.md").write_text("# New\n\nWhat is new is told here.\n")
    (root / "README.md").write_text("# Thing\n\nThing does what things do.\n")
    (root / "llms.txt").write_text("# Thing\n\n## Docs\n\n- [r](README.md)\n")
    given = {"source": str(root), "update": True, "model": False}
    run = await run_kind(KIND, given, tmp_path / "runs", programs=RealPrograms())
    assert run.view.state == "completed", run.view.error
    assert "- [New](new.md)" in (root / "llms.txt").read_text()


async def test_dead_code_is_looked_for_in_a_contained_process(
    tmp_path: Path,
) -> None:
    """QA-08 WF-11 Files that break a parser are left out; links are not followed."""
    root = tmp_path / "tree"
    root.mkdir()
    (root / "a.py").write_text("import os\ndef dead(): pass\n")
    (root / "b.py").write_text("x = " + "(" * 100_000)
    (root / "c.py").write_text("'\\d'\n" * 1000)
    os.symlink("a.py", root / "d.py")
    async with open_coding(place(tmp_path / "state", "http://127.0.0.1:1")) as core:
        inputs = {"folder": str(root), "files": ["a.py", "b.py", "d.py"]}
        request = SubmitRequest(kind="dead-code", run_id="dead", inputs=inputs)
        await core.submitter.submit(request)
        with trio.fail_after(60), core.bus.subscribe("dead", 0) as subscription:
            facts = [fact async for batch in subscription for fact in batch.facts]
    assert facts[-1].type == "run.completed"
    result = facts[-1].event.result  # type: ignore[union-attr]
    assert [(f["path"], f["name"]) for f in result["findings"]] == [
        ("a.py", "os"),
        ("a.py", "dead"),
    ]
    exits = [f.event for f in facts if isinstance(f.event, ProcessExited)]
    assert [one.exit_code for one in exits] == [0]
