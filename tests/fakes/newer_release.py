"""A release of Penstock that is newer than this one: a copy of it that knows, and does, a little more."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path

import penstock
from penstock.words.version_order import release_of

#: What it is called.
NEWER = f"{release_of(penstock.__version__)[0] + 1}.0.0"

# File → what stands in it once, and what the newer release has there. A run has a colour: in a column that
# was added, on a fact that older releases know too, and in two that they do not.
_EDITS: Mapping[str, Mapping[str, str]] = {
    "__init__.py": {
        f'__version__ = "{penstock.__version__}"': f'__version__ = "{NEWER}"'
    },
    "words/events.py": {
        'class DaemonStopping(Fact):\n    type: Literal["daemon.stopping"]': (
            'class RunTinted(Fact):\n    type: Literal["run.tinted"] = "run.tinted"\n'
            "    colour: str\n    problem: dict[str, int] = {}\n\n\n"
            'class DaemonTinted(Fact):\n    type: Literal["daemon.tinted"] = "daemon.tinted"\n\n\n'
            'class DaemonStopping(Fact):\n    type: Literal["daemon.stopping"]'
        ),
        "    | DaemonStarted | DaemonStopping\n": (
            "    | DaemonStarted | DaemonStopping | RunTinted | DaemonTinted\n"
        ),
        '    attempt: int = 1\n    #: The box that executes it; "" in logs of older versions.\n': (
            '    attempt: int = 1\n    colour: str = "blue"\n'
            '    #: The box that executes it; "" in logs of older versions.\n'
        ),
        "    retries: Annotated[int, Field(ge=0)] = 0\n": (
            '    colour: str = "red"\n    retries: Annotated[int, Field(ge=0)] = 0\n'
        ),
    },
    "log/tables/handle_submit.py": {
        "from penstock.words.events import": (
            "from penstock.words.events import RunTinted\n"
            "from penstock.words.events import"
        ),
        "    facts = [fact]\n": (
            "    facts = [fact]\n"
            '    tinted = RunTinted(colour="red", problem={"shade": 1})\n'
            "    facts.append(transaction.make(head, tinted, write.at))\n"
            "    transaction.db.execute(\"UPDATE runs SET colour = 'red' WHERE key = ?\", (head.key,))\n"
        ),
    },
    "log/tables/handle_pauses.py": {
        "        _let_go(transaction, name)\n    return Appended((": (
            "        _let_go(transaction, name)\n"
            "    from penstock.words.events import DaemonTinted\n\n"
            "    tinted = transaction.make(transaction.daemon(), DaemonTinted(), write.at)\n"
            "    return Appended((tinted, "
        ),
    },
}
_STEP = """
VERSION += 1
MIGRATIONS = {{**MIGRATIONS, VERSION - 1: Step(
    lambda db: db.execute("ALTER TABLE runs ADD COLUMN colour TEXT NOT NULL DEFAULT ''"), breaks={breaks}
)}}
"""


def make_newer_release(folder: Path, *, breaks: bool = False) -> Path:
    """Put it there: a folder for PYTHONPATH. `breaks`: its step is one that no older release goes on beside."""
    code = folder / "penstock"
    # With what is compiled already: a daemon of it starts as fast as any.
    shutil.copytree(Path(penstock.__file__).parent, code)
    for name, edits in _EDITS.items():
        text = (code / name).read_text(encoding="utf-8")
        for here, there in edits.items():
            assert text.count(here) == 1, (name, here)
            text = text.replace(here, there)
        (code / name).write_text(text, encoding="utf-8")
    with (code / "log/postgresql/schema.py").open("a", encoding="utf-8") as schema:
        schema.write(_STEP.format(breaks=breaks))
    return folder
