"""Have the tree read, and put together what its files say of themselves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import trio

from penstock.kinds.llms_txt.classify import (
    Glance,
    Known,
    Placed,
    arrange,
    find_readme,
)
from penstock.kinds.llms_txt.confined_reading import (
    MENTIONS_AT_ONCE,
    PATHS_AT_ONCE,
    ask_description,
    ask_glances,
    ask_mentions,
    read_description,
    read_found_package,
    read_glances,
    read_heading,
    read_said,
)
from penstock.kinds.llms_txt.describe import Described
from penstock.kinds.llms_txt.metadata import Metadata, metadata_paths
from penstock.kinds.llms_txt.navigation import navigations, reading_order
from penstock.kinds.llms_txt.outline import (
    Outline,
    ProjectFacts,
    Readme,
    candidates,
    draw_outline,
    without_repeats,
)
from penstock.kinds.llms_txt.packages import (
    Package,
    Packages,
    build_files,
    packages_of,
    standing_files,
    summary_by,
)
from penstock.kinds.llms_txt.source_tree import SourceTree
from penstock.kinds.strangers import Reading
from penstock.pipeline import Run, run_in_thread

#: What answers about the files of a tree, in a process of its own.
ANSWERS = "penstock.kinds.llms_txt.confined_reading"

#: Files whose imports are read: more are ordered by their paths alone.
MOST_SURVEYED = 3000

# Files read between two reports of progress.
_CHUNK = 8


async def analyse_tree(
    run: Run,
    reading: Reading,
    tree: SourceTree,
    *,
    name: str,
    named: bool,
    links_per_section: int,
) -> tuple[Outline, Sequence[Placed]]:
    """The outline of the tree, and all files that may be quoted, most important first.

    `name` is the tree's name when it does not say so itself, or in any case if `named`.
    """
    look = await _look(reading, tree)
    facts = look.facts(tree, name, named=named)
    known = await _survey(reading, tree, look, facts)
    placed = await run_in_thread(arrange, look.glances, known)
    chosen = candidates(placed, links_per_section)
    described: dict[str, Described] = {}

    async def take(number: int, reply: Any) -> None:
        if number % _CHUNK == 0:
            await run.progress("analyse", number / len(chosen))
        path = chosen[number].path
        described[path] = Described(path) if reply is None else read_description(reply)

    requests = [ask_description(one) for one in chosen]
    await reading.read(requests, take, lambda: {"root": tree.root})
    await run.progress("analyse", 1.0)
    placed = without_repeats(placed, described)
    return draw_outline(facts, placed, described, links_per_section), placed


@dataclass(eq=False)
class _Look:
    """What a tree tells by its paths, its metadata and its README."""

    glances: list[Glance] = field(default_factory=list)
    #: By the path of the file, most trusted first.
    said: dict[str, tuple[Metadata, str]] = field(default_factory=dict)
    readme: Readme = field(default_factory=Readme)
    packages: list[Package] = field(default_factory=list)

    def facts(self, tree: SourceTree, name: str, *, named: bool) -> ProjectFacts:
        metadata = Metadata(name) if named else Metadata()
        for found, _ in self.said.values():
            metadata = metadata.filled_from(found)
        summaries = [plain for found, plain in self.said.values() if found.summary]
        title = metadata.name or self.readme.heading or name
        summaries.append(summary_by(title.rpartition("/")[2], self.packages))
        return ProjectFacts(
            name=name,
            files=len(tree.files),
            cut=tree.cut,
            metadata=metadata,
            said=summaries[0],
            readme=self.readme,
        )


async def _look(reading: Reading, tree: SourceTree) -> _Look:
    look = _Look()
    paths = {file.path for file in tree.files}
    requests = ask_glances(tree.files)
    parts = len(requests)
    requests += [{"verb": "metadata", "path": path} for path in metadata_paths(paths)]
    if readme := find_readme(paths):
        requests.append({"verb": "readme", "path": readme})
    requests += [{"verb": "package", "path": path} for path in build_files(paths)]

    async def take(number: int, reply: Any) -> None:
        await trio.lowlevel.checkpoint()
        request = requests[number]
        if reply is None:
            return
        if number < parts:
            start = number * PATHS_AT_ONCE
            look.glances += read_glances(tree.files, start, reply)
        elif request["verb"] == "metadata":
            look.said[request["path"]] = read_said(reply)
        elif request["verb"] == "package":
            look.packages.append(read_found_package(reply))
        else:
            look.readme = read_heading(reply)

    await reading.read(requests, take, lambda: {"root": tree.root})
    return look


async def _survey(
    reading: Reading, tree: SourceTree, look: _Look, facts: ProjectFacts
) -> Known:
    """What the files say of each other: which is spoken of, and in which order they are to be read."""
    placed = await run_in_thread(arrange, look.glances)
    packages = packages_of(
        look.packages, [one.path for one in placed if one.section == "Code"]
    )
    code, entries = _surveyed(placed, packages)
    programs = [one.path for one in placed if one.language in {"code", "python"}]
    speaking = list(dict.fromkeys([*code, *programs]))[:MOST_SURVEYED]
    documents = [one.path for one in placed if one.section == "Docs"]
    asked = navigations([file.path for file in tree.files], documents)
    survey = await _ask_files(reading, tree, code, entries, speaking, asked)
    order = await run_in_thread(reading_order, asked, survey.said, frozenset(documents))
    metadata = facts.metadata
    return Known(
        metadata.name or facts.name,
        frozenset(metadata.entries),
        survey.mentions,
        order,
        # Where most is made, what it is made from is not here, or nobody reads that.
        frozenset(survey.made if 2 * len(survey.made) < len(code) else ()),
        Packages.of(packages, survey.mentions, _kept(look, packages)),
    )


@dataclass(slots=True)
class _SaidByFiles:
    #: How many other files speak of one, and which are made by programs.
    mentions: dict[str, int] = field(default_factory=dict)
    made: set[str] = field(default_factory=set)
    #: What files of navigation say, by their paths.
    said: dict[str, Sequence[str]] = field(default_factory=dict)


async def _ask_files(
    reading: Reading,
    tree: SourceTree,
    code: Sequence[str],
    entries: Mapping[str, int],
    speaking: Sequence[str],
    asked: Sequence[str],
) -> _SaidByFiles:
    """What those that are `speaking` say of the code, and in which order those that are `asked` name documents."""
    survey = _SaidByFiles()
    requests = ask_mentions(speaking)
    parts = len(requests)
    requests += [{"verb": "order", "path": path} for path in asked]

    async def take(number: int, reply: Any) -> None:
        await trio.lowlevel.checkpoint()
        if reply is None:
            return
        if number >= parts:
            survey.said[asked[number - parts]] = reply
            return
        start = number * MENTIONS_AT_ONCE
        for path, (is_made, spoken_of) in zip(speaking[start:], reply, strict=False):
            if is_made:
                survey.made.add(path)
            for other in spoken_of:
                if (spoken := code[other]) != path:
                    survey.mentions[spoken] = survey.mentions.get(spoken, 0) + 1

    common = {"root": tree.root, "code": code, "packages": entries}
    await reading.read(requests, take, lambda: common)
    return survey


def _kept(look: _Look, packages: Sequence[Package]) -> list[str]:
    """Folders below the root of which no package is: only a tree of packages has such."""
    if not packages:
        return []
    return [one.folder for one in look.packages if one.folder and not one.name]


def _surveyed(
    placed: Sequence[Placed], packages: Sequence[Package]
) -> tuple[list[str], dict[str, int]]:
    """The code that may be spoken of, and the number of the file that stands for each package by its name."""
    code = [one.path for one in placed if one.section == "Code"]
    standing = standing_files(packages, code)
    code = list(dict.fromkeys([*standing.values(), *code]))[:MOST_SURVEYED]
    numbers = {path: number for number, path in enumerate(code)}
    return code, {
        name: numbers[path] for name, path in standing.items() if path in numbers
    }
