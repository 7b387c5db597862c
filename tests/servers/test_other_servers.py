"""ST-12: the log on the oldest and the newest PostgreSQL that it may be on; Debian has one between them.

npm has such servers as programs, pinned in package.json; psql and the like are not among them.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from fakes.stores_elsewhere import postgres_store
from penstock.words.errors import StartRefused
from penstock_drills.private_postgres import NAMED, open_postgres

pytestmark = [pytest.mark.slow, pytest.mark.processes]

HERE = Path(__file__).parent
TESTS = HERE.parent
#: Seconds that all of these tests may take, on a loaded box.
PATIENCE = 800
#: What needs a server. A standby is made by a program that is not there; and one counts what older
#: servers tell when they like.
CHOSEN = [
    *(str(path) for path in sorted((TESTS / "log").glob("test_store_*.py"))),
    *(
        str(TESTS / "log" / f"test_{name}.py")
        for name in (
            "columns", "ended_sessions", "faulty_servers", "mixed_versions", "odd_servers", "older_schemas",
            "own_lease", "postgresql", "rehearsals", "sharing", "sqlstates", "whole_schema",
        )
    ),
    "-k",
    "not sqlite and not standby and not commits_were_lost",
]  # fmt: skip


@contextmanager
def programs_of(name: str) -> Iterator[Path]:
    """The programs of a pinned server, where any user may execute them; skips, telling how to get it."""
    native = HERE / "node_modules" / name / "native"
    if not native.is_dir():
        pytest.skip(
            "needs what is pinned there: npm ci --ignore-scripts in tests/servers/"
        )
    folder = Path(tempfile.mkdtemp(prefix="pg"))
    try:
        shutil.copytree(native, folder / "native")
        folder.chmod(0o755)
        # A package has no links; its installer would make them.
        for link in json.loads((native / "pg-symlinks.json").read_text()):
            made = folder / link["target"]
            made.symlink_to(os.path.relpath(folder / link["source"], made.parent))
        yield folder / "native" / "bin"
    finally:
        shutil.rmtree(folder)


@pytest.mark.parametrize("name", ["oldest", "newest"])
def test_the_log_is_the_same_on_another_server(name: str) -> None:
    environ = {k: v for k, v in os.environ.items() if not k.startswith("PYTEST_")}
    with programs_of(name) as programs:
        done = subprocess.run(
            [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *CHOSEN],
            cwd=TESTS.parent, env=environ | {NAMED: str(programs)},
            capture_output=True, text=True, timeout=PATIENCE,
        )  # fmt: skip
    assert done.returncode == 0, done.stdout[-4000:]


async def test_a_server_that_is_too_old_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It knows less than a session begins with, so that nobody comes to ask for its version."""
    with programs_of("too-old") as programs:
        monkeypatch.setenv(NAMED, str(programs))
        with open_postgres(tmp_path) as server:
            with pytest.raises(
                StartRefused, match="older than PostgreSQL 12, which is"
            ):
                async with postgres_store(server, schema="log"):
                    pass
            assert server.ask("SELECT to_regnamespace('log')") == [(None,)]
