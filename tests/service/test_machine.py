"""What a daemon needs of its machine."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
import trio

from penstock.service.daemon import open_daemon
from penstock.service.embedded import open_embedded
from penstock.service.machine import check_machine, make_folder, make_state
from penstock.words.address import Paths
from penstock.words.config import Config
from penstock.words.errors import StartRefused


def uname(system: str, release: str) -> os.uname_result:
    return os.uname_result((system, "box", release, "", "x86_64"))


def test_linux_from_5_3_on_will_do() -> None:
    for release in ("5.3.0", "5.10.0-28-amd64", "6.18.44"):
        check_machine(uname("Linux", release))


@pytest.mark.parametrize(
    ("system", "release", "named"),
    [("Darwin", "23.1.0", "Darwin"), ("Linux", "5.2.21", "5.3"), ("Linux", "4.19", "5.3")],
)  # fmt: skip
def test_any_other_machine_is_refused_in_a_sentence(
    system: str, release: str, named: str
) -> None:
    with pytest.raises(StartRefused, match=named):
        check_machine(uname(system, release))


async def test_neither_daemon_starts_elsewhere(
    monkeypatch: pytest.MonkeyPatch, home: Path
) -> None:
    """And nothing is made before it is refused."""
    monkeypatch.setattr(os, "uname", lambda: uname("Darwin", "23.1.0"))
    with trio.fail_after(30):
        with pytest.raises(StartRefused, match="Darwin"):
            async with open_daemon(Config(), os.environ):
                pass
        with pytest.raises(StartRefused, match="Darwin"):
            async with open_embedded(Config(), "r", os.environ):
                pass
    assert not (home / "state").exists()


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StartRefused, match="file/state"):
        make_state(Paths(tmp_path / "file" / "state", tmp_path, tmp_path))


def test_folders_are_made_for_their_user_alone(tmp_path: Path) -> None:
    paths = Paths(tmp_path / "state", tmp_path / "run", tmp_path)
    make_state(paths)
    assert paths.state.stat().st_mode & 0o777 == 0o700
    assert paths.runs.is_dir()
    assert paths.runtime.stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize("mode", [0o777, 0o775, 0o1777])
@pytest.mark.parametrize("name", ["", "runs", "embedded"])
def test_a_folder_into_which_others_could_write_is_closed(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, mode: int, name: str
) -> None:
    """ST-07"""
    folder = tmp_path / "state" / name
    folder.mkdir(parents=True)
    folder.chmod(mode)
    make_state(Paths(tmp_path / "state", tmp_path / "run", tmp_path / "cache"))
    assert folder.stat().st_mode & 0o7777 == 0o700
    assert f"others could write into {folder}" in caplog.text


def test_a_folder_or_a_file_of_somebody_else_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """ST-07 What others put there while they could is not trusted afterwards."""
    paths = Paths(tmp_path / "state", tmp_path / "run", tmp_path / "cache")
    make_state(paths)
    paths.lock.touch()
    make_state(paths)
    lstat, owner = Path.lstat, os.geteuid()

    def planted(path: Path) -> os.stat_result:
        values = list(lstat(path))
        values[4] = owner + 1
        return os.stat_result(values)

    with monkeypatch.context() as patched:
        patched.setattr(Path, "lstat", planted)
        with pytest.raises(StartRefused, match=f"{paths.lock} is not a file of yours"):
            make_state(paths)
    monkeypatch.setattr(os, "geteuid", lambda: owner + 1)
    with pytest.raises(StartRefused, match=f"{paths.state} belongs to uid {owner}"):
        make_state(paths)


def test_a_folder_of_sockets_that_goes_as_it_is_made_keeps_nobody_from_starting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """CL-02: another daemon took it along, and who listens makes it again."""
    mkdir = Path.mkdir

    def make(folder: Path, *args: Any, **options: Any) -> None:
        mkdir(folder, *args, **options)
        folder.rmdir()

    monkeypatch.setattr(Path, "mkdir", make)
    make_folder(tmp_path / "run")
