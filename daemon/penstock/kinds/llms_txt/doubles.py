"""Which files say the same as another one beside them, judged by their paths alone."""

from __future__ import annotations

import re
from collections.abc import Collection

#: An ending, and those of which it is a translation or a declaration: of the two the source is read.
_MADE_FROM = {
    ".d.ts": (".ts", ".tsx"),
    ".d.mts": (".mts",),
    ".d.cts": (".cts",),
    ".js": (".ts", ".tsx", ".coffee"),
    ".mjs": (".mts", ".ts"),
    ".cjs": (".cts", ".ts"),
    ".jsx": (".tsx",),
    ".pyi": (".py", ".pyx"),
    ".min.js": (".js",),
    ".c": (".y", ".l", ".pyx"),
    ".h": (".y", ".l"),
}


#: Languages into which documents are put, as their folders and endings are called.
_TONGUES = (
    "ar|be|bg|bn|ca|cs|da|de|el|es|et|fa|fi|fr|he|hi|hr|hu|id|it|ja|ka|ko|lt|lv|nb|nl|no|pl|ptbr|pt|ro|ru|sk|sl|sr|sv|ta|th|tr|uk|ur"
    "|vi|zhcn|zhtw|zhhans|zhhant|zh|cn|jp|kr"
)
_TONGUE = re.compile(rf"(^|[/._-])({_TONGUES})([_-][A-Za-z]{{2,4}})?(?=[/.])", re.IGNORECASE)  # fmt: skip


def is_translated(path: str, paths: Collection[str]) -> bool:
    """Whether a document of `paths` says the same in English, or in the project's own language."""
    if not _TONGUE.search(path):
        return False
    return any(
        one != path and one in paths
        for one in (_TONGUE.sub("", path).lstrip("/"), _TONGUE.sub(r"\1en", path), _TONGUE.sub(r"\1en-US", path))
    )  # fmt: skip


def is_double(path: str, paths: Collection[str]) -> bool:
    """Whether a file of `paths` is what `path` was made from."""
    for ending, sources in _MADE_FROM.items():
        # `x.d.ts` ends with `.ts` too, and is no source.
        stem = path.removesuffix(ending)
        if stem != path and any(
            stem + source in paths and not (source == ".ts" and stem.endswith(".d"))
            for source in sources
        ):
            return True
    return False
