"""Imports that a thread does when they are first needed."""

from __future__ import annotations

import gc
from pathlib import Path

import pytest

from penstock.concurrency.late import import_late


@pytest.fixture
def heavy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The name of a module that nobody has imported."""
    (tmp_path / "a_heavy_library.py").write_text("table = [[n] for n in range(5000)]\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    return "a_heavy_library"


async def test_what_was_imported_late_costs_no_later_collection_anything(
    heavy: str,
) -> None:
    """QA-12: the objects of a library are looked through once at most."""
    before = gc.get_freeze_count()
    module = await import_late(heavy)
    frozen = gc.get_freeze_count()
    assert len(module.table) == 5000
    assert frozen - before >= 5000
    # What a run has made since then stays where it can be collected.
    garbage = [[n] for n in range(5000)]
    assert await import_late(heavy) is module
    assert gc.get_freeze_count() - frozen < 5000, len(garbage)


async def test_a_library_that_cannot_be_imported_says_why() -> None:
    """QA-12"""
    with pytest.raises(ModuleNotFoundError, match="no_such_library"):
        await import_late("no_such_library")
