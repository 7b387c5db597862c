"""`penstock prune` on logs that were made for it: what it leaves, what it says of that, how it ends."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from fakes.ended_logs import LONG_AGO, fill_log
from fakes.penstock_command import Penstock
from penstock.words.address import find_paths

pytestmark = pytest.mark.processes

#: Seconds for one command; a loaded box may take its time.
PATIENCE = 60


@pytest.fixture
def state(home: Path) -> Path:
    return home / "state" / "penstock"


def folder_of(state: Path, run_id: str) -> Path:
    return find_paths({**os.environ}, state_dir=state).workspace(run_id)


def known(path: Path) -> list[str]:
    with closing(sqlite3.connect(path)) as db:
        sql = "SELECT run_id FROM runs WHERE key > 0 ORDER BY run_id"
        return [run_id for (run_id,) in db.execute(sql)]


def lose_page(path: Path, run_id: str) -> None:
    """Fill a page full of what this run said with zeros, as a disk that lost a sector."""
    data = bytearray(path.read_bytes())
    size = int.from_bytes(data[16:18], "big")
    mark = f"{run_id} ".encode() * 150
    leaves = [
        place
        for place in range(size, len(data), size)
        if data[place] == 0x0D and data.count(mark, place, place + size) >= 2
    ]
    # One in the middle is no other run's too.
    leaf = leaves[len(leaves) // 2]
    data[leaf : leaf + size] = bytes(size)
    path.write_bytes(data)


def test_a_prune_goes_on_past_a_damaged_run_and_says_so(
    penstock: Penstock, state: Path
) -> None:
    """RS-05 ST-08"""
    path = fill_log(state / "penstock.db", "before", "torn", "after")
    lose_page(path, "torn")
    for forgotten in (2, 0):
        done = penstock("prune", "--keep", "0")
        assert done.exit_code == 1
        assert "torn is not forgotten: the log is damaged under it" in done.stderr
        assert f"{forgotten} runs forgotten, 1 damaged runs kept" in done.stderr
        assert known(path) == ["torn"]


_UNSHARE = shutil.which("unshare")
_MOUNTED = """
set -e
mount -t tmpfs none "$1"; mkdir "$1/kept"; chmod 755 "$1"
mount --bind "$3" "$2"
set +e
"$4" -m penstock.cli.main prune --keep 0 --json; echo $?
ls "$1" "$2"; stat -c %a "$1"
umount "$1"; umount "$2"
"$4" -m penstock.cli.main prune --json; echo $?
"""


@pytest.mark.skipif(
    os.geteuid() != 0 or _UNSHARE is None,
    reason="only root, with unshare, may mount in a namespace of its own",
)
def test_a_prune_does_not_enter_what_is_mounted_and_comes_again_once_it_is_not(
    state: Path, tmp_path: Path
) -> None:
    """RS-05: below a run's folder or in its place; it is told by the exit code, and not lost."""
    fill_log(state / "penstock.db", "deep", "over", "plain")
    deep = folder_of(state, "deep") / "some" / "where"
    over, plain = folder_of(state, "over"), folder_of(state, "plain")
    precious = tmp_path / "precious"
    for folder in (deep, over, plain, precious):
        folder.mkdir(parents=True)
    (precious / "file").touch()
    argv = ["unshare", "-m", "--propagation", "private", "sh", "-c", _MOUNTED, "sh"]
    done = subprocess.run(
        [*argv, str(deep), str(over), str(precious), sys.executable],
        capture_output=True, text=True, timeout=PATIENCE, check=True,
    )  # fmt: skip
    first, code, *there, mode, last, last_code = done.stdout.split("\n")[:-1]
    assert code == "1"
    assert '"runs": ["deep", "over", "plain"]' in first
    assert '"left": ["deep", "over"]' in first
    assert done.stderr.count("is left: [Errno 16] something is mounted there") == 2
    assert {"kept", "file"} <= set(there)
    assert mode == "755"
    assert not plain.exists()
    assert (last, last_code) == ('{"runs": [], "left": [], "damaged": []}', "0")
    assert not any(folder.exists() for folder in (deep.parents[1], over))
    assert (precious / "file").exists()


def test_a_prune_does_not_wait_for_what_is_no_file(
    penstock: Penstock, state: Path
) -> None:
    """RS-05: a FIFO among the logs of embedded daemons."""
    old = fill_log(state / "embedded" / "old.db", "old")
    new = fill_log(state / "embedded" / "new.db", "new", ended_at=datetime.now(UTC))
    os.mkfifo(state / "embedded" / "pipe.db")
    assert penstock("prune").exit_code == 0
    assert (old.exists(), new.exists()) == (False, True)


def test_the_log_of_an_embedded_daemon_is_as_old_as_its_newest_fact(
    penstock: Penstock, state: Path
) -> None:
    """RS-05: neither the time of its file nor a clock that is ahead now makes it old."""
    logs = state / "embedded"
    old = fill_log(logs / "old.db", "old", ended_at=LONG_AGO)
    later = LONG_AGO + timedelta(days=100)
    new = fill_log(logs / "new.db", "new", ended_at=later)
    os.utime(new, (0, 0))
    done = penstock("prune", "--older-than", "50")
    assert (done.exit_code, old.exists(), new.exists()) == (0, False, True)
    # Much time has passed, or a clock has jumped: nothing tells which.
    assert penstock("prune", "--older-than", "1").exit_code == 0
    assert new.exists()


def test_the_folders_of_all_runs_of_an_embedded_log_go_before_it(
    penstock: Penstock, state: Path
) -> None:
    """RS-05: of the children of its run too."""
    path = fill_log(state / "embedded" / "made.db", "made", "made.child")
    later = LONG_AGO + timedelta(days=100)
    newer = fill_log(state / "embedded" / "z.db", "z", ended_at=later)
    folders = [folder_of(state, run_id) for run_id in ("made", "made.child")]
    for folder in folders:
        (folder / "deep").mkdir(parents=True)
    assert penstock("prune", "--older-than", "1").exit_code == 0
    assert not any(folder.exists() for folder in (path, *folders))
    assert newer.exists()
