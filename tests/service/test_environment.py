"""What a daemon does to the disk: a run's folder is removed whatever the run made of it."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from penstock.service.environment import remove_folder

#: Nobody's user id, where the tests are root's and could write anything.
NOBODY = 65534


@contextmanager
def as_a_user(folder: Path) -> Iterator[None]:
    """Be no root inside, and own the folder."""
    if os.geteuid():
        yield
        return
    os.chown(folder, NOBODY, NOBODY)
    os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)


@pytest.fixture
def runs() -> Iterator[Path]:
    """A folder that any user can reach."""
    folder = Path(tempfile.mkdtemp(prefix="penstock-runs-"))
    yield folder
    shutil.rmtree(folder)


async def test_a_folder_goes_with_all_that_is_in_it(runs: Path) -> None:
    """RS-05"""
    (runs / "a" / "deep").mkdir(parents=True)
    (runs / "a" / "deep" / "file").touch()
    await remove_folder(runs / "a")
    await remove_folder(runs / "a")
    await remove_folder(runs / "never" / "there")
    assert os.listdir(runs) == []


async def test_a_folder_goes_however_deep_it_is(runs: Path) -> None:
    """RS-05: deeper than a path may be long, and than Python calls itself."""
    here = os.open(runs, os.O_RDONLY)
    os.mkdir("a", dir_fd=here)
    inner = os.open("a", os.O_RDONLY, dir_fd=here)
    for _ in range(1500):
        os.mkdir("d" * 20, dir_fd=inner)
        deeper = os.open("d" * 20, os.O_RDONLY, dir_fd=inner)
        os.close(inner)
        inner = deeper
    os.close(inner)
    os.close(here)
    await remove_folder(runs / "a")
    assert os.listdir(runs) == []


async def test_what_stands_in_its_place_goes_and_is_not_followed(
    runs: Path, tmp_path: Path
) -> None:
    """RS-05: a link, a link to nothing, a file."""
    (tmp_path / "precious").touch()
    (runs / "link").symlink_to(tmp_path)
    (runs / "nothing").symlink_to(runs / "not there")
    (runs / "file").touch()
    for name in ("link", "nothing", "file"):
        await remove_folder(runs / name)
    assert os.listdir(runs) == []
    assert os.listdir(tmp_path) == ["precious"]


async def test_a_tree_that_nobody_may_write_goes_too(
    runs: Path, tmp_path: Path
) -> None:
    """RS-05: as Go makes its modules; the mode of what a link points to is left."""
    target = tmp_path / "strangers"
    target.mkdir(mode=0o500)
    with as_a_user(runs):
        inner = runs / "a" / "module" / "deep"
        inner.mkdir(parents=True)
        (inner / "file").touch()
        (inner / "link").symlink_to(target)
        inner.chmod(0o500)
        inner.parent.chmod(0o000)
        inner.parent.parent.chmod(0o500)
        await remove_folder(runs / "a")
        assert os.listdir(runs) == []
    assert os.stat(target).st_mode & 0o777 == 0o500
