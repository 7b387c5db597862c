"""The order in which a project's own documents are to be read, by the navigation that it has.

Read are toctrees (Sphinx), `mkdocs.yml`, `SUMMARY.md` (mdBook), `_sidebar.md`, sidebars of Docusaurus,
the configuration of VitePress, and index pages. All as text: no configuration is run.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Collection, Mapping, Sequence

#: Entries of one navigation.
_MOST = 400
#: Documents whose navigation is asked for.
MOST_ASKED = 300

_SITES = re.compile(r"(^|/)(mkdocs\.ya?ml|SUMMARY\.md|_sidebar\.md|sidebars?\.(js|ts|json|cjs|mjs)|\.vitepress/config(/[\w-]{1,30})?\.(js|ts|mjs|mts)|_toc\.yml)$")  # fmt: skip
_INDEX = re.compile(r"(^|/)(index|contents|readme|guides|toc)\.(md|markdown|rst|txt|adoc|org|pod)$", re.IGNORECASE)  # fmt: skip
_LINK = re.compile(r"\]\(([^()\s#:]{1,200})(?:[# \t][^()\n]{0,200})?\)")
_YAML = re.compile(r"^[ \t]{0,40}-?[^\n#]{0,200}?[:\-][ \t]{1,9}['\"]?([\w./-]{1,200}\.(?:md|rst))\b", re.MULTILINE)  # fmt: skip
_QUOTED = re.compile(r"['\"]/?([\w./-]{2,200})['\"]")
_POD_LINK = re.compile(r"L<(?:[^<>|]{0,200}\|)?([A-Za-z][\w:]{2,200})>")
_ENDINGS = ("", ".md", ".rst", ".mdx", ".txt", ".adoc", ".pod", ".ipynb", "/index.md", "/index.rst", "/README.md")  # fmt: skip
#: A page's guides come before its reference, whatever the order in which it names them.
_MAKERS = re.compile(r"(^|/)(contrib\w{0,10}|dev\w{0,10}|hacking|internals?|maint\w{0,10})([-_./]|$)", re.IGNORECASE)  # fmt: skip
_REFERENCE = re.compile(r"(^|/)(api|reference)([-_./][^/]*)?(/|$)", re.IGNORECASE)


def navigations(paths: Collection[str], documents: Sequence[str]) -> list[str]:
    """The files that may hold an order, sites' own first, then indexes, then other documents."""
    sites = sorted(path for path in paths if _SITES.search(path))
    indexes = [path for path in documents if _INDEX.search(path)]
    others = [path for path in documents if path.endswith((".rst", ".pod"))]
    return list(dict.fromkeys([*sites, *indexes, *others]))[:MOST_ASKED]


def read_order(path: str, text: str) -> list[str]:
    """What a file names to be read next, in its order: paths as they are written there."""
    name = path.rpartition("/")[2].lower()
    if name.endswith((".yml", ".yaml")):
        # Before it, plug-ins name documents that moved.
        found = _YAML.findall(text[max(0, text.find("\nnav:")) :])
    elif name.endswith((".js", ".ts", ".json", ".cjs", ".mjs", ".mts")):
        found = _QUOTED.findall(text)
    elif name.endswith(".pod"):
        found = [link.replace("::", "/") for link in _POD_LINK.findall(text)]
    else:
        found = _toctrees(text)
        if not found and _is_index(path):
            found = _LINK.findall(text)
    return list(dict.fromkeys(found))[:_MOST]


def _is_index(path: str) -> bool:
    return _SITES.search(path) is not None or _INDEX.search(path) is not None


def _toctrees(text: str) -> list[str]:
    """The entries of all toctrees; a tree ends with its indentation."""
    found: list[str] = []
    lines = text.split("\n")
    inside: int | None = None
    for line in lines:
        words = line.lstrip()
        if words.startswith((".. toctree::", "```{toctree}", ":::{toctree}")):
            inside = len(line) - len(words) - (not words.startswith(".."))
        elif inside is not None and words:
            if len(line) - len(words) <= inside or words.startswith(("```", ":::")):
                inside = None
            elif not words.startswith(":") and (entry := _entry(words)):
                found.append(entry)
    return found


def _entry(words: str) -> str:
    """The path in `path` or `Title <path>`."""
    words = words.strip()
    if words.endswith(">") and "<" in words:
        words = words[words.rfind("<") + 1 : -1]
    return words if len(words) <= 200 and " " not in words else ""


def reading_order(
    asked: Sequence[str], said: Mapping[str, Sequence[str]], documents: Collection[str]
) -> dict[str, int]:
    """Document to place, from what each navigation says; those that none names are not in it.

    Level by level, so that the chapters of a manual come before the pages of its first one.
    """
    known = {_without_ending(path): path for path in sorted(documents, reverse=True)}
    nexts = {
        path: [one for entry in said.get(path, ()) if (one := _find(path, entry, documents, known))]
        for path in asked
    }  # fmt: skip
    named = {one for path in asked for one in nexts[path] if one != path}
    roots = [path for path in asked if nexts[path] and path not in named]
    order: dict[str, int] = {}
    # What is told to those who work on the project comes behind what is told to its users.
    level = sorted(dict.fromkeys(roots), key=_is_of_makers)
    while level:
        following: list[str] = []
        for path in level:
            if path in documents:
                order.setdefault(path, len(order))
            following += [one for one in nexts.get(path, ()) if one not in order]
        following = list(dict.fromkeys(following))
        level = sorted(following, key=lambda path: _REFERENCE.search(path) is not None)
        level = [path for path in level if path not in order]
    return order


def _is_of_makers(path: str) -> bool:
    return _MAKERS.search(path) is not None


def _without_ending(path: str) -> str:
    return path.rpartition(".")[0] or path


def _find(
    path: str, entry: str, documents: Collection[str], known: Mapping[str, str]
) -> str | None:
    folder = posixpath.dirname(path)
    above = posixpath.dirname(folder)
    # A site's configuration stands beside its documents, above them, or one or two folders below.
    for base in (folder, posixpath.join(folder, "docs"), above, posixpath.join(above, "docs"), posixpath.dirname(above), ""):  # fmt: skip
        whole = posixpath.normpath(posixpath.join(base, entry.lstrip("/")))
        for ending in _ENDINGS:
            if whole + ending in documents:
                return whole + ending
        if (found := known.get(_without_ending(whole)) or known.get(whole)) is not None:
            return found
    return None
