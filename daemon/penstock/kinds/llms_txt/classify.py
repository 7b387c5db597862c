"""Where a file belongs and how much it matters, judged by its path alone."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from penstock.kinds.llms_txt.doubles import is_double, is_translated
from penstock.kinds.llms_txt.languages import (
    PROGRAMS,
    README,
    WRITTEN,
    Language,
    language_of,
    name_of,
    split_name,
)
from penstock.kinds.llms_txt.packages import Packages
from penstock.kinds.llms_txt.source_tree import File

Section = Literal["Docs", "Code", "Examples", "Optional", "Files"]

#: The order of the sections in the file; readers short of room skip "Optional".
SECTIONS: tuple[Section, ...] = ("Docs", "Code", "Examples", "Files", "Optional")

_TESTS = re.compile(
    r"(^|/)([\w.-]{0,40}[-_.])?(tests?|testing|specs?|__tests__|e2e|testsuite)([-_.][\w.-]{0,40})?/|(^|/)t/"
    r"|(^|/)(test_[^/]*|[^/]*[_.-](test|spec)s?(-d)?(\.d)?\.\w+|conftest\.py)$"
    r"|(?-i:[a-z0-9](Tests?|TestCase|TestBase|IT|Specs?)\.(java|kt|scala|groovy|cs|fs|php|swift|hs)$)",
    re.IGNORECASE,
)
# What the people of the project configure their tools by, or what a tool made.
_SET_UP = re.compile(
    r"(^|/)(\.[^/]{1,200}|[^/]{1,200}\.config\.\w+|[\w.-]{0,40}rc\.[cm]?js|(vi|je)s?t(est)?[.-](setup|workspace|config)[^/]{0,40}|(gulp|grunt|jake|rake|guard|dangerfile)file\.\w+"
    r"|package\.js|mix\.exs|package\.swift|_?_?version_?_?\.\w+|setup\.l?hs|__about__\.py)$",
    re.IGNORECASE,
)
_MADE = re.compile(
    r"(^|/)(_?generated|gen|__generated__)/|(^|/)_?generated_[^/]{1,200}$|[._-](gen|generated|g|pb|bundle)\.\w{1,9}$"
    r"|_pb2?(_grpc)?\.\w{1,9}$|[-_]wasm\.\w{1,9}$|\.min\.\w{1,9}$",
    re.IGNORECASE,
)
_EXAMPLES = re.compile(
    r"(^|/)(examples?|samples?|demos?|tutorials?|notebooks?|docs?[_-]src|playgrounds?)/",
    re.IGNORECASE,
)
_DOC_FOLDER = re.compile(
    r"(^|/)(docs?|documentation|doc-src|guides?|manual|wiki)/", re.IGNORECASE
)
_HOUSEKEEPING = re.compile(
    r"^(change(s|log)?|history|news|releases?|contribut(ing|ors?)|licen[cs]es?|copying|notice|authors"
    r"|code[-_ ]?of[-_ ]?conduct|conduct|security|maintainers|credits|thanks|todo|governance|support|acknowledg"
    r"|upgrad(e|ing)([-_ .]?(from|notes|guide|v?\d).*)?\.|sponsors?|backers|funding|project[-_]charter|issue_template|pull_request_template|roadmap)", re.IGNORECASE
)  # fmt: skip
_NOISE = re.compile(
    r"(^|/)(_?vendor(ed)?|third[_-]party|extern(al)?|locales?|fixtures?|testdata|migrations|static"
    r"|assets|themes?|_themes|_static|_templates|releases?|whatsnew|\.[^/]+)/|\.min\.js$|_pb2\.py$",
    re.IGNORECASE,
)
_TOOLING = re.compile(
    r"(^|/)(scripts?|_?tools?|ci|bench\w{0,10}|packaging|docs?|website|utils/packaging|m4|cmake)/|^(setup|noxfile|conftest|conf|tasks|build|versioneer)\.py$", re.IGNORECASE
)  # fmt: skip
# Of these folders the documents are no one's guide either.
_WORKSHOP = re.compile(r"(^|/)(ci|bench\w{0,10}|m4|cmake|docker)/", re.IGNORECASE)
# What only puts others in order.
_NAVIGATION = re.compile(r"(^|/)(SUMMARY|_sidebar|_navbar)\.md$")
_FAILURE = re.compile(r"(^|/)exceptions?/|(?-i:[a-z](Exception|Error)\.\w{1,9}$)", re.IGNORECASE)  # fmt: skip
_PROJECT = frozenset(
    {
        "pyproject.toml",
        "setup.cfg",
        "setup.py",
        "package.json",
        "Cargo.toml",
        "go.mod",
        "Makefile",
    }
)
_LISTS = re.compile(r"(^|/)(cmakelists|[^/]*requirements[^/]*|[^/]*constraints|robots|sources|top_level|entry_points|manifest)\.txt$", re.IGNORECASE)  # fmt: skip
# `name/lib/name.ex`, `name/src/name.c`, `name/name.go`: the file that a package is called after.
_CALLED_AFTER = re.compile(r"(^|/)([\w-]{1,100})/((lib|src)/)?\2\.\w{1,9}$")
_ENTRY_STEMS = frozenset({"__init__", "index", "lib", "main", "mod", "__main__"})
# Folders between a root and the entry of its package: `src/name/__init__.py`.
_ENTRY_DEPTH = 2
# The words by which newcomers are led, most important first.
_LEADING = (
    "index", "overview", "introduction", "intro", "getting-started", "getting_started", "quickstart",
    "quick-start", "install", "usage", "tutorial", "guide", "user", "howto", "design", "concept", "advanced", "faq",
    "reference", "api", "configuration",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Placed:
    """A file with its section; a lower rank matters more."""

    file: File
    section: Section
    language: Language
    rank: tuple[int, int, int, int, str]
    #: Where packages share a section: when the file has its turn.
    turn: tuple[int, int] = (0, 0)
    #: The file by the name of its package; "" where it has none.
    title: str = ""

    @property
    def order(self) -> tuple[tuple[int, int], tuple[int, int, int, int, str]]:
        """Within its section."""
        return self.turn, self.rank

    @property
    def path(self) -> str:
        """The path below the root."""
        return self.file.path


def find_readme(paths: Iterable[str]) -> str | None:
    """The README at the root, Markdown first."""
    found = [path for path in paths if README.fullmatch(path)]
    return min(
        found,
        key=lambda path: (not path.lower().endswith(".md"), len(path), path),
        default=None,
    )


@dataclass(frozen=True, slots=True)
class Known:
    """What is known of a tree when its files are put in order, beyond their paths."""

    #: The package's name, and the files that it names as its entries.
    name: str = ""
    entries: frozenset[str] = frozenset()
    #: How many files speak of a file.
    mentions: Mapping[str, int] = field(default_factory=dict)
    #: The place of a document in the project's own navigation.
    order: Mapping[str, int] = field(default_factory=dict)
    #: Files that say of themselves that a program made them.
    made: frozenset[str] = frozenset()
    packages: Packages = field(default_factory=Packages)


@dataclass(frozen=True, slots=True)
class Glance:
    """What the path of a file tells; without a section it is not listed."""

    file: File
    language: Language
    section: Section | None
    #: Within the section; lower matters more.
    weight: int
    lead: int


def glance(file: File) -> Glance:
    """Look at one path."""
    language = language_of(file.path)
    section = _section(file.path, language) if file.size else None
    if section is None:
        return Glance(file, language, None, 0, 0)
    weight = _weight(file.path, section)
    return Glance(file, language, section, weight, _lead(file.path))


def place(files: Iterable[File]) -> list[Placed]:
    """Every file that may be listed, most important first within its section."""
    return arrange([glance(file) for file in files])


def arrange(glances: Sequence[Glance], known: Known | None = None) -> list[Placed]:
    """The files in their order.

    A tree without Python and without documents has its files in "Files", since nothing better is
    known about them. What is the same as a file beside it is left out.
    """
    known = known or Known()
    paths = {one.file.path for one in glances}
    single = _without_built_pages(
        [
            one
            for one in glances
            if not is_double(one.file.path, paths)
            and not (one.section == "Docs" and is_translated(one.file.path, paths))
        ]
    )
    placed = [_placed(one, one.section, known) for one in single if one.section]
    if not any(one.language == "python" or one.language in _TOLD_BY for one in placed):
        placed = [
            Placed(one.file, "Files", one.language, (0, 0, one.file.path.count("/"), 0, one.file.path))
            for one in single
        ]  # fmt: skip
    placed = sorted(placed, key=lambda one: (SECTIONS.index(one.section), one.rank))
    return _in_turns(placed, known.packages) if known.packages.ordered else placed


def _in_turns(placed: Sequence[Placed], packages: Packages) -> list[Placed]:
    """The first file of code of each package, then the next of each as often as it is spoken of."""
    numbers: dict[int, int] = {}
    found: list[Placed] = []
    for one in placed:
        if one.section == "Code":
            place = packages.place(one.path)
            number = numbers[place] = numbers.get(place, -1) + 1
            turn = (packages.turn(place, number), place)
            found.append(replace(one, turn=turn, title=packages.title(one.path)))
        else:
            found.append(one)
    return sorted(found, key=lambda one: (SECTIONS.index(one.section), one.order))


def _without_built_pages(glances: list[Glance]) -> list[Glance]:
    """Pages of HTML beside documents of another form were mostly made of these."""
    written = {_doc_folder(one.file.path) for one in glances if one.language in WRITTEN}
    return [
        one
        for one in glances
        if one.language != "html" or _doc_folder(one.file.path) not in written
    ]


def _doc_folder(path: str) -> str:
    found = _DOC_FOLDER.search(path)
    return path[: found.end()] if found else ""


#: What tells of a tree; where there is none of it, nothing better than names is known.
_TOLD_BY = WRITTEN - {"text"} | {"html"}


#: Behind all documents that a navigation names.
_UNNAMED = 1_000_000


def _placed(one: Glance, section: Section, known: Known) -> Placed:
    path = one.file.path
    weight, place = one.weight, 0
    if section == "Code" and path in known.made and not _is_entry(path, known):
        section, weight = "Optional", 3
    elif section == "Code" and known.packages.is_kept(path):
        section, weight = "Optional", 2
    elif section == "Code":
        weight = 0 if _is_entry(path, known) else 1 + one.weight
        place = -known.mentions.get(path, 0)
    elif section == "Docs" and weight:
        place = known.order.get(path, _UNNAMED + known.packages.place(path))
    rank = (weight, place, path.count("/"), one.lead, path)
    return Placed(one.file, section, one.language, rank)


def _is_entry(path: str, known: Known) -> bool:
    """Whether users of the package come in by this file."""
    stem = name_of(path).split(".", 1)[0]
    called = known.name.rpartition("/")[2].casefold() if known.name else ""
    return (
        path in known.entries
        or _is_entry_of_package(path, stem, known)
        or (
            stem.casefold() == called
            and not path.endswith((".c", ".cc", ".cpp", ".sh"))
            and not known.packages.place(path)
        )
        or path.startswith("include/")
        or (stem in _ENTRY_STEMS and path.count("/") <= _ENTRY_DEPTH)
        # In a tree of packages those are called after parts of one.
        or (_CALLED_AFTER.search(path) is not None and not known.packages.ordered)
    )


def _is_entry_of_package(path: str, stem: str, known: Known) -> bool:
    place = known.packages.place(path)
    if not place:
        return False
    package = known.packages.ordered[place - 1]
    below = path.removeprefix(package.folder)
    is_first = stem in _ENTRY_STEMS and below.count("/") <= 1
    return (
        path in package.entries
        or is_first
        or known.packages.is_called_after(path, stem)
    )


def _section(path: str, language: Language) -> Section | None:
    if path in _PROJECT:
        return "Optional"
    if language == "other" or _LISTS.search(path):
        return "Optional" if _is_housekeeping(path) else None
    if README.fullmatch(path):
        return "Docs"
    if _NAVIGATION.search(path):
        return None
    if language == "html":
        hidden = _NOISE.search(path) or _TESTS.search(path) or _is_housekeeping(path)
        return "Docs" if _DOC_FOLDER.search(path) and not hidden else None
    if language == "text" and not _is_document(path):
        return "Optional" if _is_housekeeping(path) and "/" not in path else None
    if any(pattern.search(path) for pattern in (_TESTS, _NOISE, _SET_UP, _MADE)):
        return "Optional"
    if _is_housekeeping(path):
        return "Optional"
    if _EXAMPLES.search(path) and not (language in WRITTEN and _DOC_FOLDER.search(path)):  # fmt: skip
        return "Examples"
    if language in WRITTEN:
        return "Optional" if _WORKSHOP.search(path) else "Docs"
    if language == "notebook":
        return "Examples"
    if name_of(path) == "setup.py" or _TOOLING.search(path):
        return "Optional"
    return "Code"


def _is_readme(path: str) -> bool:
    return README.fullmatch(name_of(path)) is not None


def _is_housekeeping(path: str) -> bool:
    name = name_of(path)
    return _HOUSEKEEPING.match(name) is not None and (
        split_name(name)[1] not in PROGRAMS
    )


def _is_document(path: str) -> bool:
    """Plain texts deep in a tree are mostly data; in a folder of documents they are documents."""
    return "/" not in path or (
        _DOC_FOLDER.search(path) is not None and not _TESTS.search(path)
    )


def _weight(path: str, section: Section) -> int:
    """0 matters most. What a section's newcomer should see first has the lowest weight."""
    if section == "Docs":
        return (
            0
            if README.fullmatch(path)
            else 1
            if "/" not in path or _DOC_FOLDER.search(path) or _is_readme(path)
            else 2
        )
    if section == "Optional":
        return _optional_weight(path)
    if section == "Code":
        private = any(
            part.startswith("_") and part != "__init__.py" for part in path.split("/")
        )
        # All code speaks of exceptions, and nobody begins with them.
        return (
            2 if path.endswith(".pyi") or _FAILURE.search(path) else 1 if private else 0
        )
    return 0


def _optional_weight(path: str) -> int:
    if "/" not in path:
        return 0
    return 3 if _NOISE.search(path) else 2 if _TESTS.search(path) else 1


def _lead(path: str) -> int:
    stem = split_name(name_of(path))[0].lower()
    if stem in {"__init__", "mod", "lib", "main", "__main__"}:
        return -1
    found = [place for place, word in enumerate(_LEADING) if word in stem]
    return min(found, default=len(_LEADING))
