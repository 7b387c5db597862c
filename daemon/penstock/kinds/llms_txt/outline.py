"""What an llms.txt says before it is text: title, summary, info, and sections of links.

Everything here is a value, decided from values. Whoever knows a better summary or better notes
(a model that has read the tree) replaces these fields, and rendering stays the same: the links
come from the real list of files, so none can be invented.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import islice

from penstock.kinds.llms_txt.classify import SECTIONS, Placed, Section
from penstock.kinds.llms_txt.describe import PART, Described, heading_of, paragraphs
from penstock.kinds.llms_txt.languages import Language
from penstock.kinds.llms_txt.markup import first_sentence
from penstock.kinds.llms_txt.metadata import Metadata
from penstock.kinds.llms_txt.parsing import read_blocks

#: Files described per link that is listed: the better ones of these are taken.
CANDIDATES_PER_LINK = 2

# "Optional" holds what most readers skip; a short list is enough.
_OPTIONAL_SHARE = 4

# What a heading says of the name that it begins with.
_TAGLINE = re.compile(r"(?<=\w)(\s{1,9}[-\u2013\u2014|]|:)\s{1,9}\w[^\n]{0,300}$")
# Words of one who asks the reader for something, or sends him to where people talk: a project may be about that.
_PLACES = r"(discord|gitter|slack|discourse|mailing list|irc|forum|chat( ?room)?|matrix|telegram|newsletter|stack ?overflow)"
_APPEAL = re.compile(
    r"\b(donat(e|ing|ions?)|sponsor(s|ed|ing|ship)?|backers?|patreon|open collective|follow us|join (us|our|the)|star (us|this|the)"
    r"|stand with|support ukraine|hiring|deprecated in favou?r|this is the (readme|development)|released on"
    rf"|(our|the|ask|visit|on|via|questions?|help)\b[^.]{{0,60}}\b{_PLACES}|{_PLACES} (channel|server|community|group)"
    r"|have a question|need help|for [\w ,]{1,90} (see|visit|refer)|if you (like|love|enjoy|use|want to learn)"
    r"|you can find (more|the|a)|(issue|bug) tracker)\b",
    re.IGNORECASE,
)  # fmt: skip
# Paragraphs of a README that are looked at for one that says what the project is.
_PARAGRAPHS = 12

# Files without a word about themselves, listed in one section: tables and data say nothing.
_SILENT = 5


@dataclass(frozen=True, slots=True)
class Link:
    """A file of the tree: strangers' words for it, and its path below the root."""

    title: str
    path: str
    note: str = ""


@dataclass(frozen=True, slots=True)
class Outline:
    """The content of an llms.txt; all texts may be strangers' and are made harmless on rendering."""

    title: str
    summary: str
    info: tuple[str, ...]
    sections: Mapping[Section, tuple[Link, ...]]

    @property
    def links(self) -> int:
        """How many links are listed."""
        return sum(len(links) for links in self.sections.values())


@dataclass(frozen=True, slots=True)
class Readme:
    """What is taken of a README: its heading, and its first words of prose; either may be ""."""

    heading: str = ""
    prose: str = ""


def read_readme(text: str, language: Language = "markdown") -> Readme:
    """The README in `text`, which is its beginning."""
    blocks = read_blocks(text, language)
    prose = islice(paragraphs(blocks), _PARAGRAPHS)
    telling = (one for one in prose if not _APPEAL.search(first_sentence(one)))
    return Readme(heading_of(blocks), next(telling, ""))


@dataclass(frozen=True, slots=True)
class ProjectFacts:
    """What is known of the tree as a whole."""

    name: str
    files: int
    cut: bool
    metadata: Metadata
    #: The metadata's summary without markup.
    said: str = ""
    readme: Readme = Readme()


def capacity(section: Section, links_per_section: int) -> int:
    """How many links a section may have."""
    share = _OPTIONAL_SHARE if section == "Optional" else 1
    return max(1, links_per_section // share)


def candidates(placed: Sequence[Placed], links_per_section: int) -> list[Placed]:
    """The files worth describing, so that a tree of any size costs a bounded amount of work."""
    chosen: list[Placed] = []
    for section in SECTIONS:
        ours = [one for one in placed if one.section == section]
        chosen += ours[: capacity(section, links_per_section) * CANDIDATES_PER_LINK]
    return chosen


def without_repeats(
    placed: Sequence[Placed], described: Mapping[str, Described]
) -> list[Placed]:
    """The files without those whose text is that of another: each package has the same README.

    Of files of one text the one that comes first stays, but for a name without an ending
    (`README`, mostly a link to `README.md`), which yields.
    """
    chosen: dict[str, Placed] = {}
    for one in placed:
        digest = described[one.path].digest if one.path in described else ""
        other = chosen.get(digest)
        if other is None or (_has_ending(one.path) and not _has_ending(other.path)):
            chosen[digest] = one
    kept = {one.path for one in chosen.values()}
    return [
        one
        for one in placed
        if one.path in kept
        or one.path not in described
        or not described[one.path].digest
    ]


def _has_ending(path: str) -> bool:
    return "." in path.rpartition("/")[2][1:]


def draw_outline(
    facts: ProjectFacts,
    placed: Sequence[Placed],
    described: Mapping[str, Described],
    links_per_section: int,
) -> Outline:
    """The outline of a tree whose candidates have been described (path to words)."""
    sections: dict[Section, tuple[Link, ...]] = {}
    left_out: dict[Section, int] = {}
    for section in SECTIONS:
        ours = [one for one in placed if one.section == section]
        if not ours:
            continue
        room = capacity(section, links_per_section)
        sections[section] = _pick(
            [one for one in ours if one.path in described], described, room
        )
        left_out[section] = len(ours) - len(sections[section])
    summary, more = _summary(facts)
    return Outline(
        facts.metadata.name or _title_from_readme(facts) or facts.name,
        summary,
        _info(facts, more, left_out),
        sections,
    )


def _pick(
    ours: Sequence[Placed], described: Mapping[str, Described], room: int
) -> tuple[Link, ...]:
    """The first `room` files; those that say nothing of themselves stand back, and are few."""
    telling = [one for one in ours if _tells(one, described[one.path])][:room]
    silent = [one for one in ours if not _tells(one, described[one.path])]
    # Where nobody says anything, the names are all there is.
    spare = room - len(telling)
    chosen = telling + silent[: min(spare, _SILENT) if telling else spare]
    links = [
        Link(_title(one, described[one.path]), one.path, described[one.path].note)
        for one in sorted(chosen, key=lambda one: one.order)
    ]
    return tuple(_told_apart(links))


def _title(one: Placed, said: Described) -> str:
    """A file of a package is told by that, unless it has a better name than its path."""
    return one.title if one.title and said.title == one.path else said.title


def _tells(one: Placed, said: Described) -> bool:
    """Whether something is known of a file: its own words, or those of its project by which it leads."""
    weight, place, *_ = one.rank
    leads = one.section == "Code" and (weight == 0 or place < 0)
    return (
        bool(said.note) or leads or (one.section == "Docs" and said.title != one.path)
    )


def _told_apart(links: Sequence[Link]) -> list[Link]:
    """Two files of one title get their paths as titles' ends, so that a reader can choose."""
    seen: dict[str, int] = {}
    for link in links:
        seen[link.title] = seen.get(link.title, 0) + 1
    return [
        Link(f"{link.title} ({link.path})", link.path, link.note)
        if seen[link.title] > 1 and link.title != link.path
        else link
        for link in links
    ]


def _title_from_readme(facts: ProjectFacts) -> str:
    """A README's heading names the project, unless it is a sentence, or the title of a part."""
    # `Name - what it is`, `Name: what it is`
    heading = _TAGLINE.sub("", facts.readme.heading)
    names = 0 < len(heading) <= 40 and PART.fullmatch(heading) is None
    return heading if names else ""


def _summary(facts: ProjectFacts) -> tuple[str, str]:
    """One sentence about the project, and the README's own words when they say more."""
    prose, said = facts.readme.prose, facts.said
    if said:
        return said, "" if _alike(prose, said) else prose
    if prose:
        sentence = first_sentence(prose)
        return sentence, "" if _alike(prose, sentence) else prose
    return f"The source tree of {facts.metadata.name or facts.name}.", ""


def _alike(one: str, other: str) -> bool:
    return one.strip(" .").casefold() == other.strip(" .").casefold()


def _info(
    facts: ProjectFacts, prose: str, left_out: Mapping[Section, int]
) -> tuple[str, ...]:
    """Never empty: without a paragraph here, parsers do not see the summary."""
    metadata = facts.metadata
    count = f"{'More than ' if facts.cut else ''}{_counted(facts.files, 'file')} in the tree."
    told = [count]
    if metadata.requires:
        told.append(f"Requires {metadata.requires}.")
    if metadata.homepage:
        told.append(f"Homepage: {metadata.homepage}")
    paragraphs_of_info = [prose, " ".join(told)]
    if omitted := [
        f"{_counted(n, 'file')} of {name}" for name, n in left_out.items() if n > 0
    ]:
        paragraphs_of_info.append(
            f"The most important are listed; not listed: {', '.join(omitted)}."
        )
    return tuple(paragraph for paragraph in paragraphs_of_info if paragraph)


def _counted(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
