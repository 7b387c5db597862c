"""The token's file."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from penstock.server.bearer import ensure_token, rotate_token
from penstock.words.errors import StartRefused


def test_a_token_is_made_once_and_only_its_owner_reads_it(tmp_path: Path) -> None:
    """Law 7"""
    path = tmp_path / "state" / "token"
    token = ensure_token(path)
    assert len(token) >= 40
    assert ensure_token(path) == token
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert [child.name for child in path.parent.iterdir()] == ["token"]


def test_a_rotated_token_replaces_the_old_one(tmp_path: Path) -> None:
    path = tmp_path / "token"
    old = ensure_token(path)
    new = rotate_token(path)
    assert new != old
    assert ensure_token(path) == new
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [child.name for child in tmp_path.iterdir()] == ["token"]


def test_a_token_that_others_can_read_is_refused(tmp_path: Path) -> None:
    """Law 7"""
    path = tmp_path / "token"
    ensure_token(path)
    path.chmod(0o644)
    with pytest.raises(StartRefused, match="others may read"):
        ensure_token(path)


def test_an_empty_file_gets_a_token(tmp_path: Path) -> None:
    path = tmp_path / "token"
    path.touch(mode=0o600)
    assert ensure_token(path)


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    """ST-07"""
    (tmp_path / "file").touch()
    with pytest.raises(StartRefused, match="token"):
        ensure_token(tmp_path / "file" / "token")
