"""What is asked of the files of a source tree, and answered where they can break nothing.

The questions are made here too, so that both ends of `penstock.kinds.confined` stand together.
This imports nothing that takes long: the process that answers begins with it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from penstock.kinds.llms_txt.classify import Glance, Placed, glance
from penstock.kinds.llms_txt.describe import Described, describe
from penstock.kinds.llms_txt.formats import (
    Room,
    linked_text,
    quote_element,
    quote_file,
)
from penstock.kinds.llms_txt.languages import language_of
from penstock.kinds.llms_txt.markup import strip_markup
from penstock.kinds.llms_txt.mentions import MENTION_BYTES, Index, is_made
from penstock.kinds.llms_txt.metadata import Metadata, read_one
from penstock.kinds.llms_txt.navigation import read_order
from penstock.kinds.llms_txt.outline import Link, Readme, read_readme
from penstock.kinds.llms_txt.packages import Package, read_package
from penstock.kinds.llms_txt.python import LONGEST_PARSED
from penstock.kinds.llms_txt.source_tree import File, read_text

#: Bytes of a document's beginning that hold its heading and first paragraph.
HEAD_BYTES = 64 * 1024

#: Characters from which two files of the same text are one file twice.
SHORTEST_DOUBLE = 80

#: Files whose words are looked at by one answer: a round trip costs more than a file does.
MENTIONS_AT_ONCE = 25

#: Paths looked at by one answer.
PATHS_AT_ONCE = 500

Request = Mapping[str, Any]


def make_answer(common: Mapping[str, Any]) -> Callable[[Request], Any]:
    """Answers requests about the tree at `root`; quotes as long as there is `room`."""
    answers = _Answers(
        common["root"],
        Room(*common.get("room", (0, 0))),
        Index(common.get("code", ()), common.get("packages")),
    )
    verbs = {
        "glance": answers.glance,
        "metadata": answers.metadata,
        "readme": answers.readme,
        "package": answers.package,
        "describe": answers.describe,
        "quote": answers.quote,
        "mentions": answers.mentions,
        "order": answers.order,
        "standing": answers.standing,
    }
    return lambda request: verbs[request["verb"]](request)


class _Answers:
    def __init__(self, root: str, room: Room, code: Index) -> None:
        self._root = root
        self._room = room
        self._code = code

    def glance(self, request: Request) -> Any:
        glances = [glance(File(path, size)) for path, size in request["files"]]
        return [(one.language, one.section, one.weight, one.lead) for one in glances]

    def metadata(self, request: Request) -> Any:
        text = read_text(self._root, request["path"], HEAD_BYTES)
        said = Metadata() if text is None else read_one(request["path"], text)
        fields = (said.name, said.summary, said.requires, said.homepage, said.entries)
        return [fields, strip_markup(said.summary)]

    def package(self, request: Request) -> Any:
        """The package that a build file is of."""
        text = read_text(self._root, request["path"], HEAD_BYTES)
        found = read_package(request["path"], text or "{}")
        summary = strip_markup(found.summary)
        return found.folder, found.name, found.entries, summary

    def readme(self, request: Request) -> Any:
        text = read_text(self._root, request["path"], HEAD_BYTES)
        found = read_readme(text or "", language_of(request["path"]))
        return [found.heading, found.prose]

    def mentions(self, request: Request) -> Any:
        """For each file: whether a program made it, and which of the tree's code it speaks of."""
        return [self._mentions_of(path) for path in request["paths"]]

    def _mentions_of(self, path: str) -> tuple[bool, list[int]]:
        text = read_text(self._root, path, MENTION_BYTES)
        if text is None:
            return False, []
        return is_made(text), self._code.mentioned(path, text)

    def order(self, request: Request) -> Any:
        text = read_text(self._root, request["path"], HEAD_BYTES)
        return read_order(request["path"], text or "")

    def standing(self, request: Request) -> Any:
        # Few runs look for one, and the process that reads a tree lives for a tenth of a second.
        from penstock.kinds.llms_txt.standing import answer_standing

        return answer_standing(self._root, request)

    def describe(self, request: Request) -> Any:
        path, language = request["path"], request["language"]
        # One more than is parsed, so that a longer module is known to be longer.
        limit = LONGEST_PARSED + 1 if language == "python" else HEAD_BYTES
        # Where the file stands among others does not matter to what it says.
        one = Placed(File(path, 0), request["section"], language, (0, 0, 0, 0, path))
        text = read_text(self._root, path, limit)
        found = describe(one, text)
        return [found.title, found.note, _digest(text)]

    def quote(self, request: Request) -> Any:
        """The piece that quotes a file; "" if it does not fit or is binary."""
        text = None
        if self._room.fits(request["size"]):
            text = read_text(self._root, request["path"], request["limit"])
        piece = "" if text is None else _quoted(request, text)
        if not self._room.fits(len(piece.encode())):
            piece = ""
        self._room = self._room.less(piece)
        return piece


def _quoted(request: Request, text: str) -> str:
    if "title" in request:
        return quote_element(request["title"], request["note"], text)
    return quote_file(request["path"], request["language"], text)


def _digest(text: str | None) -> str:
    """Short files are alike by chance."""
    if text is None or len(text) < SHORTEST_DOUBLE:
        return ""
    return hashlib.blake2b(text.encode(errors="replace"), digest_size=16).hexdigest()


def ask_glances(files: Sequence[File]) -> list[Request]:
    """Requests for what the paths of all files tell."""
    return [
        {
            "verb": "glance",
            "files": [(f.path, f.size) for f in files[start : start + PATHS_AT_ONCE]],
        }
        for start in range(0, len(files), PATHS_AT_ONCE)
    ]


def read_glances(files: Sequence[File], start: int, reply: Any) -> list[Glance]:
    """The answer to the request for the files from `start` on."""
    return [
        Glance(file, *fields)
        for file, fields in zip(files[start:], reply, strict=False)
    ]


def read_said(reply: Any) -> tuple[Metadata, str]:
    """What a metadata file says, and its summary without markup."""
    name, summary, requires, homepage, entries = reply[0]
    return Metadata(name, summary, requires, homepage, tuple(entries)), reply[1]


def read_heading(reply: Any) -> Readme:
    """What is taken of the README."""
    return Readme(*reply)


def read_found_package(reply: Any) -> Package:
    """The package that a build file is of."""
    folder, name, entries, summary = reply
    return Package(folder, name, tuple(entries), summary)


def ask_mentions(paths: Sequence[str]) -> list[Request]:
    """Requests for what files say of each other."""
    return [
        {"verb": "mentions", "paths": paths[start : start + MENTIONS_AT_ONCE]}
        for start in range(0, len(paths), MENTIONS_AT_ONCE)
    ]


def ask_description(one: Placed) -> Request:
    """The request for a file's own words about itself."""
    return {
        "verb": "describe",
        "path": one.path,
        "section": one.section,
        "language": one.language,
    }


def read_description(reply: Any) -> Described:
    """The answer to it."""
    return Described(*reply)


def ask_quote(one: Placed, limit: int) -> Request:
    """The request for a whole file of at most so many bytes."""
    return {
        "verb": "quote",
        "path": one.path,
        "language": one.language,
        "size": one.file.size,
        "limit": limit,
    }


def ask_element(one: Placed, link: Link, limit: int) -> Request:
    """The same for llms-ctx.txt, which tells a file by its link."""
    title, note = linked_text(link)
    return {**ask_quote(one, limit), "title": title, "note": note}
