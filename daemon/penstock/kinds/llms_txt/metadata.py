"""What a package says about itself, read without running anything of it."""

from __future__ import annotations

import json
import re
from collections import deque
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from typing import Any

from penstock.kinds.llms_txt import manifests

# What parses a kind of file that most trees do not have is imported with the first of it: this
# module belongs to a process that reads one tree, and lives for a tenth of a second.

_INNER_BLANKS = re.compile(r"(?<=\S)[^\S\n]{2,}+")
# A line that begins with a hundred words joined by dots.
_LONG_KEY = re.compile(
    r"^[ \t]*+\[{0,2}(?:[^\s.=#]{1,200}+[ \t]*+\.[ \t]*+){100}", re.MULTILINE
)

#: What the root of a repository is called when nobody gave it a name.
_GENERIC = frozenset(
    {
        "app", "code", "docs", "main", "monorepo", "my-app", "package", "packages", "project", "repo",
        "repository", "root", "source", "src", "site", "website", "workspace", "workspaces",
    }
)  # fmt: skip
_OF_A_ROOT = re.compile(r"[-_.](monorepo|root|workspaces?|repo)$", re.IGNORECASE)
# Lines of a setup.cfg: the library tells of each broken one in a sentence that it copies for the next.
_MOST_LINES = 2000
#: Files that an entry of package.json may name; more are patterns of a generator.
_MOST_ENTRIES = 40


@dataclass(frozen=True, slots=True)
class Metadata:
    """Empty text means: not said."""

    name: str = ""
    summary: str = ""
    requires: str = ""
    homepage: str = ""
    #: Files that its users import or run, as the package itself names them.
    entries: tuple[str, ...] = ()

    def filled_from(self, other: Metadata) -> Metadata:
        """This, with what it leaves open taken from `other`."""
        return Metadata(
            self.name or other.name,
            self.summary or other.summary,
            self.requires or other.requires,
            self.homepage or other.homepage,
            self.entries or other.entries,
        )


def read_metadata(texts: Mapping[str, str]) -> Metadata:
    """What the metadata files in `texts` (path to content) say; earlier kinds win, bad ones do not count."""
    found = Metadata()
    for path in metadata_paths(texts):
        found = found.filled_from(read_one(path, texts[path]))
    return found


def metadata_paths(paths: Collection[str]) -> list[str]:
    """Those of the paths that hold metadata of the whole tree, most trusted first.

    Of many files of one ending none speaks for the tree, unless there is no other.
    """
    known = [path for path in (*PARSERS, *manifests.BY_NAME) if path in paths]
    for ending in manifests.BY_ENDING:
        at_root = [
            path
            for path in paths
            if path.endswith(ending) and "/" not in path and path[0] != "."
        ]
        first = min(at_root, key=lambda path: (len(path), path), default="")
        # `name.el` stands beside `name-part.el`.
        if first and all(one.startswith(first[: -len(ending)]) for one in at_root):
            known.append(first)
    return known + [path for path in manifests.LAST if path in paths]


def own_name(name: str) -> str:
    """`name`, or "" where it is that of any repository's root and no package's own."""
    last = name.rpartition("/")[2].strip()
    generic = last.casefold() in _GENERIC or _OF_A_ROOT.search(last[-100:]) is not None
    return "" if generic else name


def read_one(path: str, text: str) -> Metadata:
    """What one metadata file says; nothing if it is broken."""
    try:
        said = _read(path, text)
    # Written by strangers: a broken file, or one nested without end, is a file that says nothing.
    except (ValueError, RecursionError):
        return Metadata()
    return replace(said, name=own_name(said.name))


def _read(path: str, text: str) -> Metadata:
    if path in PARSERS:
        return PARSERS[path](text)
    by_name = manifests.BY_NAME | manifests.LAST
    if path in by_name:
        return Metadata(*by_name[path](text))
    for ending, reader in manifests.BY_ENDING.items():
        if path.endswith(ending):
            return Metadata(*reader(text))
    return Metadata()


def _toml(text: str) -> Mapping[str, Any]:
    """The tables in `text`. ValueError for a key of more parts than any has: each costs all before it."""
    if _LONG_KEY.search(text):
        raise ValueError("a key has too many parts")
    import tomllib

    return tomllib.loads(text)


def _pyproject(text: str) -> Metadata:
    data = _toml(text)
    project = _table(data, "project")
    poetry = _table(_table(data, "tool"), "poetry")
    urls = {key.lower(): value for key, value in _table(project, "urls").items()}
    requires = _text(project, "requires-python")
    return Metadata(
        _text(project, "name") or _text(poetry, "name"),
        _text(project, "description") or _text(poetry, "description"),
        f"Python {requires}" if requires else "",
        next((_text(urls, key) for key in ("homepage", "documentation", "source", "repository") if key in urls), "")
        or _text(poetry, "homepage"),
    )  # fmt: skip


def _setup_cfg(text: str) -> Metadata:
    import configparser

    parser = configparser.RawConfigParser(strict=False)
    try:
        # The library looks for a key's end from each blank of a line anew. Shown are single ones.
        lines = _INNER_BLANKS.sub(" ", text).split("\n", _MOST_LINES)
        parser.read_string("\n".join(lines[:_MOST_LINES]))
        requires = parser.get("options", "python_requires", fallback="")
        said = {
            key: parser.get("metadata", key, fallback="")
            for key in ("name", "summary", "description", "url")
        }
    except configparser.Error as error:
        raise ValueError(str(error)) from None
    # `attr:` and `file:` name code and files that setuptools would read; they are no texts.
    summary = said["summary"] or said["description"]
    return Metadata(
        said["name"],
        "" if summary.startswith(("attr:", "file:")) else summary,
        f"Python {requires}" if requires else "",
        said["url"],
    )


def _pkg_info(text: str) -> Metadata:
    from email.parser import HeaderParser

    said = HeaderParser().parsestr(text)
    value = {
        key: str(said.get(key, ""))
        for key in ("Name", "Summary", "Requires-Python", "Home-page")
    }
    requires = value["Requires-Python"]
    summary = "" if value["Summary"] == "UNKNOWN" else value["Summary"]
    homepage = "" if value["Home-page"] == "UNKNOWN" else value["Home-page"]
    return Metadata(
        value["Name"], summary, f"Python {requires}" if requires else "", homepage
    )


def _package_json(text: str) -> Metadata:
    data = json.loads(text)
    if not isinstance(data, dict):
        return Metadata()
    node = _text(_table(data, "engines"), "node")
    return Metadata(
        _text(data, "name"),
        _text(data, "description"),
        f"Node {node}" if node else "",
        _text(data, "homepage"),
        _entries([data.get(key) for key in ("main", "module", "types", "typings", "bin", "exports")]),
    )  # fmt: skip


def _entries(said: object) -> tuple[str, ...]:
    """The paths among the strings of a value of any shape, in its order."""
    found: dict[str, None] = {}
    left = deque([said])
    while left and len(found) < _MOST_ENTRIES:
        one = left.popleft()
        if isinstance(one, str):
            found[one.removeprefix("./")] = None
        elif isinstance(one, Mapping):
            left.extend(one.values())
        elif isinstance(one, list):
            left.extend(one)
    return tuple(found)


def _cargo(text: str) -> Metadata:
    data = _toml(text)
    shared = _table(_table(data, "workspace"), "package")
    # Where a member says `key.workspace = true` the words are those of all members.
    package = {
        **shared,
        **{k: v for k, v in _table(data, "package").items() if isinstance(v, str)},
    }
    rust = _text(package, "rust-version")
    return Metadata(
        _text(package, "name"),
        _text(package, "description"),
        f"Rust {rust}" if rust else "",
        _text(package, "homepage") or _text(package, "repository"),
    )


def _go_mod(text: str) -> Metadata:
    module = re.search(r"^module\s+\"?([^\s\"]{1,300})", text, re.MULTILINE)
    version = re.search(r"^go\s+([0-9.]{1,20})", text, re.MULTILINE)
    name = re.sub(r"/v\d+$", "", module[1]).rsplit("/", 1)[-1] if module else ""
    return Metadata(name, "", f"Go {version[1]}" if version else "")


#: Metadata files at the root, most trusted first.
PARSERS: dict[str, Callable[[str], Metadata]] = {
    "pyproject.toml": _pyproject,
    "PKG-INFO": _pkg_info,
    "setup.cfg": _setup_cfg,
    "Cargo.toml": _cargo,
    "package.json": _package_json,
    "go.mod": _go_mod,
}


def _table(data: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    value = data.get(key)
    return value if isinstance(value, Mapping) else {}


def _text(data: Mapping[str, Any], key: str) -> str:
    value = data.get(key)
    return value if isinstance(value, str) else ""
