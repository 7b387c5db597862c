"""Where a file belongs and how much it matters, judged by its path alone."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from penstock.kinds.llms_txt.source_tree import File

Section = Literal["Docs", "Code", "Examples", "Optional", "Files"]

#: The order of the sections in the file; readers short of room skip "Optional".
SECTIONS: tuple[Section, ...] = ("Docs", "Code", "Examples", "Files", "Optional")

Language = Literal["markdown", "rst", "text", "python", "code", "notebook", "other"]

_LANGUAGES: dict[str, Language] = {
    ".md": "markdown", ".markdown": "markdown", ".mdx": "markdown", ".rst": "rst", ".txt": "text",
    ".adoc": "text", ".py": "python", ".pyi": "python", ".ipynb": "notebook",
}  # fmt: skip
_CODE = frozenset(
    [
        ".c",
        ".cc",
        ".cpp",
        ".cs",
        ".cu",
        ".clj",
        ".dart",
        ".el",
        ".ex",
        ".exs",
        ".erl",
        ".f90",
        ".go",
        ".h",
        ".hpp",
        ".hs",
        ".java",
        ".jl",
        ".js",
        ".jsx",
        ".kt",
        ".lua",
        ".m",
        ".mjs",
        ".ml",
        ".mm",
        ".php",
        ".pl",
        ".proto",
        ".ps1",
        ".pxd",
        ".pyx",
        ".r",
        ".rb",
        ".rs",
        ".scala",
        ".sh",
        ".sql",
        ".svelte",
        ".swift",
        ".ts",
        ".tsx",
        ".vue",
        ".zig",
    ]
)

_PROGRAMS = _CODE | {".py", ".pyi"}

_TESTS = re.compile(r"(^|/)(tests?|testing|specs?|__tests__|t)/|(^|/)(test_[^/]*|[^/]*[_.]test\.\w+|[^/]*\.spec\.\w+|conftest\.py)$", re.IGNORECASE)  # fmt: skip
_EXAMPLES = re.compile(
    r"(^|/)(examples?|samples?|demos?|tutorials?|notebooks?)/", re.IGNORECASE
)
_DOC_FOLDER = re.compile(
    r"(^|/)(docs?|documentation|doc-src|guides?|manual|wiki)/", re.IGNORECASE
)
_HOUSEKEEPING = re.compile(
    r"^(change(s|log)?|history|news|releases?|contribut(ing|ors?)|licen[cs]es?|copying|notice|authors"
    r"|code_of_conduct|security|maintainers|credits|thanks|todo|governance|support|acknowledg)", re.IGNORECASE
)  # fmt: skip
_NOISE = re.compile(
    r"(^|/)(_?vendor(ed)?|third[_-]party|extern(al)?|locales?|fixtures?|testdata|migrations|static"
    r"|assets|themes?|_themes|_static|_templates|releases?|whatsnew|\.[^/]+)/|\.min\.js$|_pb2\.py$",
    re.IGNORECASE,
)
_TOOLING = re.compile(
    r"(^|/)(scripts?|tools?|ci|bench(marks?)?|packaging|docs?|utils/packaging)/|^(setup|noxfile|conftest|conf|tasks|build|versioneer)\.py$", re.IGNORECASE
)  # fmt: skip
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
_README = re.compile(r"readme(\.(md|markdown|rst|txt|adoc))?$", re.IGNORECASE)
# The words by which newcomers are led, most important first.
_LEADING = (
    "index", "overview", "introduction", "intro", "getting-started", "getting_started", "quickstart",
    "quick-start", "install", "usage", "tutorial", "guide", "user", "howto", "reference", "api",
    "configuration", "advanced", "faq",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Placed:
    """A file with its section; a lower rank matters more."""

    file: File
    section: Section
    language: Language
    rank: tuple[int, int, int, str]

    @property
    def path(self) -> str:
        """The path below the root."""
        return self.file.path


def find_readme(paths: Iterable[str]) -> str | None:
    """The README at the root, Markdown first."""
    found = [path for path in paths if _README.fullmatch(path)]
    return min(
        found,
        key=lambda path: (not path.lower().endswith(".md"), len(path), path),
        default=None,
    )


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


def arrange(glances: Sequence[Glance]) -> list[Placed]:
    """The files in their order.

    A tree without Python and without documents has its files in "Files", since nothing better is
    known about them.
    """
    placed = [
        _placed(one, one.section, one.weight, one.lead)
        for one in glances
        if one.section is not None
    ]
    if not any(one.language in {"markdown", "rst", "python"} for one in placed):
        placed = [_placed(one, "Files", 0, 0) for one in glances]
    return sorted(placed, key=lambda one: (SECTIONS.index(one.section), one.rank))


def _placed(one: Glance, section: Section, weight: int, lead: int) -> Placed:
    depth = one.file.path.count("/")
    return Placed(one.file, section, one.language, (weight, depth, lead, one.file.path))


def language_of(path: str) -> Language:
    """What the file is written in, by its ending."""
    name = _name_of(path)
    ending = _split_name(name)[1].lower()
    if not ending and _README.fullmatch(name):
        return "text"
    return "code" if ending in _CODE else _LANGUAGES.get(ending, "other")


# As pathlib has them, which takes six times as long: it is asked five times for each file of a tree.


def _name_of(path: str) -> str:
    return path.rpartition("/")[2]


def _split_name(name: str) -> tuple[str, str]:
    """Stem and suffix; a dot that begins or ends a name begins no suffix."""
    dot = name.rfind(".")
    return (name[:dot], name[dot:]) if 0 < dot < len(name) - 1 else (name, "")


def _section(path: str, language: Language) -> Section | None:
    if path in _PROJECT:
        return "Optional"
    if language == "other" or _LISTS.search(path):
        return "Optional" if _is_housekeeping(path) else None
    if _README.fullmatch(path):
        return "Docs"
    if language == "text" and not _is_document(path):
        return "Optional" if _is_housekeeping(path) and "/" not in path else None
    if _TESTS.search(path) or _is_housekeeping(path) or _NOISE.search(path):
        return "Optional"
    if _EXAMPLES.search(path):
        return "Examples"
    if language in {"markdown", "rst", "text"}:
        return "Docs"
    if language == "notebook":
        return "Examples"
    if _name_of(path) == "setup.py" or _TOOLING.search(path):
        return "Optional"
    return "Code"


def _is_housekeeping(path: str) -> bool:
    name = _name_of(path)
    return _HOUSEKEEPING.match(name) is not None and (
        _split_name(name)[1] not in _PROGRAMS
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
            if _README.fullmatch(path)
            else 1
            if "/" not in path or _DOC_FOLDER.search(path)
            else 2
        )
    if section == "Optional":
        return _optional_weight(path)
    if section == "Code":
        private = any(
            part.startswith("_") and part != "__init__.py" for part in path.split("/")
        )
        return 2 if path.endswith(".pyi") else 1 if private else 0
    return 0


def _optional_weight(path: str) -> int:
    if "/" not in path:
        return 0
    return 3 if _NOISE.search(path) else 2 if _TESTS.search(path) else 1


def _lead(path: str) -> int:
    stem = _split_name(_name_of(path))[0].lower()
    if stem in {"__init__", "mod", "lib", "main", "__main__"}:
        return -1
    found = [place for place, word in enumerate(_LEADING) if word in stem]
    return min(found, default=len(_LEADING))
