"""An llms.txt that is in the tree already: what it lists, what it lacks, and the same with that added.

Somebody may have written it: its order and every word stay. A line goes only if all it lists is gone
from the tree, and what is new comes behind the other links of its section. It is read where it can break
nothing, and is asked for here too: see `confined_reading`.
"""

from __future__ import annotations

import os
import posixpath
import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote

from penstock.kinds.llms_txt.classify import Section
from penstock.kinds.llms_txt.formats import link_line
from penstock.kinds.llms_txt.outline import Link, Outline
from penstock.kinds.llms_txt.source_tree import SourceTree, read_bytes

#: Bytes of an llms.txt that is there: every word of it is kept, so a longer one is refused.
MOST_BYTES = 1024 * 1024
#: Sections of which new files are told where the text lists nothing of the tree.
_FIRST_OF_ALL: frozenset[Section] = frozenset({"Docs", "Files"})

_LINK = re.compile(r"\]\(<?([^()\s<>]{1,2000})>?(?:\s[^()\n]{0,300})?\)")
_ITEM = re.compile(r"\s{0,12}[-*+]\s")
_HEADING = re.compile(r"##[ \t]{1,9}(\S[^\n]{0,300})")
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]{0,20}:")
_LEFT_OUT = re.compile(r"<!--\s{0,9}not listed:([^<>]{0,20000})-->", re.IGNORECASE)
# A page of a site, and the folders of documents that its address does not name.
_PAGE_ENDING = re.compile(r"(\.html?(\.md)?|\.md|/|/index\.html?)$")


@dataclass(frozen=True, slots=True)
class Difference:
    """What an llms.txt needs: links to add by section, and the paths that it lists and the tree lacks."""

    text: str
    #: How many links `text` has.
    links: int
    new: Mapping[Section, tuple[Link, ...]] = field(default_factory=dict)
    gone: tuple[str, ...] = ()
    #: The file that it is about; "" for none.
    where: str = ""

    @property
    def stale(self) -> bool:
        """Whether the text is not what `text` would be."""
        return bool(self.gone or any(self.new.values()))

    def __str__(self) -> str:
        """In words, with a few names of each."""
        new = [link.path for links in self.new.values() for link in links]
        told = [
            f"{what} ({', '.join(paths[:5])}{', …' if len(paths) > 5 else ''})"
            for what, paths in (
                (f"{len(self.gone)} of its links lead nowhere", list(self.gone)),
                (f"{len(new)} files are not in it", new),
            )
            if paths
        ]
        return " and ".join(told) or "it is up to date"


def ask_standing(outline: Outline, tree: SourceTree, base_url: str) -> dict[str, Any]:
    """The request for what the llms.txt of a folder needs."""
    return {
        "verb": "standing",
        "path": "llms.txt",
        "sections": _fields(outline.sections),
        "tree": [file.path for file in tree.files],
        "base_url": base_url,
    }


def answer_standing(root: str, request: Mapping[str, Any]) -> Any:
    """The answer to it: [] if there is none, and a text that says why one cannot be kept word for word."""
    try:
        text = _read_whole(root, request["path"])
    except FileNotFoundError:
        return []
    except (OSError, ValueError) as error:
        return str(error)
    sections = _links(request["sections"])
    found = compare(text, sections, request["tree"], request["base_url"])
    return [found.text, found.links, _fields(found.new), found.gone]


def read_difference(root: str, reply: Any) -> Difference:
    """What the answer tells of one that can be kept."""
    text, links, new, gone = reply
    where = os.path.join(root, "llms.txt")
    return Difference(text, links, _links(new), tuple(gone), where)


def _read_whole(root: str, path: str) -> str:
    """A file's text to the byte. OSError or ValueError says why it cannot be had."""
    root = os.path.realpath(root)
    if not os.path.lexists(os.path.join(root, path)):
        raise FileNotFoundError
    data = read_bytes(root, path, MOST_BYTES + 1)
    if len(data) > MOST_BYTES:
        raise ValueError(f"it has more than {MOST_BYTES:,} bytes")
    return data.decode()


def _fields(sections: Mapping[Section, tuple[Link, ...]]) -> dict[Section, Any]:
    return {
        section: [(link.title, link.path, link.note) for link in links]
        for section, links in sections.items()
    }


def _links(sections: Mapping[Section, Any]) -> dict[Section, tuple[Link, ...]]:
    return {
        section: tuple(Link(*fields) for fields in links)
        for section, links in sections.items()
    }


def compare(
    text: str,
    sections: Mapping[Section, tuple[Link, ...]],
    tree: Collection[str],
    base_url: str,
) -> Difference:
    """What `text` needs to be the llms.txt of a tree of these paths, the best of which are in `sections`."""
    pages = _Addresses(tree, base_url)
    left_out = _left_out(text)
    newline = "\r\n" if 0 < text.count("\n") == text.count("\r\n") else "\n"
    lines = text.split(newline)
    meant = [[pages.meant(url) for url in _LINK.findall(line)] for line in lines]
    listed = {path for found in meant for path in found if path in pages.paths}
    gone = {
        number: found
        for number, found in enumerate(meant)
        if found and _ITEM.match(lines[number])
        and all(path is not None and path not in pages.paths for path in found)
    }  # fmt: skip
    kinds = _kinds(sections, listed) or _FIRST_OF_ALL
    new: dict[Section, tuple[Link, ...]] = {
        section: tuple(link for link in links if link.path not in listed and not _is_below(link.path, left_out))
        for section, links in sections.items()
        if section != "Optional" and section in kinds
    }  # fmt: skip
    paths = tuple(path for found in gone.values() for path in found if path)
    base = base_url or pages.usual_base
    kept = [line for number, line in enumerate(lines) if number not in gone]
    lines = _added(kept, new, base)
    count = sum(len(_LINK.findall(line)) for line in lines)
    return Difference(newline.join(lines), count, new, paths)


def _kinds(
    sections: Mapping[Section, tuple[Link, ...]], listed: Collection[str]
) -> frozenset[Section]:
    """The sections of which the text lists something: who left out all code wants no code."""
    return frozenset(
        section
        for section, links in sections.items()
        if any(link.path in listed for link in links)
    )


def _left_out(text: str) -> list[str]:
    """What comments in the text say is not to be listed: paths, and folders with a `/`."""
    return [one for words in _LEFT_OUT.findall(text) for one in words.split()]


def _is_below(path: str, named: Iterable[str]) -> bool:
    return any(
        path.startswith(one) if one.endswith("/") else path == one for one in named
    )


class _Addresses:
    """Which file of the tree an address means."""

    def __init__(self, tree: Collection[str], base_url: str) -> None:
        self.paths = frozenset(tree)
        self._base_url = base_url
        self._pages = _page_names(tree)
        # Of an address only so many last parts can be a path.
        self._deepest = 1 + max((path.count("/") for path in tree), default=0)
        self._bases: dict[str, int] = {}

    @property
    def usual_base(self) -> str:
        """What stands before most paths; "" if nothing does."""
        return max(self._bases, key=lambda base: self._bases[base], default="")

    def meant(self, url: str) -> str | None:
        """The path that an address means, which may be gone; None if it means no file of the tree."""
        address = re.split(r"[?#]", url, maxsplit=1)[0]
        if self._base_url and address.startswith(self._base_url):
            return unquote(address.removeprefix(self._base_url))
        if _SCHEME.match(address):
            return self._by_end(address)
        if address.startswith("/") or not address:
            path = unquote(address.lstrip("/"))
            return path if self._count(path, "/") else self._page(path)
        path = posixpath.normpath(unquote(address))
        self._count(path, "")
        return None if path.startswith("..") else path

    def _count(self, path: str, base: str) -> bool:
        """Whether the path is there; if so, one more stands behind this base."""
        there = path in self.paths
        if there:
            self._bases[base] = self._bases.get(base, 0) + 1
        return there

    def _by_end(self, address: str) -> str | None:
        parts = address.split("/")[3:][-self._deepest :]
        for start in range(len(parts)):
            end = "/".join(parts[start:])
            if self._count(path := unquote(end), address.removesuffix(end)):
                return path
        return self._page(unquote("/".join(parts)))

    def _page(self, path: str) -> str | None:
        """The document that a site shows at this address, by the longest end of it that is one's name."""
        parts = _PAGE_ENDING.sub("", path).split("/")[-self._deepest :]
        ends = ("/".join(parts[start:]) for start in range(len(parts)))
        return next((self._pages[end] for end in ends if end in self._pages), None)


def _page_names(tree: Iterable[str]) -> dict[str, str]:
    """Documents by their paths without ending, and without the folder that holds them all."""
    found: dict[str, str] = {}
    for path in tree:
        stem, dot, ending = path.rpartition(".")
        if not dot or ending not in {"md", "mdx", "rst", "adoc", "org", "txt", "ipynb"}:
            continue
        for name in (stem, stem.partition("/")[2]):
            if name:
                found.setdefault(name.removesuffix("/index"), path)
    return found


def _added(
    lines: list[str], new: Mapping[Section, tuple[Link, ...]], base_url: str
) -> list[str]:
    """The lines with the new links behind the last one of their section, or in a section before "Optional"."""
    for section, links in new.items():
        told = [link_line(link, base_url).rstrip("\n") for link in links]
        if not told:
            continue
        headings = _headings(lines)
        names = [name.casefold() for _, name in headings]
        if section.casefold() in names:
            at = names.index(section.casefold())
            end = headings[at + 1][0] if at + 1 < len(headings) else len(lines)
            place = _behind_last_item(lines, headings[at][0], end)
            lines = [*lines[:place], *told, *lines[place:]]
            continue
        end = next((at for at, name in headings if name.casefold() == "optional"), -1)
        if end < 0:
            lines = [*_without_blank_end(lines), "", f"## {section}", "", *told, ""]
        else:
            lines = [*lines[:end], f"## {section}", "", *told, "", *lines[end:]]
    return lines


def _headings(lines: list[str]) -> list[tuple[int, str]]:
    found = ((number, _HEADING.match(line)) for number, line in enumerate(lines))
    return [(number, match[1].strip()) for number, match in found if match]


def _behind_last_item(lines: list[str], start: int, end: int) -> int:
    items = [number for number in range(start, end) if _ITEM.match(lines[number])]
    return items[-1] + 1 if items else start + 1


def _without_blank_end(lines: list[str]) -> list[str]:
    count = len(lines)
    while count and not lines[count - 1].strip():
        count -= 1
    return lines[:count]
