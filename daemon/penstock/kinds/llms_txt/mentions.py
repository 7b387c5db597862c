"""Which files of a tree a file speaks of: by its imports, and by types that files are named after.

One pass over the words of a file, for all languages: a line that imports is taken apart into words,
and where files are named after types each word in capitals counts. A word speaks of the files whose name it is, however that
is written (`GenServer` and `gen_server.ex`).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

#: Bytes of a file in which imports and types are looked for.
MENTION_BYTES = 64 * 1024
#: Files of one name among which a mention is still looked for.
_MOST_OF_A_NAME = 24

_IMPORT = re.compile(
    r"^[ \t]{0,20}(?:import\b|from\b|#[ \t]{0,9}(?:include|import)\b|use\b|using\b|require|mod\b|pub (?:mod|use)\b"
    r"|alias\b|export\b[^\n]{0,200}\bfrom\b|(?:const|let|var)\b[^\n]{0,200}\brequire|\}[ \t]{0,9}from\b|local\b[^\n]{0,99}\brequire|@?include|with\b)[^\n]{0,300}",
    re.MULTILINE,
)  # fmt: skip
_IMPORTED = re.compile(r"[@A-Za-z_][\w./@-]{0,200}")
_WORD = re.compile(r"[A-Za-z_][\w-]*+")
_TYPE = re.compile(r"\b[A-Z]\w{2,60}\b")
_QUALIFIED = re.compile(r"\b([A-Z]\w{1,60})(?:::|\\|\.)([A-Z]\w{1,60})\b")
_MADE = re.compile(r"(?:@|auto[- ]?|code )generated\b|generated (?:by|from|automatically)\b|do not (?:edit|modify)\b|don't edit\b", re.IGNORECASE)  # fmt: skip
#: Characters of a file's beginning in which it says that a program made it.
_MADE_WITHIN = 600
# Languages whose files are named after the type in them, which those in one folder need not import.
_BY_TYPE = (
    ".java", ".kt", ".scala", ".groovy", ".cs", ".php", ".swift", ".ex", ".exs", ".pm", ".pl", ".t", ".hs", ".rb", ".dart",
    ".cr", ".jl", ".vala",
)  # fmt: skip
# Names of the file that stands for its folder.
_OF_FOLDER = frozenset({"__init__", "index", "mod"})


def is_made(text: str) -> bool:
    """Whether a file's head says that it is generated."""
    comment = [
        line
        for line in text[:_MADE_WITHIN].split("\n")
        if line.lstrip()[:1] in {"/", "*", "#", ";", "-", "(", "<", "%", "'", '"'}
    ]
    return _MADE.search("\n".join(comment)) is not None


def _key(word: str) -> str:
    return word.replace("_", "").replace("-", "").lower()


class Index:
    """The files of a tree by their names, and the entries of its packages (by number) by theirs."""

    def __init__(
        self, paths: Sequence[str], packages: Mapping[str, int] | None = None
    ) -> None:
        self._packages = packages or {}
        self._folders = [path.rpartition("/")[0] for path in paths]
        self._by_key: dict[str, list[int]] = {}
        for number, path in enumerate(paths):
            folder, _, name = path.rpartition("/")
            stem = name.split(".", 1)[0]
            if stem in _OF_FOLDER:
                stem = folder.rpartition("/")[2]
            self._by_key.setdefault(_key(stem), []).append(number)

    def mentioned(self, path: str, text: str) -> list[int]:
        """The numbers of the files that the file at `path` speaks of."""
        found: set[int] = set()
        folder = path.rpartition("/")[0]
        for match in _IMPORT.finditer(text):
            words = _WORD.findall(match[0])
            if self._packages:
                found.update(self._of_packages(match[0]))
            for word in words:
                found.update(self._meant(word, folder, words))
        if path.endswith(_BY_TYPE):
            for word in set(_TYPE.findall(text)):
                found.update(self._meant(word, folder, ()))
            # `XML::Node` is `xml/node`, whatever other nodes there are.
            for outer, word in set(_QUALIFIED.findall(text)):
                found.update(self._meant(word, "", (outer, outer.lower())))
        return sorted(found)

    def _of_packages(self, line: str) -> set[int]:
        """The entries of packages that a line imports: `@scope/name/part` is of `@scope/name`."""
        found: set[int] = set()
        for said in _IMPORTED.findall(line):
            parts = said.split("/")
            names = ("/".join(parts[:end]) for end in range(len(parts), 0, -1))
            found.update(self._packages[name] for name in names if name in self._packages)  # fmt: skip
        return found

    def _meant(self, word: str, folder: str, words: Sequence[str]) -> list[int]:
        """The files of that name: the only one, or those in a folder that is named beside, or here."""
        ours = self._by_key.get(_key(word), [])
        if len(ours) < 2 or len(ours) > _MOST_OF_A_NAME:
            return ours if len(ours) == 1 else []
        beside = [
            number
            for number in ours
            if self._folders[number].rpartition("/")[2] in words
        ]
        return beside or [number for number in ours if self._folders[number] == folder]
