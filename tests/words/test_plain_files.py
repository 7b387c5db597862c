"""ER-02: files found by name are read at once, or refused at once, whatever stands there."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from penstock.words.plain_files import open_plain, read_plain, reason_of, write_plain


def test_a_text_comes_back_as_it_was_written(tmp_path: Path) -> None:
    write_plain(tmp_path / "a", "caf\u00e9\n")
    write_plain(tmp_path / "a", "caf\u00e9")
    assert read_plain(tmp_path / "a") == "caf\u00e9"
    assert (tmp_path / "a").stat().st_mode & 0o077 == 0


@pytest.mark.parametrize("what", ["fifo", "folder", "/dev/zero", "a link to a fifo"])
def test_what_has_no_end_or_waits_is_refused_at_once(tmp_path: Path, what: str) -> None:
    path = Path(what) if what.startswith("/") else tmp_path / "it"
    if what == "fifo":
        os.mkfifo(path)
    elif what == "folder":
        path.mkdir()
    elif what == "a link to a fifo":
        os.mkfifo(tmp_path / "there")
        path.symlink_to(tmp_path / "there")
    with pytest.raises(OSError, match="it is no regular file") as refused:
        read_plain(path)
    assert reason_of(refused.value) == "it is no regular file"
    with pytest.raises(OSError, match=r"regular file|directory|No such device"):
        os.close(open_plain(path, os.O_WRONLY))


def test_more_than_the_limit_is_refused_however_large_it_is(tmp_path: Path) -> None:
    """A sparse file costs its writer nothing."""
    with (tmp_path / "sparse").open("wb") as file:
        file.truncate(1 << 40)
    with pytest.raises(OSError, match="more than 10 bytes"):
        read_plain(tmp_path / "sparse", 10)
    (tmp_path / "full").write_bytes(b"x" * 10)
    assert read_plain(tmp_path / "full", 10) == "x" * 10


def test_the_null_device_is_an_empty_file() -> None:
    """It is how people say that there is to be no such file."""
    assert read_plain(Path(os.devnull)) == ""


def test_a_pipe_of_the_shell_is_read_where_that_is_said(tmp_path: Path) -> None:
    reading, writing = os.pipe()
    os.write(writing, b"{}")
    os.close(writing)
    path = Path(f"/dev/fd/{reading}")
    try:
        with pytest.raises(OSError, match="it is no regular file"):
            read_plain(path)
        assert read_plain(path, pipe=True) == "{}"
    finally:
        os.close(reading)
    os.mkfifo(tmp_path / "named")
    with pytest.raises(OSError, match="it is no regular file"):
        read_plain(tmp_path / "named", pipe=True)
