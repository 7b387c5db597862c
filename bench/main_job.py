"""The main job: describe a source tree, beside repomix, which packs one into a text.

Each is what a person would type, from the start of its process to its end: `penstock run llms-txt`
without a model, with a daemon that runs and with none, and `repomix`, both writing into a scratch folder.
Three trees: a few files, this checkout, and 2,813 files that are made here. repomix is found on the
PATH, or where REPOMIX says (`npm install repomix`); without it there is nothing to measure beside.
"""

from __future__ import annotations

import os
import random
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from bench._shared import ROOT, Row, in_turns, scratch

#: As many as a library of the larger kind has.
FILES = 2813
#: Seconds until the daemon answers, and until it has stopped.
START_SECONDS, STOP_SECONDS = 30.0, 30.0
PENSTOCK = (sys.executable, "-m", "penstock.cli.main")

_WORDS = [
    "takes", "gives", "keeps", "reads", "writes", "the", "of", "and", "file", "name", "value", "list",
    "run", "queue", "event", "log", "store", "with", "before", "after", "each", "first", "last", "new",
]  # fmt: skip


def make_tree(root: Path, files: int) -> None:
    """A tree of modules and documents, the same each time."""
    dice = random.Random(2813)
    for number in range(files):
        folder = root / f"part{number % 37}" / f"group{number % 11}"
        folder.mkdir(parents=True, exist_ok=True)
        lines = int(dice.lognormvariate(3.4, 1.0)) + 3
        said = [" ".join(dice.choices(_WORDS, k=9)) for _ in range(lines)]
        if number % 9:
            body = [f"def do_{i}(one, two):\n    return '{text}', one, two\n" for i, text in enumerate(said)]  # fmt: skip
            text = f'"""{said[0].capitalize()}."""\n\n' + "\n\n".join(body)
            (folder / f"module{number}.py").write_text(text)
        else:
            text = f"# {said[0].title()}\n\n" + "\n\n".join(said) + "\n"
            (folder / f"page{number}.md").write_text(text)


@contextmanager
def daemon(environ: Mapping[str, str]) -> Iterator[None]:
    """A daemon for as long as this is open."""
    with subprocess.Popen(
        [*PENSTOCK, "serve", "--port", "0"],
        env=environ,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as process:
        try:
            give_up = time.monotonic() + START_SECONDS
            while subprocess.run(
                [*PENSTOCK, "health"], env=environ, capture_output=True
            ).returncode:
                if time.monotonic() > give_up or process.poll() is not None:
                    raise RuntimeError("the daemon does not start")
                time.sleep(0.1)
            yield
        finally:
            process.terminate()
            process.wait(STOP_SECONDS)


def environ_in(folder: Path) -> dict[str, str]:
    """Nothing of the user's: a home and folders of its own."""
    folder.mkdir()
    run = folder / "run"
    run.mkdir(mode=0o700)
    kept = {name: os.environ[name] for name in ("PATH", "LANG") if name in os.environ}
    return {
        **kept,
        "HOME": str(folder),
        "XDG_RUNTIME_DIR": str(run),
        "XDG_STATE_HOME": str(folder / "state"),
        "XDG_CONFIG_HOME": str(folder / "config"),
    }


def timed(command: list[str], environ: Mapping[str, str], cwd: Path) -> float:
    """Seconds of the wall clock from the start of a command to its end, which must be good."""
    began = time.perf_counter()
    done = subprocess.run(command, env=environ, cwd=cwd, capture_output=True)
    seconds = time.perf_counter() - began
    if done.returncode:
        raise RuntimeError(f"{command}: {done.stderr.decode()[-500:]}")
    return seconds


def rows(long: bool) -> Iterator[Row]:
    """A row a tree with a daemon, and one without."""
    repomix = os.environ.get("REPOMIX") or shutil.which("repomix")
    if repomix is None:
        print("main_job: skipped, since there is no repomix (npm install repomix)")
        return
    rounds = 9 if long else 5
    with scratch() as folder:
        made = folder / "made"
        make_tree(made, FILES)
        alone = environ_in(folder / "alone")
        served = environ_in(folder / "served")
        trees = {
            "a few files": ROOT / "daemon" / "penstock" / "words",
            "this checkout": ROOT,
            f"{FILES:,} files": made,
        }

        def ours(tree: Path, environ: Mapping[str, str]) -> Callable[[], float]:
            out = str(folder / "out")
            command = [*PENSTOCK, "run", "llms-txt", str(tree), "--no-model", "--out", out]  # fmt: skip
            return lambda: timed(command, environ, folder)

        def theirs(tree: Path) -> Callable[[], float]:
            command = [repomix, "--output", str(folder / "packed.xml"), str(tree)]
            return lambda: timed(command, alone, folder)

        with daemon(served):
            for name, tree in trees.items():
                with_one, without, packed = in_turns(
                    rounds, ours(tree, served), ours(tree, alone), theirs(tree)
                )
                what = f"main job on {name} / repomix"
                yield Row(what, "s", "ratio < 1", with_one, packed)
                yield Row(f"{what}, no daemon", "s", "ratio < 1", without, packed)
