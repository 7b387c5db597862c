"""ML-04, QA-10: a file is the old one or the new one, whatever fails, and nothing lies beside it."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import trio

from penstock.kinds.atomic import open_atomic
from penstock.kinds.unfinished import hidden_name, is_hidden_name
from penstock.words.errors import NotAvailable

OLD = "the old text\n"
NEW = "the new text ü\n"


async def _write(target: Path, *pieces: str, tag: str = "run-1") -> None:
    async with open_atomic(target, tag=tag) as file:
        for piece in pieces:
            await file.write(piece)


async def test_a_text_is_put_into_place_whole(tmp_path: Path) -> None:
    """ML-04 Folders on the way are made; the pieces joined are the file."""
    target = tmp_path / "a" / "b" / "llms.txt"
    with trio.fail_after(30):
        await _write(target, "one ", "ü ", "three\n")
    assert target.read_text() == "one ü three\n"
    assert os.listdir(target.parent) == ["llms.txt"]


class DiskFullAt:
    """The disk is full at one system call, for files of ours and no others."""

    def __init__(self, call: str, monkeypatch: pytest.MonkeyPatch) -> None:
        self.struck = 0
        self._real = getattr(os, call)
        monkeypatch.setattr(os, call, self)

    def __call__(self, what: Any, *rest: Any, **named: Any) -> Any:
        name = (
            os.readlink(f"/proc/self/fd/{what}")
            if isinstance(what, int)
            else os.fspath(what)
        )
        if is_hidden_name(os.path.basename(name)):
            self.struck += 1
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return self._real(what, *rest, **named)


@pytest.mark.parametrize("call", ["open", "write", "fsync", "rename"])
@pytest.mark.parametrize("existed", [True, False])
async def test_a_full_disk_leaves_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str, existed: bool
) -> None:
    """ML-04 Whichever step fails: the old file or none, nothing beside it, and a sentence."""
    target = tmp_path / "llms.txt"
    if existed:
        target.write_text(OLD)
    disk = DiskFullAt(call, monkeypatch)
    with (
        trio.fail_after(30),
        pytest.raises(NotAvailable, match=r"llms\.txt cannot be written: No space"),
    ):
        await _write(target, NEW)
    monkeypatch.undo()
    assert disk.struck == 1
    assert os.listdir(tmp_path) == (["llms.txt"] if existed else [])
    assert not existed or target.read_text() == OLD


async def test_a_cancel_leaves_the_old_file(tmp_path: Path) -> None:
    """ML-04 QA-10 A cancelled writer leaves nothing of its text."""
    target = tmp_path / "llms.txt"
    target.write_text(OLD)
    with trio.fail_after(30), trio.CancelScope() as scope:
        async with open_atomic(target, tag="run-1") as file:
            await file.write(NEW)
            assert hidden_name(target, "run-1").exists()
            scope.cancel(reason="test")
            await file.write(NEW)
    assert scope.cancelled_caught
    assert target.read_text() == OLD
    assert os.listdir(tmp_path) == ["llms.txt"]


async def test_a_failure_of_the_writer_leaves_the_old_file(tmp_path: Path) -> None:
    """ML-04 The error passes through as it is."""
    target = tmp_path / "llms.txt"
    target.write_text(OLD)
    with trio.fail_after(30), pytest.raises(ZeroDivisionError):
        async with open_atomic(target, tag="run-1") as file:
            await file.write(NEW)
            raise ZeroDivisionError
    assert target.read_text() == OLD
    assert os.listdir(tmp_path) == ["llms.txt"]


async def test_a_link_in_place_is_replaced_and_not_followed(tmp_path: Path) -> None:
    """ML-03 Nothing is written outside the folder, even through a link that waits there."""
    outside = tmp_path / "outside"
    outside.write_text(OLD)
    folder = tmp_path / "out"
    folder.mkdir()
    (folder / "llms.txt").symlink_to(outside)
    hidden_name(folder / "full.txt", "run-1").symlink_to(outside)
    with trio.fail_after(30):
        await _write(folder / "llms.txt", NEW)
        with pytest.raises(NotAvailable):
            await _write(folder / "full.txt", NEW)
    assert outside.read_text() == OLD
    assert not (folder / "llms.txt").is_symlink()


@pytest.mark.processes
async def test_what_a_kill_left_is_used_up_by_the_next_execution(
    tmp_path: Path,
) -> None:
    """QA-10 The same run finds its own hidden file and renames it away."""
    target = tmp_path / "llms.txt"
    hidden_name(target, "run-1").write_text(
        "half of a text that was longer than the new one"
    )
    with trio.fail_after(30):
        await _write(target, NEW)
    assert target.read_text() == NEW
    assert os.listdir(tmp_path) == ["llms.txt"]


async def _write_repeated(target: Path, number: int) -> None:
    await _write(target, *[str(number)] * 50, tag=f"run-{number}")


async def test_two_runs_write_the_same_file_without_mixing(tmp_path: Path) -> None:
    """ML-04 Each has a hidden file of its own; the last to end wins."""
    target = tmp_path / "llms.txt"
    with trio.fail_after(30):
        async with trio.open_nursery() as nursery:
            for number in range(5):
                nursery.start_soon(_write_repeated, target, number)
    assert len(set(target.read_text())) == 1
    assert len(target.read_text()) == 50
    assert os.listdir(tmp_path) == ["llms.txt"]


_ENDLESS_WRITER = """
import sys, trio
from pathlib import Path
from penstock.kinds.atomic import open_atomic
async def main():
    while True:
        for letter in "AB":
            async with open_atomic(Path(sys.argv[1]), tag="run-1") as file:
                for _ in range(20):
                    await file.write(letter * 10_000)
            print(letter, flush=True)
trio.run(main)
"""


@pytest.mark.processes
@pytest.mark.parametrize("lines", [1, 2, 5])
def test_a_kill_leaves_the_old_file_or_the_new(tmp_path: Path, lines: int) -> None:
    """ML-04 kill -9 in the middle of writing: never a half file in place."""
    target = tmp_path / "llms.txt"
    argv = [sys.executable, "-c", _ENDLESS_WRITER, str(target)]
    with subprocess.Popen(argv, stdout=subprocess.PIPE) as writer:
        assert writer.stdout is not None
        for _ in range(lines):
            writer.stdout.readline()
        writer.send_signal(signal.SIGKILL)
    text = target.read_text()
    assert len(text) == 200_000
    assert len(set(text)) == 1
