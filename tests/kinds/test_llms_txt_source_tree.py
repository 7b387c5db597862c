"""ML-03, ML-04: what belongs to a tree, and reading it without leaving it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from penstock.kinds.llms_txt.source_tree import decode, list_tree, read_text


def _list(root: Path, names: list[str] | None = None, limit: int = 1000) -> list[str]:
    return [
        file.path for file in list_tree(str(root), names, limit, lambda: None).files
    ]


def _make(root: Path, *paths: str, text: str = "x\n") -> None:
    for path in paths:
        file = root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)


def test_caches_products_and_own_files_are_left_out(tmp_path: Path) -> None:
    """ML-04 Only what a person wrote; a package named `build` is written by a person."""
    kept = ["README.md", "src/a.py", "src/build/__init__.py", "src/build/env.py"]
    _make(tmp_path, *kept)
    _make(
        tmp_path, ".git/config", ".venv/x.py", "node_modules/m/i.js", "a/__pycache__/a.pyc",
        "dist/x.js", "build/lib/x.py", "x.egg-info/PKG-INFO", "llms.txt", "docs/llms-full.txt",
        ".penstock-0123456789abcdef.tmp",
    )  # fmt: skip
    assert _list(tmp_path) == sorted(kept)


def test_names_that_are_not_utf8_are_files_like_others(tmp_path: Path) -> None:
    """ML-04 Non-ASCII and undecodable names."""
    _make(tmp_path, "ünïcode.md", "日本語.py")
    (tmp_path / os.fsdecode(b"bad\xff.md")).write_text("# Bad\n")
    assert set(_list(tmp_path)) == {"ünïcode.md", "日本語.py", "bad\udcff.md"}
    assert read_text(str(tmp_path), "bad\udcff.md", 100) == "# Bad\n"


def test_nothing_outside_is_listed_or_read(tmp_path: Path) -> None:
    """ML-03 Links out of the tree, `..` and absolute names; a link inside the tree is a file."""
    secret = tmp_path / "secret.md"
    secret.write_text("# Secret\n")
    root = tmp_path / "tree"
    _make(root, "docs/README.md")
    (root / "README.md").symlink_to("docs/README.md")
    (root / "out.md").symlink_to(secret)
    (root / "folder").symlink_to(tmp_path)
    (root / "loop.md").symlink_to("loop.md")
    names = [
        "README.md",
        "out.md",
        "folder/secret.md",
        "../secret.md",
        str(secret),
        "loop.md",
        "gone",
        "a\0b",
    ]
    assert _list(root, names) == ["README.md"]
    assert _list(root) == ["README.md", "docs/README.md"]
    assert [read_text(str(root), name, 100) for name in names[1:6]] == [None] * 5


def test_pipes_and_devices_are_no_files(tmp_path: Path) -> None:
    """ML-04 Opening a pipe would wait for ever."""
    os.mkfifo(tmp_path / "pipe.md")
    assert _list(tmp_path) == []
    assert read_text(str(tmp_path), "pipe.md", 100) is None


def test_a_larger_tree_than_allowed_is_cut_and_told(tmp_path: Path) -> None:
    """ML-04 A bound on files, said and not silent."""
    _make(tmp_path, *[f"f{number}.md" for number in range(5)])
    assert list_tree(str(tmp_path), None, 3, lambda: None).cut
    assert not list_tree(str(tmp_path), None, 5, lambda: None).cut


def test_a_listing_can_be_stopped(tmp_path: Path) -> None:
    """ML-04 The caller's check is asked for every file."""
    _make(tmp_path, *[f"f{number}.md" for number in range(5)])
    asked = []

    def check() -> None:
        asked.append(1)
        if len(asked) == 3:
            raise InterruptedError

    with pytest.raises(InterruptedError):
        list_tree(str(tmp_path), None, 100, check)
    assert len(asked) == 3


@pytest.mark.parametrize("cut", range(1, 12))
def test_a_cut_falls_between_characters(cut: int) -> None:
    """ML-04 Never a replacement character where the file has none."""
    text = "aü€😀b"
    assert decode(text.encode()[:cut]) == text.encode()[:cut].decode(errors="ignore")


def test_text_is_told_from_binary() -> None:
    """ML-04 NUL means binary; other bad bytes are replaced; newlines are plain."""
    assert decode(b"a\0b") is None
    assert decode(b"a\xffb\r\nc\rd") == "a\N{REPLACEMENT CHARACTER}b\nc\nd"
    assert decode(b"\xef\xbb\xbfx") == "x"
    assert decode(b"") == ""
