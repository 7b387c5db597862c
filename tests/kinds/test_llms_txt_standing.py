"""ML-04: an llms.txt that is there already keeps its order and words; what is new is added, what is gone goes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from fakes.kind_runs import Ended, run_kind
from penstock.kinds.llms_txt.outline import Link, Outline
from penstock.kinds.llms_txt.pipeline import KIND
from penstock.kinds.llms_txt.standing import MOST_BYTES, Difference, compare

TREE = ["README.md", "docs/guide.md", "docs/new.md", "src/a.py", "src/b.py", "t/x.py"]
OUTLINE = Outline(
    "Thing",
    "What it is.",
    ("More.",),
    {
        "Docs": (
            Link("Readme", "README.md"),
            Link("Guide", "docs/guide.md", "How to"),
            Link("New", "docs/new.md", "What is new here"),
        ),
        "Code": (Link("a", "src/a.py"), Link("b", "src/b.py")),
        "Optional": (Link("x", "t/x.py"),),
    },
)
WRITTEN = """\
# Our Thing

> Written by us, *with care*.

Do read the guide.

## Start here

- [The guide](docs/guide.md): as we would say it
- [Gone](docs/old.md): of long ago

## Docs
- [Home](README.md)

Words of ours.

## Optional

- [Elsewhere](https://example.org/x)
"""


def _compare(text: str, base_url: str = "") -> Difference:
    return compare(text, OUTLINE.sections, TREE, base_url)


def test_words_and_order_stay_and_new_files_come_behind() -> None:
    """LT-06 ML-04 Of sections that it has something of: who lists no code wants none."""
    found = _compare(WRITTEN)
    assert found.text == WRITTEN.replace(
        "- [Gone](docs/old.md): of long ago\n", ""
    ).replace(
        "- [Home](README.md)\n",
        "- [Home](README.md)\n- [New](docs/new.md): What is new here\n",
    )
    assert found.gone == ("docs/old.md",)
    assert str(found) == (
        "1 of its links lead nowhere (docs/old.md) and 1 files are not in it (docs/new.md)"
    )


def test_what_was_added_is_there_from_then_on() -> None:
    """ML-04 An update of an update changes nothing."""
    once = _compare(WRITTEN)
    twice = _compare(once.text)
    assert (twice.text, twice.stale) == (once.text, False)


def test_a_section_that_is_not_there_comes_before_the_optional_one() -> None:
    """ML-04 Or at the end, where there is no such section."""
    text = WRITTEN.replace("[Home](README.md)", "[A](src/a.py)").replace(
        "## Docs", "## Sources"
    )
    added = _compare(text).text
    assert "## Code\n\n- [b](src/b.py)\n\n## Optional\n" in added
    short = _compare("# T\n\n- [a](src/a.py)\n\n\n").text
    assert short == "# T\n\n- [a](src/a.py)\n\n## Code\n\n- [b](src/b.py)\n"


@pytest.mark.parametrize("said", ["docs/new.md", "docs/", "other docs/new.md\n"])
def test_what_a_comment_leaves_out_is_not_added(said: str) -> None:
    """ML-04 So a maintainer has the last word; above the sections, where other readers take it for text."""
    text = WRITTEN.replace("of long ago", "x").replace("docs/old.md", "README.md")
    comment = f"<!-- not listed: {said} -->\n\n## Start here"
    assert not _compare(text.replace("## Start here", comment)).stale


@pytest.mark.parametrize(
    ("url", "base"),
    [
        ("docs/new.md", ""),
        ("./docs/new.md#part", ""),
        ("/docs/new.md", "/"),
        ("https://host/o/r/blob/main/docs/new.md", "https://host/o/r/blob/main/"),
        ("https://docs.host/en/latest/new.html", ""),
        ("https://docs.host/new/", ""),
    ],
)
def test_a_file_is_known_by_each_address_that_it_has(url: str, base: str) -> None:
    """ML-04 Relative, of a repository, of a site; new links are written as most of the others."""
    text = f"# T\n\n## Docs\n\n- [New]({url})\n"
    found = _compare(text)
    assert [link.path for link in found.new["Docs"]] == ["README.md", "docs/guide.md"]
    assert f"- [Guide]({base}docs/guide.md): How to\n" in found.text


def test_pages_elsewhere_are_not_judged() -> None:
    """ML-04 Nothing is known of other sites, nor of what a folder above has."""
    text = (
        "# T\n\n## Docs\n\n- [x](https://example.org/nothing.html)\n- [y](../up.md)\n"
    )
    assert _compare(text).gone == ()


async def _run(tmp_path: Path, **inputs: Any) -> Ended:
    return await run_kind(KIND, inputs, tmp_path / "runs")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "thing"
    for path in TREE:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(f"# The file {path}\n\nIt is told by {path}.\n")
    return root


async def test_an_update_is_written_where_the_text_was(
    root: Path, tmp_path: Path
) -> None:
    """ML-04 Without `out` in the tree itself; a check is content with it, and was not before."""
    (root / "llms.txt").write_text(WRITTEN)
    stale = await _run(tmp_path, source=str(root), check=True)
    assert stale.view.state == "failed"
    assert "llms.txt is stale: 1 of its links lead nowhere (docs/old.md)" in str(
        stale.view.error
    )
    assert (root / "llms.txt").read_text() == WRITTEN
    updated = await _run(tmp_path, source=str(root), update=True)
    assert updated.view.state == "completed", updated.view.error
    text = (root / "llms.txt").read_text()
    assert text.startswith(WRITTEN[: WRITTEN.index("- [Gone]")])
    told = updated.view.result or {}
    assert (told["added"], told["removed"]) == (1, 1)
    fresh = await _run(tmp_path, source=str(root), check=True)
    assert fresh.view.state == "completed", fresh.view.error


async def test_a_check_tells_which_text_it_looked_at(
    root: Path, tmp_path: Path
) -> None:
    """ML-04 That of the tree, where `out` has none."""
    where = {"source": str(root), "update": True}
    (root / "llms.txt").write_text(WRITTEN)
    assert (await _run(tmp_path, **where)).view.state == "completed"
    run = await _run(tmp_path, source=str(root), out=str(tmp_path / "out"), check=True)
    assert run.view.state == "completed", run.view.error
    assert (run.view.result or {})["llms_txt"] == str(root / "llms.txt")


async def test_what_penstock_wrote_is_up_to_date_until_the_tree_changes(
    root: Path, tmp_path: Path
) -> None:
    """LT-06 ML-04 For CI: the same inputs, then `check`."""
    where = {"source": str(root), "out": str(root)}
    assert (await _run(tmp_path, **where)).view.state == "completed"
    assert (await _run(tmp_path, **where, check=True)).view.state == "completed"
    (root / "docs" / "more.md").write_text("# More\n\nMore is told here.\n")
    stale = await _run(tmp_path, **where, check=True)
    assert "1 files are not in it (docs/more.md)" in str(stale.view.error)


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"- [Readme](README.md) \xe4\n", "'utf-8' codec can't decode byte 0xe4"),
        (b"x" * (MOST_BYTES + 1), f"it has more than {MOST_BYTES:,} bytes"),
        (None, "leads out of the tree"),
    ],
    ids=["no UTF-8", "too long", "a link"],
)
async def test_what_cannot_be_kept_word_for_word_is_not_written_over(
    root: Path, tmp_path: Path, data: bytes | None, why: str
) -> None:
    """ML-04 Neither cut, nor with other letters, nor taken for none: the run says why it fails."""
    file = root / "llms.txt"
    if data is None:
        (tmp_path / "elsewhere").write_text(WRITTEN)
        file.symlink_to(tmp_path / "elsewhere")
    else:
        file.write_bytes(data)
    before = file.read_bytes()
    for given in (
        {"update": True},
        {"update": True, "out": str(root)},
        {"check": True},
    ):
        run = await _run(tmp_path, source=str(root), **given)
        assert run.view.state == "failed"
        assert f"{root}/llms.txt cannot be read: {why}" in str(run.view.error)
    assert file.read_bytes() == before


async def test_an_update_finds_what_a_linked_folder_has(
    root: Path, tmp_path: Path
) -> None:
    """ML-04 What is there is not taken for nothing, since that would be written over."""
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "llms.txt").write_text(WRITTEN)
    (tmp_path / "linked").symlink_to(tmp_path / "site")
    out = str(tmp_path / "linked")
    updated = await _run(tmp_path, source=str(root), out=out, update=True)
    assert updated.view.state == "completed", updated.view.error
    text = (tmp_path / "site" / "llms.txt").read_text()
    assert text.startswith(WRITTEN[: WRITTEN.index("- [Gone]")])


def test_an_update_keeps_the_ends_of_lines() -> None:
    """ML-04 A file of another system would differ in every line otherwise."""
    found = _compare(WRITTEN.replace("\n", "\r\n"))
    assert found.text == _compare(WRITTEN).text.replace("\n", "\r\n")


async def test_a_check_of_nothing_says_so(root: Path, tmp_path: Path) -> None:
    """ML-04 A missing llms.txt is not an up-to-date one."""
    run = await _run(tmp_path, source=str(root), check=True)
    assert run.view.state == "failed"
    assert "there is no" in str(run.view.error)
