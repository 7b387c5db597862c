"""CL-01: the texts that a run makes can be had on the command line."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fakes.house_beside import HouseBeside
from fakes.penstock_command import Penstock
from penstock.pipeline import Inputs, Kind, Output, Run
from penstock.words.events import ArtifactCompleted

TEXT = "one\ntwo \x1b[1m\n"
DIGEST = hashlib.sha256(TEXT.encode()).hexdigest()


class Written(Inputs):
    """How a text is written."""

    path: str | None = None
    #: Whether it comes to its end; else the run fails on the way.
    whole: bool = True


async def write(run: Run, inputs: Written) -> Output:
    """Two texts, one of them begun twice."""
    async with run.artifact("a.txt", attempt=1) as text:
        await text.write("given up")
    async with run.artifact("b.txt") as text:
        await text.write("other")
    async with run.artifact("a.txt", attempt=2) as text:
        text.path = inputs.path
        for piece in (TEXT[:4], TEXT[4:]):
            await text.write(piece)
            await text.flush()
        if not inputs.whole:
            raise RuntimeError("on the way")
    return Output()


WRITES = Kind("writes", "Writes two texts", Written, Output, write)

Make = Callable[..., None]


@pytest.fixture
def kinds() -> tuple[Kind, ...]:
    return (WRITES,)


@pytest.fixture
def make(daemon: HouseBeside) -> Make:
    """The run `r` has written its texts: `make(whole=False)` is how."""

    def run(**inputs: Any) -> None:
        daemon.submit("writes", inputs, run_id="r")
        daemon.wait_ended("r")

    return run


def known(**changes: Any) -> dict[str, Any]:
    return {
        "artifact_id": "a.txt", "attempt": 2, "characters": len(TEXT), "size": len(TEXT),
        "sha256": DIGEST, "path": None, **changes,
    }  # fmt: skip


def test_a_text_is_its_newest_attempt_whole_and_as_it_is(
    penstock: Penstock, make: Make
) -> None:
    make()
    result = penstock("artifacts", "r", "a.txt")
    assert (result.exit_code, result.stdout, result.stderr) == (0, TEXT, "")


def test_a_text_goes_to_a_file(penstock: Penstock, make: Make, tmp_path: Path) -> None:
    make()
    out = tmp_path / "copy"
    assert penstock("artifacts", "r", "a.txt", "-o", str(out)).stdout == ""
    assert out.read_bytes() == TEXT.encode()


def test_a_file_stays_as_it_was_if_there_is_no_such_text(
    penstock: Penstock, make: Make, tmp_path: Path
) -> None:
    make()
    out = tmp_path / "copy"
    out.write_text("before")
    result = penstock("artifacts", "r", "none", "-o", str(out))
    assert result.exit_code == 3
    assert result.stderr == "penstock: r has no text 'none'; it has: a.txt, b.txt\n"
    assert out.read_text() == "before"


def test_a_text_that_still_grows_is_told_to_be_so(
    penstock: Penstock, make: Make
) -> None:
    make(whole=False)
    result = penstock("artifacts", "r", "a.txt")
    assert result.stdout == TEXT
    assert "a.txt is not whole" in result.stderr
    assert "not whole" in penstock("artifacts", "r").stdout


def test_a_text_whose_pieces_are_not_all_there_is_refused(
    penstock: Penstock, daemon: HouseBeside
) -> None:
    daemon.start("r")
    told = ArtifactCompleted(artifact_id="a.txt", size=9, sha256="0" * 64)
    daemon.record("r", told)
    result = penstock("artifacts", "r", "a.txt")
    assert (result.exit_code, result.stdout) == (1, "")
    assert "damaged" in result.stderr


def test_without_a_name_the_texts_are_listed(
    penstock: Penstock, make: Make, tmp_path: Path
) -> None:
    make(path=str(tmp_path))
    heads, line, _ = penstock("artifacts", "r").stdout.splitlines()
    assert heads.split() == ["NAME", "BYTES", "FILE"]
    assert line.split() == ["a.txt", str(len(TEXT)), str(tmp_path)]
    told = penstock("artifacts", "r", "--json").stdout.splitlines()
    assert json.loads(told[0]) == known(path=str(tmp_path))
    assert penstock("artifacts", "r", "-o", "x").exit_code == 2


def test_a_file_that_is_gone_is_not_told(
    penstock: Penstock, make: Make, tmp_path: Path
) -> None:
    make(path=str(tmp_path / "gone"))
    assert str(tmp_path) not in penstock("artifacts", "r").stdout


def test_json_holds_the_text_and_what_is_known_of_it(
    penstock: Penstock, make: Make
) -> None:
    make()
    told = json.loads(penstock("artifacts", "r", "a.txt", "--json").stdout)
    assert told == {"run_id": "r", **known(), "text": TEXT}
