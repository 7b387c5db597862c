"""Score llms.txt against what maintainers would list: `python -m bench.llms ARCHIVES [--held-out ROUND]`.

ARCHIVES is a folder with the archives that `trees/*.toml` name (a Debian orig tarball, an sdist, an
npm tarball), found by their sums; those that are not there are named and left out. Each is unpacked and
described by `penstock run llms-txt --no-model`, as a person would.

For each tree: of the ten files, how many are listed before the optional part, and how many among the
first ten of their section ("early"); the share of those first tens that is among the ten; how many of
the five that must not stand before the optional part do; and whether title and summary are its
maintainer's. Each is told beside what a peer lists first, the first twenty files of a pack of
repomix, where REPOMIX names it.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import subprocess
import sys
import tarfile
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from bench._shared import scratch
from bench.main_job import PENSTOCK, daemon, environ_in
from llms_txt import parse_llms_file

TREES = Path(__file__).parent / "trees"
#: Links of a section that a reader sees at a glance.
EARLY = 10


@dataclass(frozen=True)
class Score:
    """Counts for one tree; see above."""

    name: str
    held_out: bool
    listed: int
    early: int
    shown: int
    bad: list[str]
    missed: list[str]
    title: str
    titled: bool
    summary: str
    summed: bool
    peer: int | None


def score(
    name: str, wanted: Mapping[str, Any], text: str, peer: list[str] | None
) -> Score:
    """What a text is worth by the lists."""
    read = parse_llms_file(text)
    ten = {path for path, _ in wanted["first"]}
    five = {path for path, _ in wanted["never"]}
    sections = {
        section: [unquote(link.url) for link in links]
        for section, links in read.sections.items()
        if section != "Optional"
    }
    listed = {path for links in sections.values() for path in links}
    early = [path for links in sections.values() for path in links[:EARLY]]
    summary = read.summary or ""
    return Score(
        name,
        wanted["held_out"],
        len(ten & listed),
        len(ten.intersection(early)),
        len(early),
        sorted(five & listed),
        sorted(ten.difference(early)),
        read.title,
        read.title.casefold() in wanted["titles"],
        summary,
        any(words.casefold() in summary.casefold() for words in wanted["summary"]),
        None if peer is None else len(ten.intersection(peer[: 2 * EARLY])),
    )


def unpack(archive: Path, folder: Path) -> Path:
    """The tree in an archive: its one top folder."""
    with tarfile.open(archive) as tar:
        tar.extractall(folder, filter="data")
    (root,) = folder.iterdir()
    return root


def packed(repomix: str, tree: Path, environ: Mapping[str, str]) -> list[str]:
    """The files of a pack, in its order."""
    out = tree.parent.parent / "packed.xml"
    command = [repomix, "--output", str(out), str(tree)]
    subprocess.run(command, env=environ, check=True, capture_output=True)
    lines = out.read_text(errors="replace").split("\n")
    out.unlink()
    marks = [line for line in lines if line.startswith('<file path="')]
    return [mark.split('"')[1] for mark in marks]


def scores(archives: Path, *, held_out: int) -> Iterator[Score]:
    """A score for each tree of that round whose archive is there; the trees of round 0 are not held out."""
    sums = {
        hashlib.sha256(file.read_bytes()).hexdigest(): file
        for file in sorted(archives.iterdir())
        if file.is_file()
    }
    repomix = os.environ.get("REPOMIX")
    with scratch() as folder:
        environ = environ_in(folder / "home")
        with daemon(environ):
            for listed in sorted(TREES.glob("*.toml")):
                wanted = tomllib.loads(listed.read_text(encoding="utf-8"))
                archive = sums.get(wanted["sha256"])
                if wanted["held_out"] * wanted.get("round", 1) != held_out:
                    continue
                if archive is None:
                    print(f"{listed.stem}: its archive is not there", file=sys.stderr)
                    continue
                tree = unpack(archive, folder / listed.stem)
                out = folder / "out"
                command = [*PENSTOCK, "run", "llms-txt", str(tree), "--no-model", "--out", str(out)]  # fmt: skip
                subprocess.run(command, env=environ, check=True, capture_output=True)
                peer = packed(repomix, tree, environ) if repomix else None
                text = (out / "llms.txt").read_text(encoding="utf-8")
                yield score(listed.stem, wanted, text, peer)


def main(args: list[str]) -> None:
    """Print the table, and with --verbose what is missing and what is wrong."""
    parser = argparse.ArgumentParser("python -m bench.llms", description=__doc__)
    parser.add_argument("archives", type=Path)
    parser.add_argument("--held-out", type=int, default=0, metavar="ROUND")
    parser.add_argument("--verbose", action="store_true")
    given = parser.parse_args(args)
    found: list[Score] = []
    print(
        "| tree | title | summary | listed | early | precision | must not | repomix |"
    )
    print("|---|---|---|---|---|---|---|---|")
    for one in scores(given.archives, held_out=given.held_out):
        found.append(one)
        print(
            f"| {one.name} | {'yes' if one.titled else 'no'} | {'yes' if one.summed else 'no'}"
            f" | {one.listed} | {one.early} | {one.early / max(1, one.shown):.2f} | {len(one.bad)}"
            f" | {'' if one.peer is None else one.peer} |",
            flush=True,
        )
        if given.verbose:
            print(
                f"  {one.title!r}: {one.summary!r}\n  missed {one.missed}\n  bad {one.bad}"
            )
    count = max(1, len(found))
    peers = [one.peer for one in found if one.peer is not None]
    print(
        f"| all {len(found)} | {sum(one.titled for one in found)} | {sum(one.summed for one in found)}"
        f" | {sum(one.listed for one in found) / count:.1f} | {sum(one.early for one in found) / count:.1f}"
        f" | {sum(one.early for one in found) / max(1, sum(one.shown for one in found)):.2f}"
        f" | {sum(len(one.bad) for one in found)}"
        f" | {f'{sum(peers) / len(peers):.1f}' if peers else ''} |"
    )


if __name__ == "__main__":
    main(sys.argv[1:])
