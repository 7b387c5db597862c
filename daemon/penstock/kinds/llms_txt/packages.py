"""The packages of a tree that holds several, and the share that each gets of the listed code. Pure.

A package is a folder below the root with a build file of its own. One that its project keeps to itself
(`"private": true`) is no package to its users, nor is one among tests, examples or what is vendored.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from penstock.kinds.llms_txt.metadata import Metadata, read_one

#: Packages whose build files are read.
MOST_PACKAGES = 400
#: Fewer are no tree of packages, but one with something beside it.
_FEWEST = 2
# Turns are whole numbers, and fine enough to tell weights apart.
_TURN = 1000
_OF_ROOT = 10

_BUILD_FILES = frozenset(
    {"package.json", "Cargo.toml", "pyproject.toml", "go.mod", "composer.json", "pom.xml", "mix.exs", "Package.swift"}
)  # fmt: skip
_NO_PACKAGE = re.compile(
    r"(^|/)(tests?|__tests__|e2e|specs?|fixtures?|testdata|examples?|samples?|demos?|playgrounds?|templates?|vendor(ed)?"
    r"|third[_-]party|node_modules|docs?|website|site|bench\w{0,10}|scripts|tools?|internal|\.[^/]{1,100})/",
    re.IGNORECASE,
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Package:
    """A package by its folder, which ends in `/` or is "", the root; `entries` are paths below the root."""

    folder: str
    name: str
    entries: tuple[str, ...] = ()
    summary: str = ""


def build_files(paths: Iterable[str]) -> list[str]:
    """The build files of what may be packages, those of outer folders first."""
    found = [
        path
        for path in paths
        if path.rpartition("/")[2] in _BUILD_FILES and not _NO_PACKAGE.search(path)
    ]
    return sorted(found, key=lambda path: (path.count("/"), path))[:MOST_PACKAGES]


def read_package(path: str, text: str) -> Package:
    """The package that this build file is of; without a name, if it is none to users."""
    folder = path[: path.rfind("/") + 1]
    name = path.rpartition("/")[2]
    if name == "package.json" and _is_private(text):
        return Package(folder, "")
    said: Metadata = read_one(name, text)
    entries = tuple(folder + entry for entry in said.entries)
    title = said.name or folder[:-1].rpartition("/")[2]
    return Package(folder, title, entries, said.summary)


def summary_by(name: str, found: Iterable[Package]) -> str:
    """What the package says that has the project's own name, where its root says nothing."""
    return next((one.summary for one in found if one.summary and _bare(one.name.rpartition("/")[2]) == _bare(name)), "")  # fmt: skip


def _is_private(text: str) -> bool:
    try:
        said = json.loads(text)
    except (ValueError, RecursionError):
        return True
    return not isinstance(said, dict) or said.get("private") is True


def packages_of(found: Iterable[Package], code: Iterable[str]) -> list[Package]:
    """Those that hold code; none if too few beside the root do to share anything."""
    by_folder = {one.folder: one for one in found if one.name}
    holding = {_innermost(path, by_folder) for path in code}
    ours = [one for folder, one in by_folder.items() if folder in holding]
    return ours if sum(bool(one.folder) for one in ours) >= _FEWEST else []


def standing_files(packages: Sequence[Package], code: Iterable[str]) -> dict[str, str]:
    """By the name of a package, the file that it is spoken of by: one that it names, else its first one."""
    by_folder = {one.folder: one for one in packages}
    found: dict[str, str] = {}
    named: set[str] = set()
    for path in code:
        if (folder := _innermost(path, by_folder)) not in by_folder:
            continue
        package = by_folder[folder]
        if path in package.entries and package.name not in named:
            named.add(package.name)
            found[package.name] = path
        found.setdefault(package.name, path)
    return found


def _innermost(path: str, folders: Container[str]) -> str:
    return next((one for one in _folders(path) if one in folders), "")


@dataclass(frozen=True, slots=True)
class Packages:
    """The packages of a tree, those first of which the others speak most."""

    ordered: tuple[Package, ...] = ()
    #: By place: how many files of this one come before the second of one that nobody speaks of.
    weights: tuple[int, ...] = ()
    #: How many files of the root come first, where it is a package too and the others come with it.
    of_root: int = 0
    #: Folders with a build file that the project keeps to itself: websites, playgrounds, measurements.
    kept: frozenset[str] = frozenset()
    _places: Mapping[str, int] = field(default_factory=dict)

    @classmethod
    def of(
        cls, found: Sequence[Package], mentions: Mapping[str, int], kept: Iterable[str]
    ) -> Packages:
        """`mentions`: how many files speak of a file; `kept`: folders that are no packages to users."""
        spoken_of = dict.fromkeys(["", *(one.folder for one in found)], 0)
        for path, count in mentions.items():
            spoken_of[_innermost(path, spoken_of)] += count
        below = [one for one in found if one.folder]
        ordered = sorted(below, key=lambda one: (-spoken_of[one.folder], one.folder))
        places = {one.folder: place for place, one in enumerate(ordered)}
        # By the root of it: one of which all speak has more to show, and the others something too.
        folders = ["", *(one.folder for one in ordered)]
        weights = tuple(1 + math.isqrt(spoken_of[folder]) for folder in folders)
        of_root = _OF_ROOT if len(below) < len(found) else 0
        return cls(tuple(ordered), weights, of_root, frozenset(kept), places)

    def place(self, path: str) -> int:
        """The place of the package that a file is in; what is in none comes first."""
        places = (self._places.get(folder) for folder in _folders(path))
        return next((place + 1 for place in places if place is not None), 0)

    def is_kept(self, path: str) -> bool:
        """Whether a file is of a part that the project keeps to itself, and of no package."""
        inner = next(
            (one for one in _folders(path) if one in self.kept or one in self._places),
            "",
        )
        return inner in self.kept

    def turn(self, place: int, number: int) -> int:
        """When the file of this number, of those of one package, has its turn."""
        number -= 0 if place else min(number, self.of_root)
        return number * _TURN // self.weights[place]

    def is_called_after(self, path: str, stem: str) -> bool:
        """Whether a file right in a package, or in its folder of sources, has the name of that."""
        place = self.place(path)
        if not place:
            return False
        package = self.ordered[place - 1]
        names = {
            package.folder[:-1].rpartition("/")[2],
            package.name.rpartition("/")[2],
        }
        below = path.removeprefix(package.folder)
        return below.count("/") <= 1 and _bare(stem) in {_bare(name) for name in names}

    def title(self, path: str) -> str:
        """A file of a package by its name and the path in it; "" for what is in none."""
        place = self.place(path)
        if not place:
            return ""
        package = self.ordered[place - 1]
        return f"{package.name}: {path.removeprefix(package.folder)}"


def _bare(name: str) -> str:
    return re.sub(r"[-_.]", "", name).casefold()


def _folders(path: str) -> Iterable[str]:
    """The folders that a file is in, inner ones first, each with its `/`."""
    at = path.rfind("/")
    while at > 0:
        yield path[: at + 1]
        at = path.rfind("/", 0, at)
